"""What a training on privatised pairs is compared across: noise, draw, table, reading of epsilon.

A :class:`Condition` names the terms on which a data set is released, and what they cost under each
notion. :func:`conditions` gives the rows of a comparison at one epsilon, under both of its
readings: ``population`` takes lambda from two responses, ``standard`` from one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from mmlib._checks import check_choice
from mmlib.label_dp.accounting import noise_for
from mmlib.label_dp.mechanisms.double_rr import DoubleRR
from mmlib.label_dp.mechanisms.randomized_response import LabelRR
from mmlib.label_dp.release import Release

RESPONSES = {"population": 2, "standard": 1}  # of a reading, in the formula for its lambda


@dataclass(frozen=True)
class Condition:
    """The terms of a release, as they are run: images are drawn from the records themselves.

    Attributes:
        title: what a table calls it.
        terms: what is drawn, and whether the table row goes with the image.
        reading: of epsilon, that the lambdas were taken from; empty if there is none.

    >>> row = Condition("label RR", LabelRR(n_classes=286, noise=noise_for(5.0, 286)))
    >>> row.costs()["standard"]
    5.0
    """

    title: str
    terms: LabelRR | DoubleRR
    reading: str = ""

    def __post_init__(self) -> None:
        check_choice("reading", self.reading, ("", *RESPONSES))

    @property
    def noise_label(self) -> float:
        return self.terms.noise if isinstance(self.terms, LabelRR) else self.terms.noise_label

    @property
    def noise_image(self) -> float:
        return 0.0 if isinstance(self.terms, LabelRR) else self.terms.noise_image

    @property
    def moves(self) -> bool:
        return self.terms.table == "moves"

    @property
    def nearest(self) -> bool:
        return isinstance(self.terms, DoubleRR) and self.terms.neighbours is not None

    def costs(self) -> dict[str, float]:
        """Pure epsilon for any data, by notion; infinite where nothing is promised.

        "population" and "standard" take the pools that images are drawn from as given, the classes
        themselves, as the theorem does; "population, table too" counts the row beside the image as
        well. "population, as run" and "standard, as run" are of the pools there are: the records,
        which promise nothing, or the records by released labels, whose images are private all the
        same, so that only the standard notion has a bound.
        """
        given = self.terms
        if isinstance(given, DoubleRR):
            given = replace(given, pools="given", divergence=0.0)
        return {
            "population": replace(given, table="none").cost("population").epsilon,
            "population, table too": given.cost("population").epsilon,
            "population, as run": replace(self.terms, table="none").cost("population").epsilon,
            "standard": given.cost("standard").epsilon,
            "standard, as run": self.terms.cost("standard").epsilon,
        }


def conditions(
    n_classes: int,
    epsilon: float,
    *,
    epsilons: Sequence[float] = (),
    neighbours: int = 10,
    more_neighbours: Sequence[int] = (),
    grid: bool = False,
) -> dict[str, Condition]:
    """The rows of a comparison, by name, each once.

    Always: no noise; label RR and double RR at every epsilon; and at ``epsilon`` the one-log
    reading, the nearest draw, pools of released labels, and the table moved. With ``grid`` also all
    of {label, image, both} x {whole class, nearest} x {table stays, moves} under both readings, and
    the one-log reading at every epsilon. Nearest draws with ``more_neighbours`` come last.

    Names end in ``.epsE`` where they are not at ``epsilon`` itself.

    >>> len(conditions(286, 5.0)), len(conditions(286, 5.0, grid=True))
    (7, 20)
    """
    stays = {"n_classes": n_classes, "table": "stays"}

    def answered(title: str, noise: float, reading: str = "") -> Condition:
        return Condition(title, LabelRR(noise=noise, **stays), reading)

    def swapped(title: str, label: float, image: float, reading: str, **other: Any) -> Condition:
        drawn = {"noise_label": label, "noise_image": image, "pools": "records"}
        return Condition(title, DoubleRR(**{**stays, **drawn, **other}), reading)

    rows = {"none": answered("no noise", 0.0)}
    for e in sorted({*epsilons, epsilon}):
        end = ending(e, epsilon)
        one, two = (noise_for(e, n_classes, responses=n) for n in (1, 2))
        rows[f"label_rr{end}"] = answered(f"label RR, ε = {e:g}", one, "standard")
        rows[f"double_rr{end}"] = swapped(f"double RR, ε = {e:g}", two, two, "population")
        if grid or e == epsilon:
            title = "one-log double RR" + ("" if e == epsilon else f", ε = {e:g}")
            rows[f"one_log{end}"] = swapped(title, one, one, "standard")
    noise = {r: noise_for(epsilon, n_classes, responses=n) for r, n in RESPONSES.items()}
    both = noise["population"], noise["population"], "population"
    rows["nearest"] = swapped("nearest neighbours", *both, neighbours=neighbours)
    rows["released_pools"] = swapped("released pools", *both, pools="released")
    rows["with_table"] = swapped("with the table", *both, table="moves")
    there = {row.terms for name, row in rows.items() if ".eps" not in name}
    for reading, x in noise.items() if grid else ():
        more = {"label": answered(_title("label", None, False, reading), x, reading)}
        for what, label in (("image", 0.0), ("both", x)):
            for k in (None, neighbours):
                for moves in (False, True):
                    other = {"neighbours": k, "table": "moves" if moves else "stays"}
                    title = _title(what, k, moves, reading)
                    name = f"{what}{'_nearest' * bool(k)}{'_moves' * moves}"
                    more[name] = swapped(title, label, x, reading, **other)
        rows |= {f"{n}.{reading}": row for n, row in more.items() if row.terms not in there}
    for k in sorted({*more_neighbours} - {neighbours}):
        rows[f"nearest.k{k}"] = swapped(f"nearest neighbours, k = {k}", *both, neighbours=k)
    return rows


def ending(e: float, epsilon: float) -> str:
    """What a name ends in, of a row at ``e`` in a comparison at ``epsilon``.

    >>> ending(5.0, 5.0), ending(2.0, 5.0)
    ('', '.eps2')
    """
    return "" if e == epsilon else f".eps{e:g}"


def same_pairs(condition: Condition, release: Release) -> tuple[bool, bytes]:
    """A key that two conditions share if they train on the same images beside the same rows."""
    source = release.source
    if source is None or torch.equal(source, torch.arange(len(source), device=source.device)):
        return False, b""
    return condition.moves, source.cpu().numpy().tobytes()


def _title(what: str, neighbours: int | None, moves: bool, reading: str) -> str:
    drawn = "" if what == "label" else (", nearest" if neighbours else ", whole class")
    table = ", table moves" * moves
    return f"{what}{drawn}{table}; λ of {'two logs' if reading == 'population' else 'one log'}"
