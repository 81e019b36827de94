"""Linear probes of numbers: how well a ridge regression predicts them from frozen embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmlib._checks import check_range, check_shape
from mmlib.evaluate.probe import check_parts

STRENGTHS = tuple(10.0**k for k in range(-6, 7, 2))  # of the penalty, weak to strong


@dataclass(frozen=True)
class LinearRegression:
    """``x @ weight + bias``: weight (D, Q), bias (Q,), fitted with penalty ``alpha``."""

    weight: Tensor
    bias: Tensor
    alpha: float

    def predict(self, x: Tensor) -> Tensor:
        """Predictions (N, Q) for embeddings (N, D), in double precision."""
        return x.double() @ self.weight + self.bias


def mean_squared_error(predictions: Tensor, targets: Tensor) -> float:
    """Mean of the squared differences over samples and outputs, of two tensors (N, Q).

    Raises ``ValueError`` on unequal shapes and on no samples.

    >>> mean_squared_error(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 0.0]]))
    2.0
    """
    n, q = check_shape("targets", targets, "N Q").values()
    check_shape("predictions", predictions, "N Q", N=n, Q=q)
    check_range("number of samples", n, 1)
    return (predictions.double() - targets.double()).square().mean().item()


def ridge_path(x: Tensor, y: Tensor, strengths: Sequence[float]) -> list[LinearRegression]:
    """Ridge regressions of ``y`` on ``x``, one for each strength alpha, as scikit-learn's.

    The objective is (sum of squared errors) + alpha * ||W||^2; the bias is free. One decomposition
    (D, D) in double precision serves all strengths.

    Args:
        x: (N, D), centred inside.
        y: (N, Q).

    Raises ``ValueError`` on other shapes and for a strength that is not above zero.

    >>> (fit,) = ridge_path(torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [2.0]]), [0.5])
    >>> fit.weight, fit.bias
    (tensor([[1.]], dtype=torch.float64), tensor([0.5000], dtype=torch.float64))
    """
    n = check_shape("x", x, "N D")["N"]
    check_shape("y", y, "N Q", N=n)
    for alpha in strengths:
        check_range("alpha", alpha, 0, open_low=True)
    x, y = x.double(), y.double()
    mean_x, mean_y = x.mean(dim=0), y.mean(dim=0)
    x, y = x - mean_x, y - mean_y
    values, basis = torch.linalg.eigh(x.T @ x)
    along = basis.T @ (x.T @ y)  # (D, Q)
    path = []
    for alpha in strengths:
        weight = basis @ (along / (values.clamp(min=0) + alpha)[:, None])
        path.append(LinearRegression(weight, mean_y - mean_x @ weight, alpha))
    return path


def ridge_probe(
    train_x: Tensor, train_y: Tensor, *, validation: tuple[Tensor, Tensor]
) -> tuple[LinearRegression, dict[float, float]]:
    """A ridge regression of the strength that predicts the validation set best.

    Of equal strengths it is the weakest; the final fit is on training and validation set together.
    Features are not standardised. No test sample is seen, unless ``validation`` is of these.

    Args:
        train_x, train_y: embeddings (N, D) and numbers (N, Q).
        validation: embeddings (V, D) and numbers (V, Q).

    Returns the regression, and the mean squared error on the validation set for each strength.
    Raises ``ValueError`` on other shapes. Source: CoMM, released code, Vision & Touch (strengths
    1e-6 to 1e6, every second decade).

    >>> x = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
    >>> y = x @ torch.ones(3, 2)
    >>> regression, errors = ridge_probe(x, y, validation=(x, y))
    >>> regression.alpha, errors[regression.alpha] < 1e-12
    (1e-06, True)
    """
    check_parts("N Q", training=(train_x, train_y), validation=validation)
    val_x, val_y = validation
    path = ridge_path(train_x, train_y, STRENGTHS)
    errors = {fit.alpha: mean_squared_error(fit.predict(val_x), val_y) for fit in path}
    alpha = min(errors, key=errors.__getitem__)  # the first of equals
    (best,) = ridge_path(torch.cat([train_x, val_x]), torch.cat([train_y, val_y]), [alpha])
    return best, errors
