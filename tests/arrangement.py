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
    chosen = np.array(list(itertools.combinations(range(len(rows)), size - 1)), dtype=int)
    _, values, bases = np.linalg.svd(rows[chosen])
    rays = bases[values[:, -1] >= tolerance, -1] if size > 1 else bases[:, -1]
    rays = np.where(np.abs(rays) < 1e-13, 0.0, rays)
    rays /= np.abs(rays).sum(axis=1, keepdims=True)
    return np.unique(np.round(np.vstack([rays, -rays]), 14), axis=0)


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
