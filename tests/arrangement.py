"""Vertices of a hyperplane arrangement on the L1 sphere, by brute force: what column generation is checked against."""

import itertools

import numpy as np


def vertices(normals: np.ndarray, tolerance: float = 1e-9) -> np.ndarray:
    """Return every ray in which independent normals, one fewer than dimensions, meet; of L1 norm 1, both directions.

    Unit vectors are added to the normals: coordinates at zero are conditions too.
    """
    size = normals.shape[1]
    rows = np.vstack([np.eye(size), normals])
    rows = rows[np.abs(rows).max(axis=1) > tolerance]
    found = []
    for chosen in itertools.combinations(range(len(rows)), size - 1):
        _, values, basis = np.linalg.svd(rows[list(chosen)])
        if len(values) and values[-1] < tolerance:
            continue
        ray = basis[-1]
        ray = np.where(np.abs(ray) < 1e-13, 0.0, ray)
        found += [ray / np.abs(ray).sum(), -ray / np.abs(ray).sum()]
    return np.unique(np.round(np.array(found), 14), axis=0)


def pooled_value(rows: np.ndarray, ends: np.ndarray, weights: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Evaluate ``sum weight * max(0, greatest row . w)`` at points, term by term."""
    total, first = np.zeros(len(points)), 0
    for weight, last in zip(weights, ends, strict=True):
        total += weight * np.maximum((points @ rows[first:last].T).max(axis=1), 0.0)
        first = last
    return total


def kink_normals(rows: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return the normals of all kinks: each row, and each difference of two rows of one term."""
    normals, first = [rows], 0
    for last in ends:
        pairs = list(itertools.combinations(range(first, last), 2))
        normals += [rows[[i]] - rows[[j]] for i, j in pairs]
        first = last
    return np.vstack(normals)
