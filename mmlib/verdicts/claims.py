"""What a paper, or this book, says, and what our records say to it: a table made by code.

A claim of ``book/claims.yml`` is decided by orderings of metrics over the runs of the largest
preset of which there are enough, as an item of :mod:`mmlib.verdicts.items` is; by the paper's
own printed numbers where it states their difference; or by nothing, and then the table says what is
missing.
Where chance plays a part, fewer than three runs decide nothing, and an interval that holds zero
neither confirms a claim nor contradicts it.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from functools import cache

import yaml

from mmlib import evidence, records
from mmlib.presets.base import CHAPTERS
from mmlib.verdicts import orderings
from mmlib.verdicts.tables import tally

CLAIMS = records.ROOT / "book" / "claims.yml"
_HOLE = re.compile(r"\{([\w.]+)(?: - ([\w.]+))?:([^{}]+)\}")


@dataclass(frozen=True)
class Claim:
    """A row of ``book/claims.yml``, which says what the fields mean."""

    id: str
    paper: str
    says: str
    chapter: str = ""
    experiment: str = "overview"
    holds: tuple[str, ...] = ()
    exact: bool = False
    below: dict[str, float] = field(default_factory=dict)
    found: str = ""
    stated: float | None = None
    printed: tuple[float, ...] = ()
    missing: str = ""
    headline: bool = False
    headline_says: str = ""

    @property
    def metrics(self) -> set[str]:
        """The metrics that decide it or stand in what was found."""
        sides = [side for ordering in self.holds for side in orderings.sides(ordering)]
        holes = [name for *names, _ in _HOLE.findall(self.found) for name in names if name]
        return {side for side in sides if orderings.number(side) is None} | {*holes, *self.below}


@cache
def claims() -> dict[str, Claim]:
    """All claims, by id, in the order of the file."""
    entries = yaml.safe_load(CLAIMS.read_text(encoding="utf-8"))
    made = [
        Claim(**{k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()})
        for entry in entries
    ]
    return {claim.id: claim for claim in made}


def decide(claim: Claim, loaded: list[dict]) -> tuple[str, str, str]:
    """Verdict on a claim, what was found, and the records behind it, in words.

    >>> claim = Claim("x", "P", "It falls by 3.", stated=3.0, printed=(9.0, 5.0))
    >>> decide(claim, [])
    ('does not hold', 'Its own table gives 4.00.', "the paper's table")
    """
    if claim.missing:
        return "not decided here", f"Missing: {claim.missing}.", "–"
    if claim.printed:
        large, small = claim.printed
        right = math.isclose(large - small, claim.stated, abs_tol=0.005)
        found = f"Its own table gives {large - small:.2f}."
        return ("holds" if right else "does not hold"), found, "the paper's table"
    preset, runs, enough, level = evidence.deciding(
        claim.chapter, claim.experiment, loaded, exact=claim.exact, metrics=claim.metrics
    )
    if not runs:
        asked = f"CHAPTER={claim.chapter} EXPERIMENT={claim.experiment}"
        return "not run here", "–", f"`make desk {asked}`"
    count = evidence.counted(runs)
    place = f"`{claim.chapter}/{claim.experiment}/{preset}`, {count}"
    if not enough:
        verdict = f"not decided by {count}"
    elif any(
        evidence.estimate([run[name] for run in runs]).mean >= most
        for name, most in claim.below.items()
    ):
        verdict = "not decided here"
    else:
        how = {"exact": claim.exact, "level": level}
        ways = {orderings.outcome(ordering, runs, **how) for ordering in claim.holds}
        verdict = next(way for way in ("does not hold", "not shown", "holds") if way in ways)
    return verdict, _filled(claim.found, runs, level), place


def page(loaded: list[dict]) -> str:
    """The tables of all papers as Markdown, each under its heading."""
    papers = dict.fromkeys(claim.paper for claim in claims().values())
    return "\n".join(f"## {paper}\n\n{table(paper, loaded)}" for paper in papers)


def headlines(loaded: list[dict]) -> str:
    """The claims marked so as a Markdown list, in plain words, with what was found and where."""
    lines = []
    for claim in claims().values():
        if claim.headline:
            verdict, found, place = decide(claim, loaded)
            said = claim.headline_says or claim.says
            lines.append(
                f"- *{said}* ({claim.paper}) **{verdict.capitalize()}.** {found} "
                f"[{_page(claim)}{place}]"
            )
    return "\n".join(lines) + "\n"


def table(paper: str, loaded: list[dict]) -> str:
    """The claims of a paper as a Markdown table, each linked to the page that shows its numbers.

    Above it stands how often each verdict was given.
    """
    mine = [claim for claim in claims().values() if claim.paper == paper]
    decided = [(claim, *decide(claim, loaded)) for claim in mine]
    rows = ["| the claim | verdict | what we found | record |", "| --- | --- | --- | --- |"]
    for claim, verdict, found, place in decided:
        rows.append(f"| {claim.says} | **{verdict}** | {found} | {_page(claim)}{place} |")
    return "\n".join([tally(verdict for _, verdict, *_ in decided), "", *rows]) + "\n"


def _page(claim: Claim) -> str:
    return f"{{doc}}`/notebooks/{CHAPTERS[claim.chapter]}`: " if claim.chapter else ""


def _filled(found: str, runs: list[dict[str, float]], level: float) -> str:
    def filled(hole: re.Match) -> str:
        name, other, spec = hole.groups()
        if other:
            return format(evidence.difference(name, other, runs, level), spec)
        number = format(evidence.estimate([run[name] for run in runs]).mean, spec)
        return number if any(digit in number for digit in "123456789") else number.lstrip("-")

    return _HOLE.sub(filled, found)
