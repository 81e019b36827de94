"""Three attackers on one release of records that have an image, a table row and a label.

They differ in what they see, so in the notion whose epsilon bounds them, and in whom they are to
beat: the best guess from what that notion calls known. What they make of a record without any
release they learned from records of their own, labels and all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from mmlib.data.table import TableSchema
from mmlib.evaluate.probe import logistic_path
from mmlib.label_dp.attacks import label_posterior, table_posterior
from mmlib.label_dp.conditions import Condition
from mmlib.label_dp.release import Release

ATTACKERS = {  # what each sees, and the notion under which a bound holds, as Condition.costs has it
    "shown": ("x̃ and ỹ", "population"),
    "row": ("x̃, ỹ and the row", "population, table too"),
    "known": ("x, row known; ỹ", "standard"),
}
_SURE = 1e-6  # least chance by a row: boosting is too sure of what it never saw


def shares(known_labels: Tensor, classes: int) -> Tensor:
    """Shares (K,) of the classes, by the labels (M,) of known records and one more of each class.

    >>> import torch
    >>> shares(torch.tensor([0, 0, 2]), 3)
    tensor([0.5000, 0.1667, 0.3333], dtype=torch.float64)
    """
    counts = (known_labels.bincount(minlength=classes) + 1).double()
    return counts / counts.sum()


def by_rows(
    known_rows: Tensor,
    known_labels: Tensor,
    rows: Tensor,
    schema: TableSchema,
    classes: int,
    *,
    columns: Sequence[int],
    seed: int,
) -> Tensor:
    """Chances (N, K) of each record's class by these ``columns`` of its own row.

    :func:`mmlib.label_dp.attacks.table_posterior` of known rows (M, C) and of ``rows`` (N, C).
    """
    columns = list(columns)
    return table_posterior(
        known_rows[:, columns],
        known_labels,
        rows[:, columns],
        classes,
        categorical=[i for i, k in enumerate(columns) if k >= schema.n_continuous],
        seed=seed,
    )


def by_features(
    known_features: Tensor, known_labels: Tensor, features: Tensor, classes: int
) -> Tensor:
    """Chances (N, K) by features (N, D) of its image: a logistic regression of known ones (M, D).

    The encoder must have seen no private record.

    >>> import torch
    >>> by_features(torch.tensor([[-1.0], [1.0]]), torch.tensor([0, 1]), torch.zeros(1, 1), 2)
    tensor([[0.5000, 0.5000]], dtype=torch.float64)
    """
    (model,) = logistic_path(
        known_features.double(),
        known_labels,
        [0.1],
        classes=classes,
        standardize=True,
        tolerance=1e-4,
    )
    return model.logits(features.double()).softmax(1)


@dataclass(frozen=True)
class Attackers:
    """What they make of the private records, by models that saw no release.

    Attributes:
        prior: (K,), positive, shares of the classes.
        by_image: (N, K), chances of the classes given each record's own image alone.
        by_row: (N, K), given its own row alone.

    >>> import torch
    >>> from mmlib.label_dp.conditions import conditions
    >>> from mmlib.label_dp.ledger import Ledger
    >>> labels, even = torch.tensor([0, 1, 1, 0]), torch.full((4, 2), 0.5)
    >>> found = Attackers(even[0], by_image=even, by_row=torch.eye(2)[labels])
    >>> row = conditions(2, 1.0)["double_rr"]
    >>> drawn = Ledger(labels).release(row.terms, generator=torch.Generator().manual_seed(1))
    >>> found.guesses(row, drawn)["row"][0]  # it stays, and tells the class whatever was drawn
    tensor([0, 1, 1, 0])
    """

    prior: Tensor
    by_image: Tensor
    by_row: Tensor

    def guesses(self, condition: Condition, release: Release) -> dict[str, tuple[Tensor, Tensor]]:
        """Each attacker's best guess (N,) of the true labels, and the one without the release.

        * ``shown`` sees the image as released and the label, no row;
        * ``row`` also the row beside them: the record's own, or, if it moves, the image's;
        * ``known`` knows the record's own image and row, and sees the label.

        The first two are to beat the most frequent class, the last what image and row tell. Image
        and row are taken as independent given the class; a nearest draw as a uniform one.
        """
        by_row = self.by_row.clamp(min=_SURE)
        by_both = self.by_image * by_row / self.prior
        image, row = self.by_image / self.prior, by_row / self.prior  # likelihoods, up to factors
        noise = {"noise_image": condition.noise_image}

        def best(prior: Tensor, **shown) -> Tensor:
            posterior = label_posterior(release.labels, condition.noise_label, prior, **shown)
            return posterior.argmax(1)

        if condition.moves:
            beside = best(self.prior, shown=release.shown(image * row), **noise)
        else:
            beside = best(by_row, shown=release.shown(image), **noise)
        frequent = self.prior.argmax().expand_as(release.labels)
        return {
            "shown": (best(self.prior, shown=release.shown(image), **noise), frequent),
            "row": (beside, frequent),
            "known": (best(by_both), by_both.argmax(1)),
        }
