"""A release: what was drawn, once, and what it costs together with all that was drawn before.

The private labels go into a :class:`Ledger`, which hands out releases and keeps the account. It can
count only what goes through it: two ledgers of the same labels are two budgets, of one person.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmlib._checks import check_choice, check_range
from mmlib.label_dp.accounting import Guarantee, approximate_epsilon
from mmlib.label_dp.coins import SystemEntropy
from mmlib.label_dp.terms import Terms

NOTIONS = ("standard", "population")
TEACHING = (
    "Drawn from a seeded generator, for teaching: whoever knows the seed knows the labels. This is "
    "no private release, whatever epsilon says."
)
_ORDERS = [1 + 2 ** (i / 4 - 5) for i in range(61)]  # 1.03 to 1025


def total_cost(
    terms: tuple[Terms, ...], notion: str, *, order: float = math.inf, delta: float = 0.0
) -> Guarantee:
    """Cost of several independent releases of the same labels: costs of equal order add.

    With ``delta`` above 0, the least epsilon that a Rényi cost of any order implies, or the pure
    one; ``order`` of the result is the one that gave it.

    >>> from mmlib.label_dp.terms import LabelRR
    >>> once = LabelRR(n_classes=4, noise=0.5)
    >>> round(total_cost((once, once), "standard").epsilon, 4)  # 2 log 5
    3.2189
    """
    check_range("delta", delta, 0.0, 1.0, open_high=True)
    check_range("number of releases", len(terms), 1)
    if delta == 0:
        costs = [t.cost(notion, order) for t in terms]
        reasons = dict.fromkeys(c.reason for c in costs)
        if any(math.isinf(c.epsilon) for c in costs):  # say what makes it so
            reasons = dict.fromkeys(c.reason for c in costs if math.isinf(c.epsilon))
        return Guarantee(sum(c.epsilon for c in costs), order, "; ".join(reasons))
    found = []
    for a in (math.inf, *_ORDERS):
        cost = total_cost(terms, notion, order=a)
        epsilon = approximate_epsilon(cost.epsilon, a, delta)
        found.append(dataclasses.replace(cost, epsilon=epsilon, delta=delta))
    return min(found, key=lambda cost: cost.epsilon)


@dataclass(frozen=True, eq=False)
class Release:
    """Released labels, and whose image each record shows.

    Attributes:
        labels: (N,), or (N, K) for noisy one-hot labels.
        source: (N,) whose image each record shows, from N on a public pool's, or None if
            everybody's own. Private: it tells which images were kept.
        terms: what was drawn.
        earlier: what had been drawn from the same labels before.
        teaching: whether the coins had a seed, so that this is no release.
    """

    labels: Tensor = field(repr=False)
    source: Tensor | None = field(repr=False)
    terms: Terms
    earlier: tuple[Terms, ...]
    teaching: bool

    def cost(self, notion: str, order: float = math.inf) -> Guarantee:
        """Of this release alone."""
        return self.terms.cost(notion, order)

    def total(self, notion: str, *, order: float = math.inf, delta: float = 0.0) -> Guarantee:
        """Of this release and the earlier ones; see :func:`total_cost`."""
        return total_cost((*self.earlier, self.terms), notion, order=order, delta=delta)

    def shown(self, own: Tensor, pool: Tensor | None = None) -> Tensor:
        """What each record shows of ``own`` (N, ...) and the public ``pool`` (P, ...).

        Raises ``ValueError`` unless ``own`` has a row for each record.
        """
        self._check_rows(own)
        if self.source is None:
            return own
        if pool is None:
            return own[self.source]
        out = own[self.source.clamp(max=len(own) - 1)]
        drawn = self.source >= len(own)
        out[drawn] = pool[self.source[drawn] - len(own)]
        return out

    def card(self, *, order: float = math.inf, delta: float = 0.0) -> dict[str, Any]:
        """What was drawn and what it costs, for machines; infinity is the string "infinite"."""

        def plain(guarantee: Guarantee) -> dict[str, Any]:
            return {k: _plain(v) for k, v in dataclasses.asdict(guarantee).items()}

        def written(terms: Terms) -> dict[str, Any]:
            values = {k: _plain(v) for k, v in dataclasses.asdict(terms).items()}
            return {"mechanism": terms.name, **values}

        return {
            "teaching": TEACHING if self.teaching else False,
            "records": len(self.labels),
            "terms": written(self.terms),
            "earlier": [written(terms) for terms in self.earlier],
            "adjacency": {
                "standard": "one label is replaced; its image is known",
                "population": "one label is replaced, and with it its image",
            },
            "this release": {n: plain(self.cost(n, order)) for n in NOTIONS},
            "total": {n: plain(self.total(n, order=order, delta=delta)) for n in NOTIONS},
        }

    def save(
        self,
        folder: Path,
        *,
        moves: Mapping[str, Tensor] | None = None,
        stays: Mapping[str, Tensor] | None = None,
        pools: Mapping[str, Tensor] | None = None,
        order: float = math.inf,
        delta: float = 0.0,
    ) -> None:
        """Write what others may see: released labels, shown columns, and the card.

        Args:
            folder: a new one. Raises ``FileExistsError`` if it is there: what is drawn is drawn
                once, and what others have seen cannot be taken back.
            moves: columns (N, ...) that go with the image, by name: the image, and a table if the
                terms say that it moves. What is written is what each record shows.
            stays: columns that stay as they are: of mechanisms that swap no image all, else the
                table, if the terms say that it stays.
            pools: the public pools' columns (P, ...), by the same names as in ``moves``.
            order, delta: in which the card states costs.

        Raises ``ValueError`` for columns that stay against the terms, that have not a row for each
        record, or whose name is another's, or ``labels``.
        """
        from safetensors.torch import save_file

        moves, stays, pools = moves or {}, stays or {}, pools or {}
        if stays and self.source is not None:
            check_choice("table of the terms, with columns that stay", self.terms.table, ["stays"])
        for name in (*moves, *stays):
            if [*moves, *stays, "labels"].count(name) > 1:
                raise ValueError(f"{name} is written twice; allowed: a name of its own")
        for own in stays.values():
            self._check_rows(own)
        columns = {"labels": self.labels, **stays}
        columns |= {name: self.shown(own, pools.get(name)) for name, own in moves.items()}
        card = json.dumps(self.card(order=order, delta=delta), indent=1, ensure_ascii=False)
        folder = Path(folder)
        folder.mkdir(parents=True)
        tensors = {name: column.cpu().contiguous() for name, column in columns.items()}
        save_file(tensors, folder / "data.safetensors")
        (folder / "card.json").write_text(card + "\n")

    def _check_rows(self, column: Tensor) -> None:
        """In a column with more rows, indices into a pool would show private records."""
        check_range("rows of a column", len(column), len(self.labels), len(self.labels))


class Ledger:
    """Holds private labels and counts what is released of them.

    >>> from mmlib.label_dp.terms import LabelRR
    >>> ledger = Ledger(torch.tensor([0, 1, 2, 1]))
    >>> first = ledger.release(LabelRR(n_classes=3, noise=0.5))
    >>> first.teaching, round(first.total("standard").epsilon, 4)
    (False, 1.3863)
    >>> ledger.release(LabelRR(n_classes=3, noise=0.5))
    Traceback (most recent call last):
    ...
    ValueError: these labels have been released already, 1 time; to pay for them again: again=True
    >>> second = ledger.release(LabelRR(n_classes=3, noise=0.5), again=True)
    >>> round(second.total("standard").epsilon, 4)
    2.7726
    """

    def __init__(self, labels: Tensor) -> None:
        self._labels = labels.clone()
        self._released: tuple[Terms, ...] = ()

    def release(
        self,
        terms: Terms,
        *,
        generator: torch.Generator | None = None,
        again: bool = False,
        **public: Any,
    ) -> Release:
        """Draw once by ``terms``.

        Args:
            terms: the mechanism and its parameters.
            generator: a seeded one, for teaching: the result says that it is no release. By
                default the coins come from the operating system and are forgotten.
            again: whether to release labels again that have been released, at the sum of all costs.
            public: what the mechanism's ``draw`` takes besides; it must owe nothing to the labels.

        Raises ``ValueError`` for a second release that is not asked for. A draw that fails counts.
        """
        times = len(self._released)
        if times and not again:
            raise ValueError(
                f"these labels have been released already, {times} time{'s'[: times > 1]}; to pay "
                "for them again: again=True"
            )
        earlier = self._released
        # Paid before it is drawn: the model between two stages sees labels even if it then fails.
        self._released = (*earlier, terms)
        labels, source = terms.draw(self._labels, generator or SystemEntropy(), **public)
        return Release(labels, source, terms, earlier, teaching=generator is not None)

    def total(self, notion: str, *, order: float = math.inf, delta: float = 0.0) -> Guarantee:
        """Cost of all releases so far."""
        return total_cost(self._released, notion, order=order, delta=delta)

    def __repr__(self) -> str:
        return f"Ledger({len(self._labels)} labels, {len(self._released)} releases)"


def _plain(value: Any) -> Any:
    return "infinite" if isinstance(value, float) and math.isinf(value) else value
