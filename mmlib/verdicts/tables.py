"""Our numbers beside the paper's, item by item, as tables; from records only."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from mmlib import records
from mmlib.evidence import counted, counted_apart, digits, recorded
from mmlib.verdicts import orderings
from mmlib.verdicts.items import Item, has_drawing, items, of_claims, verdict
from mmlib.verdicts.words import words


def beside(item_id: str, run: records.Run | None = None):
    """A styled table of an item: this run, recorded runs, the paper's numbers, and the verdict.

    Args:
        item_id: an id of ``book/coverage.yml``.
        run: the open run whose metrics make the first column.

    Returns a pandas Styler, one row for each metric; its caption states the verdict, the unit and
    the command that makes what has not run here, and under a fold how each claim fares, device and
    sources. Raises ``ValueError`` for an unknown id.
    """
    import pandas as pd

    if item_id not in items():
        raise ValueError(f"item is {item_id!r}; allowed: {', '.join(items())}")
    item = items()[item_id]
    loaded = records.load() + ([run.so_far()] if run is not None else [])
    columns: dict[str, list[str]] = {}
    if run is not None:
        live = run.metrics
        label = f"this run ({run.settings.preset}, seed {run.seed})"
        columns[label] = [digits(live[m]) if m in live else "–" for m in item.metrics]
    absent = []
    for preset in ("desk", "paper"):
        if runs := shown_of(item, preset, loaded):
            count, cells = counted_apart(item.metrics, runs)
            columns[f"ours, {preset} ({count})" if count else f"ours, {preset}"] = cells
            absent = []  # nobody misses the smaller runs of what has larger ones
        else:
            asked = f"CHAPTER={item.chapter} EXPERIMENT={item.experiment}"
            absent.append(f"{preset} (make {preset} {asked})")
    known = any(item.paper_value(metric)[0] is not None for metric in item.values)
    if known:
        columns["the paper"] = [_theirs(item, metric) for metric in item.metrics]
    if item.reference:
        columns["rerun by others"] = [
            "; ".join(digits(value) for value in item.reference.get(m, ())) or "–"
            for m in item.metrics
        ]
    frame = pd.DataFrame(columns, index=[words(metric) for metric in item.metrics])
    told, word = _outcomes(item, loaded), verdict(item, loaded)
    if word == "not reproduced":  # by one claim, or by all of them?
        word += f"; {sum(one.endswith(': holds') for one in told)} of {len(told)} claims hold"
    caption = [f"{item.title}. Verdict: {word}."]
    caption += [f"Unit: {item.unit}."] if item.unit else []
    caption += [f"Not run here: {', '.join(absent)}."] if absent else []
    caption += [" ".join(item.note.split())] if item.note else []
    more = [f"Its claims: {'; '.join(told)}."] if told else []
    more += [f"This run: {run.describe()}."] if run is not None else []
    more += [f"The paper's numbers: {item.source}."] if item.source else []
    more += [f"Rerun: {' '.join(item.reference_source.split())}."] if item.reference else []
    if more:
        named = "Claim by claim, and sources" if told else "Sources"
        caption += [f"<details><summary>{named}</summary>{' '.join(more)}</details>"]
    return frame.style.set_caption(" ".join(caption)).set_table_attributes('class="beside"')


def shown_of(item: Item, preset: str, loaded: list[dict]) -> list[dict[str, float]]:
    """What a table shows: the item's own runs, then those of the experiments in ``also``.

    Of the latter only metrics that no earlier experiment has. Verdicts are from own runs alone.
    """
    found, known = [], set()
    for experiment in (item.experiment, *item.also):
        runs = recorded(item.chapter, experiment, preset, loaded)
        found += [{k: v for k, v in run.items() if k not in known} for run in runs]
        known.update(*runs)
    return found


def scorecard(loaded: list[dict]) -> str:
    """The scorecard as Markdown: one table a paper, one row an item."""
    parts = []
    for paper in dict.fromkeys(item.paper for item in items().values()):
        mine = [(item, verdict(item, loaded)) for item in items().values() if item.paper == paper]
        rows = ["| item | page | evidence | verdict |", "| --- | --- | --- | --- |"]
        for item, word in mine:
            rows.append(
                f"| {item.title} | {{doc}}`/{item.page}` | {_evidence(item, loaded)} | **{word}** |"
            )
        parts.append(f"## {paper}\n\n{tally(word for _, word in mine)}\n\n" + "\n".join(rows))
    return "\n\n".join(parts) + "\n"


def tally(verdicts: Iterable[str]) -> str:
    """How often each verdict was given, the most frequent first, as a line of Markdown.

    >>> tally(["holds", "not run here; on digits", "holds"])
    '**holds** 2, **not run here** 1.'
    """
    count = Counter(re.split(r";| by \d", word)[0] for word in verdicts)
    return ", ".join(f"**{word}** {n}" for word, n in count.most_common()) + "."


def _evidence(item: Item, loaded: list[dict]) -> str:
    """The runs that an item's verdict is from and how its claims fare in them."""
    if item.kind == "concept":
        return "our own drawing" if has_drawing(item, loaded) else "–"
    preset, runs, enough, level = item.deciding(loaded)
    if not runs:
        return "–"
    told = of_claims([orderings.holds(claim, runs, level) for claim in item.claims])
    return f"{preset}, {counted(runs)}: {told if enough else 'too few to decide'}"


def _outcomes(item: Item, loaded: list[dict]) -> list[str]:
    """Each claim in words, with what the runs that decide say to it; none where none decide."""
    _, runs, enough, level = item.deciding(loaded)
    told = []
    for claim in item.claims if enough else ():
        left, sign, right, margin = orderings.read(claim)
        ordering = f"“{words(left)}” {orderings.SIGNS[sign]} “{words(right)}”"
        ordering += f" and {margin:g}" if margin else ""
        outcome = orderings.outcome(claim, runs, exact=item.exact, level=level)
        told.append(f"{ordering}: {outcome}")
    return told


def _theirs(item: Item, metric: str) -> str:
    if metric not in item.values:
        return "–"
    mean, deviation = item.paper_value(metric)
    if mean is None:
        return "not available to us"
    return f"{mean:g}" + (f" ± {deviation:g} (sd)" if deviation else "")
