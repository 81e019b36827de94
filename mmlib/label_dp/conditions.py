"""What a training on privatised pairs is compared across: noise, draw, table, reading of epsilon.

A :class:`Condition` says how a data set is privatised and what that costs. :func:`conditions` gives
the rows of a comparison at one epsilon, under both of its readings: ``population`` takes lambda
from two responses, ``standard`` from one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmlib._checks import check_choice, check_range
from mmlib.label_dp.accounting import guarantee, noise_for
from mmlib.label_dp.coins import Generator
from mmlib.label_dp.mechanisms import randomized_response, swap_images

RESPONSES = {"population": 2, "standard": 1}  # of a reading, in the formula for its lambda


@dataclass(frozen=True)
class Condition:
    """Labels and images privatised, or not, each by its own coin.

    Attributes:
        title: what a table calls it.
        noise_label, noise_image: lambda of each coin, from 0 (left as it is) to 1.
        neighbours: k of a nearest-neighbour draw of images; None draws from the whole class.
        pools: labels that group the records images are drawn from, "true" or "released".
        moves: whether the table row goes with the image.
        reading: of epsilon, that the lambdas were taken from; empty if there is none.

    >>> Condition("label RR", noise_label=noise_for(5.0, 286)).costs(286)["standard"]
    5.0
    """

    title: str
    noise_label: float = 0.0
    noise_image: float = 0.0
    neighbours: int | None = None
    pools: str = "true"
    moves: bool = False
    reading: str = ""

    def __post_init__(self) -> None:
        check_range("noise_label", self.noise_label, 0.0, 1.0)
        check_range("noise_image", self.noise_image, 0.0, 1.0)
        check_choice("pools", self.pools, ("true", "released"))
        check_choice("reading", self.reading, ("", *RESPONSES))
        if self.neighbours is not None:
            check_range("neighbours", self.neighbours, 1)

    def costs(self, n_classes: int) -> dict[str, float]:
        """Pure epsilon for any data, by notion; infinite where nothing is promised.

        "population" and "standard" take the pools that images are drawn from as given, "population,
        table too" counts the row beside the image as well, and "standard, as run" counts what the
        pools tell when they are the records themselves.
        """

        def cost(notion: str, pools: str = "given") -> float:
            return guarantee(
                "double_rr" if self.noise_image else "label_rr",
                self.noise_label,
                n_classes,
                notion=notion,
                draw="uniform" if self.neighbours is None else "knn",
                pools=pools,
                noise_image=self.noise_image,
            ).epsilon

        population = cost("population")
        return {
            "population": population,
            "population, table too": population if self.moves else math.inf,
            "standard": cost("standard"),
            "standard, as run": cost(
                "standard", "given" if self.pools == "released" else "records"
            ),
        }

    def draw(
        self, labels: Tensor, n_classes: int, *, features: Tensor, generator: Generator
    ) -> tuple[Tensor, Tensor]:
        """Released labels (N,), and whose image each record shows (N,).

        ``features`` (N, D) say what "near" means; they must owe nothing to the labels. Conditions
        with the same lambda of the image and the same generator swap the same images.
        """
        released = randomized_response(labels, self.noise_label, n_classes, generator=generator)
        near = {"draw": "knn", "features": features, "neighbours": self.neighbours}
        source = swap_images(
            released if self.pools == "released" else labels,
            self.noise_image,
            n_classes,
            generator=generator,
            **(near if self.neighbours else {}),
        )
        return released, source


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
    rows = {"none": Condition("no noise")}
    for e in sorted({*epsilons, epsilon}):
        end = "" if e == epsilon else f".eps{e:g}"
        one, two = (noise_for(e, n_classes, responses=n) for n in (1, 2))
        rows[f"label_rr{end}"] = Condition(f"label RR, ε = {e:g}", one, reading="standard")
        rows[f"double_rr{end}"] = Condition(f"double RR, ε = {e:g}", two, two, reading="population")
        if grid or e == epsilon:
            title = "one-log double RR" + ("" if e == epsilon else f", ε = {e:g}")
            rows[f"one_log{end}"] = Condition(title, one, one, reading="standard")
    noise = {r: noise_for(epsilon, n_classes, responses=n) for r, n in RESPONSES.items()}
    both = {"noise_label": noise["population"], "noise_image": noise["population"]}
    both["reading"] = "population"
    rows["nearest"] = Condition("nearest neighbours", **both, neighbours=neighbours)
    rows["released_pools"] = Condition("released pools", **both, pools="released")
    rows["with_table"] = Condition("with the table", **both, moves=True)
    there = {_content(row) for name, row in rows.items() if ".eps" not in name}
    for reading, x in noise.items() if grid else ():
        named = {"label": (x, 0.0), "image": (0.0, x), "both": (x, x)}
        for what, (label, image) in named.items():
            for k in (None, neighbours) if image else (None,):
                for moves in (False, True) if image else (False,):
                    row = Condition(
                        _title(what, k, moves, reading), label, image, k, "true", moves, reading
                    )
                    if _content(row) not in there:
                        end = f"{'_nearest' * bool(k)}{'_moves' * moves}.{reading}"
                        rows[f"{what}{end}"] = row
    for k in sorted({*more_neighbours} - {neighbours}):
        rows[f"nearest.k{k}"] = Condition(f"nearest neighbours, k = {k}", **both, neighbours=k)
    return rows


def same_pairs(condition: Condition, source: Tensor) -> tuple[bool, bytes]:
    """A key that two conditions share if they train on the same images beside the same rows.

    >>> label, none = Condition("", noise_label=0.5), Condition("")
    >>> same_pairs(label, torch.arange(3)) == same_pairs(none, torch.arange(3))
    True
    """
    moved = condition.moves and not torch.equal(source, torch.arange(len(source)).to(source.device))
    return moved, source.cpu().numpy().tobytes()


def _content(row: Condition) -> tuple:
    return row.noise_label, row.noise_image, row.neighbours, row.pools, row.moves


def _title(what: str, neighbours: int | None, moves: bool, reading: str) -> str:
    drawn = "" if what == "label" else (", nearest" if neighbours else ", whole class")
    table = ", table moves" * moves
    return f"{what}{drawn}{table}; λ of {'two logs' if reading == 'population' else 'one log'}"
