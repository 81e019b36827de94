"""What probes say of pairs of images: scores, their intervals, and which row is chosen."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

from mmlib._checks import check_choice
from mmlib.data.trifeature import Pairs
from mmlib.evaluate.bootstrap import Interval, bootstrap, difference
from mmlib.evaluate.metrics import balanced_accuracy, roc_auc

if TYPE_CHECKING:
    import pandas as pd

MEASURES = {  # what is told of a model, and the tasks that it is the mean over
    "redundancy": ("R",), "uniqueness1": ("U1",), "uniqueness2": ("U2",),
    "uniqueness": ("U1", "U2"), "synergy": ("S",), "synergy_auc": ("S",),
}  # fmt: skip
PARTS = ("redundancy", "uniqueness", "synergy")
UNITS = ("combination", "image", "pair")
Row = TypeVar("Row")


@dataclass(frozen=True)
class Answers:
    """What linear probes say of ``pairs``: for each task scores (P, K) of its classes.

    A measure is one of :data:`MEASURES`, in percent: the balanced accuracy, averaged over tasks, or
    for ``"synergy_auc"`` the area under the ROC curve. Intervals are of 95 % and draw combinations.

    >>> sides, follows = torch.tensor([[0, 1], [1, 2]]), torch.tensor([0, 1])
    >>> pairs = Pairs(*sides, {"S": follows}, combinations=torch.arange(3))
    >>> yes = Answers(pairs, {"S": torch.tensor([[0.0, 1.0], [0.0, 2.0]])})
    >>> yes.score("synergy"), yes.score("synergy_auc")
    (50.0, 100.0)
    """

    pairs: Pairs
    logits: dict[str, Tensor]  # on the CPU

    def __or__(self, other: Answers) -> Answers:
        """The answers of both, on the same pairs; to a task that both know, those of ``other``."""
        return Answers(self.pairs, self.logits | other.logits)

    def score(self, measure: str, places: Tensor | slice = slice(None)) -> float:
        """A measure of the pairs at ``places``; nan of none, and an area also of a single class."""
        check_choice("measure", measure, MEASURES)
        scores = []
        for task in MEASURES[measure]:
            logits, labels = self.logits[task][places], self.pairs.labels[task][places]
            classes = len(labels.unique())
            if measure == "synergy_auc":
                leaning = logits[:, 1] - logits[:, 0]
                scores.append(roc_auc(leaning, labels) if classes > 1 else torch.nan)
            else:
                answers = logits.argmax(1)
                scores.append(balanced_accuracy(answers, labels) if classes else torch.nan)
        return sum(scores) / len(scores)

    def interval(
        self, measure: str, *, repeats: int, seed: int, by: str = "combination"
    ) -> Interval:
        """The interval of a measure; ``by`` is one of :data:`UNITS`, what is drawn again."""
        drawn = redrawn(self.pairs, repeats, seed, by)
        return bootstrap(lambda places: self.score(measure, places), **drawn)

    def above(
        self, other: Answers, measure: str, *, repeats: int, seed: int
    ) -> tuple[float, Interval]:
        """How far a measure is above that of ``other``, in points, and the interval of that.

        Both see the same combinations drawn, also where their pairs differ, which are of images of
        one part. Both are nan where the measure is.
        """
        n = len(self.pairs)
        if math.isnan(self.score(measure)) or math.isnan(other.score(measure)):
            return math.nan, Interval(*[math.nan] * 3)
        sides = zip(*((p.first, p.second) for p in (self.pairs, other.pairs)), strict=True)
        both = Pairs(*(torch.cat(side) for side in sides), {}, self.pairs.combinations)
        return difference(
            lambda places: self.score(measure, places[places < n]),
            lambda places: other.score(measure, places[places >= n] - n),
            **redrawn(both, repeats, seed),
        )


def redrawn(pairs: Pairs, repeats: int, seed: int, by: str = "combination") -> dict[str, Any]:
    """What :func:`bootstrap` draws again: combinations, or another of :data:`UNITS`.

    A claim about unseen combinations needs these, each with all its images. By image, images are
    drawn as if those of a combination were independent; by pair, as if pairs were. In the same
    order for the same seed, on the CPU.
    """
    check_choice("by", by, UNITS)
    images = [pairs.first, pairs.second]
    combinations = [pairs.combinations[image] for image in images]
    return {
        "n": len(pairs),
        "units": {"combination": combinations, "image": images, "pair": []}[by],
        "repeats": repeats,
        "generator": torch.Generator().manual_seed(seed),
    }


def choose(
    tried: Mapping[Row, Mapping[str, Answers]], among: Iterable[Row]
) -> tuple[Row, dict[Row, dict[str, float]]]:
    """The best row of ``among`` on the validation pairs, and what is measured there of all rows.

    The measures are redundancy, uniqueness, synergy and ``"mean"``, by which the best is, the first
    of equals. Only answers to the split ``"val"`` are looked at.
    """
    merits = {}
    for row, answers in tried.items():
        merits[row] = {part: answers["val"].score(part) for part in PARTS}
        merits[row]["mean"] = sum(merits[row].values()) / len(PARTS)
    return max(among, key=lambda row: merits[row]["mean"]), merits


def averaged_parts(points: pd.DataFrame) -> pd.DataFrame:
    """Curves of tasks, a row a point, as columns: R, U (mean of U1 and U2), S, and their mean.

    Rows are of a method, step and seed. A mean is missing where one of the three is.
    """
    points = points.astype({"value": float}).replace({"curve": {"U1": "U", "U2": "U"}})
    parts = points.groupby(["method", "step", "seed", "curve"])["value"].mean().unstack()
    parts["mean"] = parts.mean(axis=1, skipna=False)
    return parts.reset_index()
