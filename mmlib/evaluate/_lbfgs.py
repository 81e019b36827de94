"""L-BFGS for many smooth convex problems at once, each with its own steps."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_PAIRS = 100  # steps that the curvature is estimated from
_DECREASE = 1e-4  # of the objective, as a share of what its slope promises, that a step has to make
_FLATTER = 0.9  # share of the slope at which a step is still too short
_TRIALS = 25


def minimize(
    evaluate: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    start: Tensor,
    *,
    tolerance: float,
    standstill: float,
    iterations: int,
) -> tuple[Tensor, Tensor]:
    """Minima of P convex problems from ``start`` (P, ...), and bool (P,): which stopped early.

    ``evaluate`` takes points (A, ...) and the numbers (A,) of the problems they belong to, and
    gives values (A,) and gradients (A, ...). A problem ends where no entry of its gradient is
    larger than ``tolerance``, or where a step changes its value by at most ``standstill``; the
    others go on without it. The first step tried is the negative gradient, so the problems
    should be scaled for it. Steps meet the weak Wolfe conditions.

    >>> centre = torch.tensor([[1.0, 2.0], [3.0, -1.0]])
    >>> found, early = minimize(
    ...     lambda x, of: (((x - centre[of]) ** 2).sum(1), 2 * (x - centre[of])), torch.zeros(2, 2),
    ...     tolerance=1e-6, standstill=0.0, iterations=10,
    ... )
    >>> torch.equal(found, centre), early.any().item()
    (True, False)
    """
    found = start.clone()
    early = torch.zeros(len(start), dtype=torch.bool, device=start.device)
    of = torch.arange(len(start), device=start.device)
    point = start.flatten(1)

    def at(x: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        value, slope = evaluate(x.view(-1, *start.shape[1:]), rows)
        return value, slope.flatten(1)

    value, slope = at(point, of)
    steps, bends, weights = [], [], []  # s, y, and 1 / (s y), or 0 where there is no curvature
    going = slope.abs().amax(dim=1) > tolerance
    for count in range(iterations + 1):
        found[of[~going]] = point[~going].view(-1, *start.shape[1:])
        if not going.all():
            of, point, value, slope = of[going], point[going], value[going], slope[going]
            steps, bends, weights = ([t[going] for t in ts] for ts in (steps, bends, weights))
        if not len(of):
            break
        if count == iterations:
            found[of], early[of] = point.view(-1, *start.shape[1:]), True
            break
        move = -_newton(slope, steps, bends, weights)
        moved, reached, tilt = _descend(at, of, point, value, slope, move)
        step, bend = moved - point, tilt - slope
        curve = (step * bend).sum(dim=1)
        weight = torch.where(curve > 1e-10 * bend.square().sum(dim=1), 1 / curve, 0)
        for history, new in zip((steps, bends, weights), (step, bend, weight), strict=True):
            history.append(new)
            del history[:-_PAIRS]
        going = (tilt.abs().amax(dim=1) > tolerance) & ((value - reached).abs() > standstill)
        point, value, slope = moved, reached, tilt
    return found, early


def _newton(
    slope: Tensor, steps: list[Tensor], bends: list[Tensor], weights: list[Tensor]
) -> Tensor:
    """The inverse Hessian, as the last steps tell it, times the gradients (A, E)."""
    vector, shares = slope.clone(), []
    for s, y, w in zip(reversed(steps), reversed(bends), reversed(weights), strict=True):
        shares.append(w * (s * vector).sum(dim=1))
        vector -= shares[-1][:, None] * y
    if steps:
        curve = bends[-1].square().sum(dim=1) * weights[-1]
        vector /= torch.where(curve > 0, curve, 1)[:, None]
    for s, y, w in zip(steps, bends, weights, strict=True):
        vector += (shares.pop() - w * (y * vector).sum(dim=1))[:, None] * s
    return vector


def _descend(
    at: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    of: Tensor,
    point: Tensor,
    value: Tensor,
    slope: Tensor,
    move: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Points (A, E) along ``move`` that are neither too far nor too near, with values, gradients.

    Too far: the value has not fallen enough. Too near: it still falls almost as steeply. Bisection
    between the two, doubling as long as nothing was too far. Where the value falls nowhere, which
    rounding can cause near the minimum, the point stays.
    """
    promised = (slope * move).sum(dim=1).double()
    moved, reached, tilt = point.clone(), value.clone(), slope.clone()
    left = torch.arange(len(of), device=of.device)
    length = torch.ones_like(promised)
    near, far = torch.zeros_like(promised), torch.full_like(promised, torch.inf)
    for _ in range(_TRIALS):
        tried = point[left] + length[left, None].to(point.dtype) * move[left]
        new, gradient = at(tried, of[left])
        fallen = new <= value[left] + _DECREASE * length[left] * promised[left]
        steep = (gradient * move[left]).sum(dim=1) < _FLATTER * promised[left]
        better = left[fallen & (new < reached[left])]
        kept = fallen & (new < reached[left])
        moved[better], reached[better], tilt[better] = tried[kept], new[kept], gradient[kept]
        near[left[fallen]], far[left[~fallen]] = length[left[fallen]], length[left[~fallen]]
        left = left[~fallen | steep]
        if not len(left):
            break
        middle = (near[left] + far[left]) / 2
        length[left] = torch.where(middle.isinf(), 2 * length[left], middle)
    return moved, reached, tilt
