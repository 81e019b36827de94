"""Logistic regressions of one data set with several strengths, solved side by side."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mmlib.evaluate._lbfgs import minimize

_ITERATIONS = 1000
_ENTRIES = 2**20  # of logits at a time
_STANDSTILL = {torch.float32: 1e-10, torch.float64: 1e-15}  # change of the loss that is none


class Problems:
    """The optimisation problems for one data set, one for each strength.

    A position is (D + 1, columns): weights, bias. Weights are kept in the eigenbasis of the
    covariance of ``x``, where the norm is the same and the curvature is known for each row. All
    problems are evaluated together, so that each pass over the data serves them all.

    ``y`` holds class numbers (N,), or the likelihood (N, K) of each class.
    """

    def __init__(self, x: Tensor, y: Tensor, classes: int, penalty: str):
        self.y, self.classes, self.penalty = y, classes, penalty
        self.columns = classes if classes > 2 or y.ndim == 2 else 1
        eigenvalues, self.basis = torch.linalg.eigh(x.T @ x / len(x))
        self.x = x @ self.basis
        # Hessian of the mean cross-entropy where all classes are equally likely.
        chance = 1 / classes if classes > 2 else 1 / 4
        self.curvature = chance * F.pad(eigenvalues.clamp(min=0), (0, 1), value=1.0)[:, None]

    def weight_and_bias(self, position: Tensor) -> tuple[Tensor, Tensor]:
        """Weight (D, K) and bias (K,)."""
        missing = (self.classes - self.columns, 0)
        return F.pad(self.basis @ position[:-1], missing), F.pad(position[-1], missing)

    def objective(self, positions: Tensor, forces: Tensor) -> tuple[Tensor, Tensor]:
        """Values (S,) at positions (S, D + 1, columns), and gradients.

        A value is mean loss + force * (half the squared norm, or the norm); values and
        ``forces`` (S,) are float64.
        """
        n, count, columns = len(self.x), len(positions), self.columns
        weights, bias = positions[:, :-1], positions[:, -1]
        flat = weights.permute(1, 0, 2).reshape(-1, count * columns)
        loss, slope, tilt = forces.new_zeros(count), torch.zeros_like(flat), torch.zeros_like(bias)
        rows = max(1, _ENTRIES // (count * columns))
        for x, y in zip(self.x.split(rows), self.y.split(rows), strict=True):
            logits = (x @ flat).view(-1, count, columns) + bias
            loss_of = _cross_entropy if y.ndim == 1 else _forward
            part, residual = loss_of(logits.double(), y)  # float32 would stand still early
            residual = (residual / n).to(x.dtype)
            loss = loss + part / n
            slope += x.T @ residual.flatten(1)
            tilt += residual.sum(dim=0)
        slope = slope.view(-1, count, columns).permute(1, 0, 2)
        if self.penalty == "l2":
            loss = loss + forces * weights.double().square().sum(dim=(1, 2)) / 2
            pull = forces.to(weights.dtype)[:, None, None] * weights
        else:
            norm = weights.double().square().sum(dim=(1, 2)).sqrt()
            loss = loss + forces * norm
            pull = (forces / norm).to(weights.dtype)[:, None, None] * weights
        return loss, torch.cat([slope + pull, tilt[:, None]], dim=1)

    def solve(self, strengths: Sequence[float], tolerance: float) -> list[Tensor]:
        """The optimal position for each strength."""
        # Starting where the next stronger fit ended would take as many steps: at zero the scale
        # below makes the first one Newton's.
        size = (self.x.shape[1] + 1, self.columns)
        if self.penalty == "l2":
            forces = [1 / (C * len(self.x)) for C in strengths]
            starts = [self.x.new_zeros(size) for _ in strengths]
            moving = list(range(len(strengths)))
        else:
            forces = [1 / (2 * C) for C in strengths]
            starts = [self._leave_zero(force) for force in forces]
            moving = [k for k, start in enumerate(starts) if start[:-1].any()]
        if not moving:
            return starts
        force = torch.tensor([forces[k] for k in moving], dtype=torch.float64, device=self.x.device)
        bends = force.to(self.x.dtype)[:, None, None].repeat(1, size[0], 1)
        bends[:, -1] = 0
        scale = (self.curvature + bends).rsqrt()

        def evaluate(inner: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
            value, slope = self.objective(scale[rows] * inner, force[rows])
            return value, scale[rows] * slope

        inner, early = minimize(
            evaluate,
            torch.stack([starts[k] for k in moving]) / scale,
            tolerance=tolerance,
            standstill=_STANDSTILL[self.x.dtype],
            iterations=_ITERATIONS,
        )
        for k, position, stopped in zip(moving, scale * inner, early.tolist(), strict=True):
            starts[k] = position
            if stopped:
                warnings.warn(
                    f"no optimum in {_ITERATIONS} iterations at C={strengths[k]:g}", stacklevel=4
                )
        return starts

    def _leave_zero(self, force: float) -> Tensor:
        """A start off W = 0, where the un-squared norm has no derivative, or the optimum there.

        At W = 0 the loss falls by at most the norm of its gradient, the penalty grows by ``force``.
        """
        targets = F.one_hot(self.y, self.classes)
        targets = targets[:, -self.columns :].to(self.x.dtype)
        down = self.x.T @ targets / len(self.x)
        counts = torch.bincount(self.y, minlength=self.classes).clamp(min=0.5)
        bias = counts.log().to(self.x.dtype)
        bias = bias[-1:] - bias[0] if self.columns == 1 else bias - bias.mean()
        fall, step = down.norm().item(), 0.0
        if fall > force:  # never where features do not vary
            # Half the covariance bounds the Hessian, so this step lowers the objective.
            step = (1 - force / fall) / (0.5 * self.curvature[:-1].max() / self.curvature[-1])
        return torch.cat([step * down, bias[None]])


def _cross_entropy(logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropies (S,), summed over N samples, of logits (N, S, columns), and gradients.

    One column is the log-odds of class 1.
    """
    if logits.shape[2] == 1:
        truth = y[:, None, None].to(logits.dtype)
        loss = -F.logsigmoid((2 * truth - 1) * logits).sum(dim=(0, 2))
        return loss, torch.sigmoid(logits) - truth
    total = logits.logsumexp(dim=2, keepdim=True)
    place = y[:, None, None].expand(-1, logits.shape[1], 1)
    loss = (total - logits.gather(2, place)).sum(dim=(0, 2))
    return loss, (logits - total).exp().scatter_add_(2, place, -torch.ones_like(total))


def _forward(logits: Tensor, likelihood: Tensor) -> tuple[Tensor, Tensor]:
    """Forward-corrected losses (S,), summed over N samples, of logits (N, S, K), and gradients.

    A gradient is the model's chances less what they become by Bayes' rule.
    """
    chances = logits.softmax(dim=2)
    told = chances * likelihood[:, None]
    explained = told.sum(dim=2, keepdim=True)
    return -explained.log().sum(dim=(0, 2)), chances - told / explained
