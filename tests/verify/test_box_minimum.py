"""Minima over box and ball: never above the exact ones, and as good as the linear programme's."""

from fractions import Fraction

import numpy as np
import pytest
from scipy.optimize import linprog

from verinet.bounds import InputSet
from verinet.bounds.kernels import make_work
from verinet.bounds.tape import make_tape
from verinet.model import Domain, L1Ball, dense_network
from verinet.verify.box_minimum import is_apart, lowest, make_balls

F = Fraction


def prepared(domain, lower, upper):
    size = domain.size
    tape = make_tape(dense_network([np.ones((1, size))], [np.zeros(1)]))
    work = make_work(tape)
    work.lower[:size], work.upper[:size] = lower, upper
    work.magnitude[:size] = np.maximum(np.abs(lower), np.abs(upper))
    return tape, work, make_balls(InputSet.of(domain))


def by_linear_programme(row, lower, upper, ball):
    """Minimise ``row . x`` over the box and the ball: x and, for the ball's coordinates, distances."""
    size, count = len(row), len(ball.coordinates)
    matrix, sides = [], []
    for k, (i, c) in enumerate(zip(ball.coordinates, ball.centre, strict=True)):
        for sign in (1.0, -1.0):
            line = np.zeros(size + count)
            line[i], line[size + k] = sign, -1.0
            matrix.append(line)
            sides.append(sign * float(c))
    matrix.append(np.concatenate([np.zeros(size), np.ones(count)]))
    sides.append(float(ball.radius))
    ends = [*zip(lower, upper, strict=True), *([(0, None)] * count)]
    return linprog(np.concatenate([row, np.zeros(count)]), np.array(matrix), np.array(sides), bounds=ends)


@pytest.mark.parametrize("seed", range(60))
def test_a_minimum_over_box_and_ball_is_the_linear_programmes(seed):
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, 7))
    coordinates = tuple(int(i) for i in rng.permutation(size)[: rng.integers(1, size + 1)])
    centre = tuple(F(int(k), 7) for k in rng.integers(-10, 11, len(coordinates)))
    ball = L1Ball(coordinates, centre, F(int(rng.integers(0, 30)), 9))
    lower = rng.uniform(-2, 1, size)
    upper = lower + rng.uniform(0, 2, size) * (rng.random(size) < 0.9)
    domain = Domain.from_box([-9] * size, [9] * size)
    domain = Domain(domain.lower, domain.upper, balls=(ball,))
    tape, work, balls = prepared(domain, lower, upper)
    row = np.round(rng.normal(size=size), 1)
    truth = by_linear_programme(row, lower, upper, ball)
    apart = is_apart(tape, work, balls)
    if truth.status == 2:
        # HiGHS and the kernel may differ about sets that touch within a tolerance.
        distance = sum(
            max(0.0, lower[i] - float(c), float(c) - upper[i]) for i, c in zip(coordinates, centre, strict=True)
        )
        assert apart == (distance > float(ball.radius))
        return
    assert not apart
    point = np.zeros(tape.total)
    bound = lowest(tape, work, balls, row, 0.25, point)
    assert bound == pytest.approx(truth.fun + 0.25, abs=1e-9)
    # Where it is attained, nearly: in the box, and in the ball up to rounding.
    assert (lower - 1e-12 <= point[:size]).all()
    assert (point[:size] <= upper + 1e-12).all()
    assert float(ball.norm([F(float(v)) for v in point[:size]])) <= float(ball.radius) + 1e-9
    assert row @ point[:size] + 0.25 == pytest.approx(bound, abs=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_no_exact_point_is_below_the_bound(seed):
    rng = np.random.default_rng(seed)
    size = 4
    scale = 10.0 ** rng.integers(-6, 7, size)
    centre = tuple(F(float(v)) / 3 for v in rng.normal(size=size) * scale)
    ball = L1Ball(tuple(range(size)), centre, F(float(scale.max())) / 7)
    domain = Domain(
        tuple(c - 2 * ball.radius for c in centre), tuple(c + 2 * ball.radius for c in centre), balls=(ball,)
    )
    other = L1Ball((0, 2), (centre[0], centre[2]), ball.radius / 3)
    both = Domain(domain.lower, domain.upper, balls=(ball, other))
    row = rng.normal(size=size) / scale
    for question in (domain, both):
        tape, work, balls = prepared(question, *question.box())
        bound = F(float(lowest(tape, work, balls, row, 0.0, np.zeros(tape.total))))
        for i in range(size):
            for sign in (1, -1):
                corner = list(centre)
                corner[i] += sign * (min(b.radius for b in question.balls if i in b.coordinates))
                assert question.contains(corner)
                assert sum(F(float(a)) * v for a, v in zip(row, corner, strict=True)) >= bound


def test_a_ball_that_names_a_coordinate_twice_is_left_to_its_box():
    domain = Domain((F(-1),), (F(1),), balls=(L1Ball((0, 0), (F(0), F(0)), F(1)),))
    assert len(make_balls(InputSet.of(domain)).radius) == 0
