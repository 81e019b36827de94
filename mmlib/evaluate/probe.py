"""Linear probe: how much of a label a linear classifier reads from frozen embeddings.

The classifier is multinomial logistic regression, a convex problem, solved by L-BFGS in coordinates
in which its Hessian at the start is the identity. Embeddings are strongly correlated, so this takes
a fraction of the iterations; it needs one eigendecomposition (D, D), which all strengths share. The
fits of all strengths go side by side, each with its own steps, and share every pass over the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mmlib._checks import check_choice, check_range, check_shape
from mmlib.device import check_products
from mmlib.evaluate._logistic import Problems
from mmlib.evaluate.metrics import accuracy, balanced_accuracy

STRENGTHS = tuple(10.0**k for k in range(-5, 2))  # of C, strong to weak regularisation
_CHOICE, _FINAL = 1e-4, 1e-5  # tolerances of a probe: to choose C, and of its classifier
PROBES: dict[str, dict] = {  # options of a linear probe, by its penalty
    "l2": {"validation": 0.25},
    # Penalty and split of CoMM's released code. Its strengths are every second of these, and then
    # some of 29 finer ones around the best of them, by bisection.
    "unsquared": {
        "validation": 0.4, "penalty": "unsquared", "standardize": False,
        "strengths": tuple(10.0**k for k in range(-6, 7)),
    },
}  # fmt: skip


@dataclass(frozen=True)
class LinearClassifier:
    """Class scores ``x @ weight + bias``: weight (D, K), bias (K,), fitted with strength ``C``."""

    weight: Tensor
    bias: Tensor
    C: float

    def logits(self, x: Tensor) -> Tensor:
        """Scores (N, K) of embeddings (N, D)."""
        return x.to(self.weight.dtype) @ self.weight + self.bias


@dataclass(frozen=True)
class ProbeResult:
    """Scores of a probe on the test set, in percent, and what it chose on the validation set."""

    accuracy: float
    balanced_accuracy: float
    C: float
    validation: dict[float, float]  # balanced accuracy for each C
    classifier: LinearClassifier


def linear_probe(
    train_x: Tensor,
    train_y: Tensor,
    test_x: Tensor,
    test_y: Tensor,
    *,
    validation: float | tuple[Tensor, Tensor] = 0.25,
    generator: torch.Generator | None = None,
    strengths: Sequence[float] = STRENGTHS,
    penalty: str = "l2",
    standardize: bool = True,
) -> ProbeResult:
    """Fit a linear classifier on the training set and score it on the test set.

    Its strength is the one with the best balanced accuracy on the validation set; equals are told
    apart by their cross-entropy there. It is then fitted on training and validation set together.
    The test set chooses nothing.

    Args:
        train_x, test_x: embeddings (N, D) and (M, D).
        train_y, test_y: class numbers (N,) and (M,), from 0.
        validation: embeddings and class numbers; or the share of each class of the training set to
            take for it, chosen by ``generator``.
        strengths, penalty, standardize: see :func:`logistic_path`.

    Raises ``ValueError`` on other shapes and ranges, and if a random split has no generator.
    Source: CoMM, released code (share 0.4), which has finer strengths tried around the best one.

    >>> x, y = torch.eye(4).repeat(25, 1), torch.arange(4).repeat(25)
    >>> linear_probe(x, y, x, y, generator=torch.Generator().manual_seed(0)).balanced_accuracy
    100.0
    """
    given = {"validation": validation} if isinstance(validation, tuple) else {}
    check_parts("N", training=(train_x, train_y), test=(test_x, test_y), **given)
    if given:
        fit_x, fit_y, (val_x, val_y) = train_x, train_y, validation
        train_x, train_y = torch.cat([fit_x, val_x]), torch.cat([fit_y, val_y])
    else:
        if generator is None:
            raise ValueError("generator is None; the random validation split needs one")
        rest, held = stratified_split(train_y, validation, generator=generator)
        fit_x, fit_y, val_x, val_y = train_x[rest], train_y[rest], train_x[held], train_y[held]

    options = {
        "classes": int(max(train_y.max(), test_y.max())) + 1,
        "penalty": penalty,
        "standardize": standardize,
    }
    path = logistic_path(fit_x, fit_y, strengths, **options, tolerance=_CHOICE)
    merits = [_merit(classifier, val_x, val_y) for classifier in path]
    best = path[max(range(len(path)), key=merits.__getitem__)]
    (best,) = logistic_path(train_x, train_y, [best.C], **options, tolerance=_FINAL)
    guess = best.logits(test_x).argmax(1)
    return ProbeResult(
        accuracy=accuracy(guess, test_y),
        balanced_accuracy=balanced_accuracy(guess, test_y),
        C=best.C,
        validation={c.C: merit[0] for c, merit in zip(path, merits, strict=True)},
        classifier=best,
    )


def check_parts(labels: str, **parts: tuple[Tensor, Tensor]) -> None:
    """Raise ``ValueError`` unless each part has finite embeddings (N, D), and labels of that shape.

    Each has an N of its own; other letters are the same in all.

    >>> check_parts("N", training=(torch.eye(3), torch.ones(3)), test=(torch.eye(2), torch.ones(2)))
    Traceback (most recent call last):
    ...
    ValueError: test embeddings has shape (2, 2); expected (N, D=3)
    """
    common: dict[str, int] = {}
    for part, (x, y) in parts.items():
        found = check_shape(f"{part} embeddings", x, "N D", **common)
        if not x.isfinite().all():  # nan would be told as the first class
            raise ValueError(f"{part} embeddings hold nan or infinity; allowed: finite numbers")
        found |= check_shape(f"{part} labels", y, labels, **common | found)
        common = {letter: size for letter, size in found.items() if letter != "N"}


def logistic_path(
    x: Tensor,
    y: Tensor,
    strengths: Sequence[float],
    *,
    classes: int | None = None,
    penalty: str = "l2",
    standardize: bool = False,
    tolerance: float = 1e-7,
) -> list[LinearClassifier]:
    """Logistic regressions of ``y`` on ``x``, one for each strength C (small C: strong penalty).

    With penalty ``l2`` the objective is scikit-learn's, C * (sum of cross-entropies) + ||W||^2 / 2;
    with ``unsquared`` it is CoMM's, (mean cross-entropy) + ||W|| / (2 C), whose optimum is exactly
    W = 0 when C is small. The bias is free. For two classes W is a single column, as in
    scikit-learn. Likelihoods in the place of class numbers (``l2`` only) are learned from by
    :func:`mmlib.label_dp.learning.forward_loss`, which is not convex: from W = 0, downhill.

    Args:
        x: (N, D), centred inside; computed in its dtype, at least float32.
        y: class numbers (N,), or likelihoods (N, K) of the classes, each row up to a factor.
        classes: K; by default the largest class number plus one.
        standardize: whether the penalty counts weights of features divided by their standard
            deviation. The weights returned are for ``x`` as given in either case.
        tolerance: largest entry of the gradient of the mean objective, in the solver's coordinates.

    Raises ``ValueError`` on other shapes and ranges, and as :func:`mmlib.device.check_products`
    says; warns if the solver stops early.
    Source: CoMM, released code (the un-squared norm).

    >>> (c,) = logistic_path(torch.tensor([[-1.0], [1.0]]), torch.tensor([0, 1]), [1.0])
    >>> c.logits(torch.tensor([[0.0], [1.0]])).softmax(1)[:, 1]
    tensor([0.5000, 0.6...])
    """
    n = check_shape("x", x, "N D")["N"]
    check_choice("penalty", penalty, ("l2", "unsquared") if y.ndim == 1 else ("l2",))
    for C in strengths:
        check_range("C", C, 0, open_low=True)
    if y.ndim == 2:
        classes = check_shape("y", y, "N K", N=n)["K"]
        check_range("smallest likelihood", y.min().item(), 0)
        check_range("a record's largest likelihood", y.amax(1).min().item(), 0, open_low=True)
        y = y.double() / y.amax(1, keepdim=True)
    else:
        check_shape("y", y, "N", N=n)
        if y.is_floating_point():
            raise ValueError(f"y is {y.dtype}; allowed: integers, or likelihoods (N, K)")
        classes = int(y.max()) + 1 if classes is None else classes
        check_range("labels", int(y.min()), 0)
        check_range("labels", int(y.max()), 0, classes - 1)
    check_range("classes", classes, 2)

    check_products(x.device)
    # Embeddings often come from inference mode, whose tensors may not leave it.
    with torch.inference_mode(False), torch.no_grad():
        x = x.detach().to(torch.promote_types(x.dtype, torch.float32))
        mean = x.mean(0)
        scale = x.std(0, correction=0) if standardize else torch.ones_like(mean)
        scale = torch.where(scale > 1e-6 * mean.abs(), scale, 1)  # constant features stay zero
        problems = Problems((x - mean) / scale, y, classes, penalty)
        path = []
        for C, position in zip(strengths, problems.solve(strengths, tolerance), strict=True):
            weight, bias = problems.weight_and_bias(position)
            weight = weight / scale[:, None]
            path.append(LinearClassifier(weight, bias - mean @ weight, C))
    return path


def stratified_split(
    labels: Tensor, share: float, *, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Split indices at random so that the second part has ``share`` of each class, rounded.

    Returns the indices of both parts, each in ascending order. Raises ``ValueError`` on a share
    outside (0, 1) and if a part stays empty.

    >>> labels = torch.tensor([0] * 6 + [1] * 4)
    >>> rest, held = stratified_split(labels, 0.5, generator=torch.Generator().manual_seed(0))
    >>> labels[held]
    tensor([0, 0, 0, 1, 1])
    """
    check_range("share", share, 0, 1, open_low=True, open_high=True)
    n = check_shape("labels", labels, "N")["N"]
    order = torch.randperm(n, generator=generator, device=labels.device)
    order = order[labels[order].argsort(stable=True)]  # by class, at random within each
    _, place, counts = labels[order].unique_consecutive(return_inverse=True, return_counts=True)
    within = torch.arange(n, device=labels.device) - (counts.cumsum(0) - counts)[place]
    held = within < (share * counts).round()[place]
    if held.all() or not held.any():
        raise ValueError(f"share is {share!r}, which leaves a part of {n} labels empty")
    return order[~held].sort().values, order[held].sort().values


def _merit(classifier: LinearClassifier, x: Tensor, y: Tensor) -> tuple[float, float]:
    logits = classifier.logits(x)
    return balanced_accuracy(logits.argmax(1), y), -F.cross_entropy(logits, y).item()
