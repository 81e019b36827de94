"""A release: what was drawn, once, what it costs, and what of it others may see.

A :class:`mmlib.label_dp.ledger.Ledger` makes it from private labels.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from mmlib._checks import check_choice, check_range
from mmlib.label_dp.terms import NOTIONS, Guarantee, Terms, total_cost

TEACHING = (
    "Drawn from a seeded generator, for teaching: whoever knows the seed knows the labels. This is "
    "no private release, whatever epsilon says."
)


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
        """Of this release and the earlier ones; see
        :func:`mmlib.label_dp.terms.total_cost`."""
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


def _plain(value: Any) -> Any:
    return "infinite" if isinstance(value, float) and math.isinf(value) else value
