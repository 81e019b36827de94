"""What a probe is and how it is scored, for each kind of label that a set may have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmlib.evaluate.labels import labels_probe, which_labels
from mmlib.evaluate.metrics import accuracy, balanced_accuracy, f1, f1_labels
from mmlib.evaluate.probe import linear_probe
from mmlib.evaluate.ridge import mean_squared_error, ridge_probe

Score = Callable[[Tensor, Tensor], float]
Parts = Mapping[str, Tensor]  # of train, validation and test


@dataclass(frozen=True)
class Probed:
    """A probe's predictions on the test part, and its main score on the validation part."""

    predictions: Tensor
    validation: float


@dataclass(frozen=True)
class Target:
    """One kind of label: the main score, further ones, the probe, the answer that looks at nothing.

    ``score`` is of predictions and labels; ``title`` names it with its unit, which differences have
    in words as ``points``. ``further`` gives titles and scores by the name of a metric. ``probe``
    takes features and labels of the three parts, and options of its own. ``constant`` takes the
    training labels and a number of samples; ``answer`` says what it is.
    """

    title: str
    points: str
    higher: bool  # whether more is better
    score: Score
    further: dict[str, tuple[str, Score]]
    probe: Callable[..., Probed]
    constant: Callable[[Tensor, int], Tensor]
    answer: str

    def best(self, scores: Mapping[Any, float]) -> Any:
        """The key of the best of ``scores``, the first of equals.

        >>> TARGETS["numbers"].best({"a": 2.0, "b": 1.0}), TARGETS["classes"].best({"a": 2, "b": 1})
        ('b', 'a')
        """
        return (max if self.higher else min)(scores, key=scores.__getitem__)


def explained(predictions: Tensor, numbers: Tensor) -> float:
    """Share of the variance of ``numbers`` (N, Q) that ``predictions`` explain, in percent.

    The mean over the Q outputs of R squared. Raises ``ValueError`` on unequal shapes and where an
    output does not vary.

    >>> y = torch.tensor([[1.0], [3.0]])
    >>> explained(y, y), explained(torch.full((2, 1), 2.0), y)
    (100.0, 0.0)
    """
    mean_squared_error(predictions, numbers)  # checks the shapes
    numbers, predictions = numbers.double(), predictions.double()
    if (numbers == numbers[0]).all(dim=0).any():  # their mean may be rounded
        raise ValueError("numbers has an output without variance; allowed: outputs that vary")
    total = (numbers - numbers.mean(dim=0)).square().sum(dim=0)
    return 100 * (1 - (predictions - numbers).square().sum(dim=0) / total).mean().item()


def _classes(features: Parts, labels: Parts, **options) -> Probed:
    both = [x[part] for part in ("train", "test") for x in (features, labels)]
    result = linear_probe(*both, **_held(features, labels), **options)
    said = result.classifier.logits(features["test"]).argmax(dim=1)
    return Probed(said.cpu(), max(result.validation.values()))


def _labels(features: Parts, labels: Parts) -> Probed:
    found, scores = labels_probe(features["train"], labels["train"], **_held(features, labels))
    return Probed(which_labels(found, features["test"]).cpu(), max(scores.values()))


def _numbers(features: Parts, labels: Parts) -> Probed:
    regression, errors = ridge_probe(features["train"], labels["train"], **_held(features, labels))
    said = regression.predict(features["test"])
    return Probed(said.cpu(), 1e4 * min(errors.values()))


def _held(features: Parts, labels: Parts) -> dict[str, tuple[Tensor, Tensor]]:
    return {"validation": (features["validation"], labels["validation"])}


TARGETS = {
    "classes": Target(
        title="balanced accuracy (%)",
        points="points",
        higher=True,
        score=balanced_accuracy,
        further={
            "accuracy": ("accuracy (%)", accuracy),
            "macro_f1": ("macro F1 (%)", f1),
            "weighted_f1": ("weighted F1 (%)", lambda p, y: f1(p, y, average="weighted")),
        },
        probe=_classes,
        constant=lambda labels, n: labels.bincount().argmax().expand(n),
        answer="training's largest class",
    ),
    "labels": Target(
        title="macro F1 of labels (%)",
        points="points",
        higher=True,
        score=f1_labels,
        further={
            "macro_f1": ("macro F1 (%)", f1_labels),
            "weighted_f1": ("weighted F1 (%)", lambda p, y: f1_labels(p, y, average="weighted")),
        },
        probe=_labels,
        constant=lambda labels, n: torch.ones_like(labels[:1]).expand(n, -1),
        answer="every label",
    ),
    "numbers": Target(
        title="mean squared error (10⁻⁴)",
        points="10⁻⁴",
        higher=False,
        score=lambda p, y: 1e4 * mean_squared_error(p, y),
        further={"explained": ("variance explained (%)", explained)},
        probe=_numbers,
        constant=lambda labels, n: labels.mean(dim=0).expand(n, -1),
        answer="training's mean",
    ),
}
