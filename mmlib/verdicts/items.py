"""Items, a paper's figures, tables, algorithms and theorems, and the verdict on each by one rule.

The rule of :func:`verdict`, applied to the largest preset of which there are enough records:

* **not run here**: no record. So is an item that something else stands in for (``stand_in``), and
  the verdict says how its claims fare there;
* **not decided by 1 run**, or 2: chance plays a part, and fewer than three runs decide nothing;
* **not reproduced**: one of the item's claims (orderings of its metrics) fails: the mean difference
  over runs is not above zero with its whole interval (:func:`mmlib.evidence.level`), or a bound
  is broken in some run;
* **reproduced**: all claims hold, the runs are of the preset ``paper``, and every number that the
  paper gives lies within two of its standard deviations of ours (one unit where it gives none).
  Theorems and algorithms, checked exactly, need only their claims, at any preset, in one run;
* **partly**: all claims hold, but the runs are smaller than the paper's or a number is off.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

import yaml

from mmlib import records
from mmlib.evidence import counted, deciding, estimate
from mmlib.evidence.runs import Deciding
from mmlib.verdicts import orderings

COVERAGE = records.ROOT / "book" / "coverage.yml"


@dataclass(frozen=True)
class Item:
    """A figure, table, algorithm or theorem of a paper: an entry of ``book/coverage.yml``."""

    id: str
    title: str
    paper: str
    kind: str
    page: str
    chapter: str
    experiment: str = "overview"
    also: tuple[str, ...] = ()
    figure: str | None = None
    unit: str = ""
    source: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    curve_steps: tuple[int, ...] = ()
    curves: dict[str, list[float]] = field(default_factory=dict)
    reference: dict[str, list[float]] = field(default_factory=dict)
    reference_source: str = ""
    claims: tuple[str, ...] = ()
    stand_in: str = ""  # what the item's own experiment runs on in place of the paper's
    note: str = ""

    @property
    def exact(self) -> bool:
        """Whether chance plays no part in it, so that it needs no repetition."""
        return self.kind in ("theorem", "algorithm")

    def deciding(self, loaded: list[dict]) -> Deciding:
        """The runs by which it is decided: :func:`mmlib.evidence.deciding`."""
        return deciding(self.chapter, self.experiment, loaded, exact=self.exact)

    def paper_value(self, metric: str) -> tuple[float | None, float | None]:
        """The paper's number and its standard deviation over runs, None where not available."""
        value = self.values.get(metric)
        mean, deviation = value if isinstance(value, list) else (value, None)
        return mean, deviation

    @property
    def metrics(self) -> list[str]:
        """The metrics of the item's values and claims, in order, each once."""
        named = [side for claim in self.claims for side in orderings.sides(claim)]
        return list(dict.fromkeys([*self.values, *named]))


@cache
def items() -> dict[str, Item]:
    """All items of ``book/coverage.yml``, by id, in its order."""
    entries = yaml.safe_load(COVERAGE.read_text())
    made = [Item(**{**entry, "claims": tuple(entry.get("claims", ()))}) for entry in entries]
    return {item.id: item for item in made}


def verdict(item: Item, loaded: list[dict]) -> str:
    """Verdict on an item by the rule at the top of this module."""
    if item.kind == "concept":
        return "drawn" if has_drawing(item, loaded) else "not run here"
    preset, runs, enough, level = item.deciding(loaded)
    if not enough:
        return f"not decided by {counted(runs)}" if runs else "not run here"
    held = [orderings.holds(claim, runs, level) for claim in item.claims]
    if item.stand_in:
        return f"not run here; {item.stand_in} {of_claims(held)}"
    if False in held:
        return "not reproduced"
    if item.exact:
        return "reproduced" if held and None not in held else "not run here"
    if preset == "paper" and None not in held and all(
        _agrees(item, metric, runs)
        for metric in item.values if item.paper_value(metric)[0] is not None
    ):  # fmt: skip
        return "reproduced"
    return "partly" if True in held else "not run here"


def of_claims(held: list[bool | None]) -> str:
    """How many of an item's claims hold, in words."""
    return f"{sum(h is True for h in held)} of {len(held)} claims hold"


def _agrees(item: Item, metric: str, runs: list[dict[str, float]]) -> bool:
    paper, deviation = item.paper_value(metric)
    if any(metric not in run for run in runs):
        return False
    return abs(estimate([r[metric] for r in runs]).mean - paper) <= 2 * (deviation or 0.5)


def has_drawing(item: Item, loaded: list[dict]) -> bool:
    """Whether a record has the figure that draws a concept."""
    return any(
        record["chapter"] == item.chapter and f"{item.figure}.png" in record["files"]
        for record in loaded
    )
