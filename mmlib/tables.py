"""Our numbers beside the paper's, and a verdict by one rule; from records only.

The rule (:func:`verdict`), applied to the largest preset of which there are enough records:

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

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import yaml

from mmlib import records
from mmlib.evidence import counted, deciding, digits, estimate, over_seeds, recorded

COVERAGE = records.ROOT / "book" / "coverage.yml"
EXACT = ("theorem", "algorithm")  # kinds that need no repetition
_SIGNS = {">": "above", "<": "below", ">=": "at least", "<=": "at most"}
# Parts of metrics' names that do not speak for themselves. Methods have their titles here too: to
# import those would make every chapter's runs depend on every method.
_WORDS = {
    "alone_audio": "audio alone",
    "alone_image": "image alone",
    "alone_table": "table alone",
    "alone_text": "text alone",
    "alone_title": "title alone",
    "alone_video": "video alone",
    "audit": "audited epsilon",
    "claim": "claimed",
    "cmc": "CMC",
    "comm": "CoMM",
    "comm_blip2": "CoMM on BLIP-2",
    "comm_clip": "CoMM on CLIP",
    "comm_matching": "CoMM + matching",
    "comm_three": "CoMM, three modalities",
    "comm_tuned": "CoMM fine-tuned, supervised",
    "comm_tuned_blip2": "CoMM on BLIP-2, fine-tuned, supervised",
    "comm_tuned_three": "CoMM fine-tuned, three modalities, supervised",
    "cross": "Cross",
    "cross_self": "Cross+Self",
    "cross_self_fused": "Cross+Self, fused",
    "cross_self_three": "Cross+Self, three modalities",
    "cross_three": "Cross, three modalities",
    "double_rr": "double RR",
    "factorcl": "FactorCL",
    "factorcl_sup": "FactorCL, supervised",
    "full_only": "L alone",
    "i2t": "image to text",
    "lemma2": "lemma 2",
    "lemma3": "lemma 3",
    "llava_next": "LLaVA-NeXT",
    "macro_f1": "macro F1",
    "masked_only": "L₁ + L₂ alone",
    "max_difference": "largest difference",
    "max_error": "largest error",
    "mem": "MEM",
    "mfas": "MFAS, supervised",
    "mimic": "MIMIC",
    "mosi": "MOSI",
    "mustard": "MUStARD",
    "noise": "noise made without words",
    "pretrained_blip2": "BLIP-2, pre-trained",
    "pretrained_clip": "CLIP, pre-trained",
    "pretrained_clip_image": "CLIP, pre-trained, image alone",
    "pretrained_clip_text": "CLIP, pre-trained, text alone",
    "raw_three": "raw, three modalities",
    "refnet": "ReFNet, supervised",
    "slip": "SLIP",
    "supcon": "SupCon",
    "supcon_three": "SupCon, three modalities",
    "synergy_auc": "synergy (area under ROC)",
    "t2i": "text to image",
    "untrained_three": "untrained, three modalities",
    "urfunny": "UR-FUNNY",
    "visionandtouch_cp": "Vision&Touch, contact",
    "visionandtouch_ee": "Vision&Touch, end effector",
    "weighted_f1": "weighted F1",
}


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

    def paper_value(self, metric: str) -> tuple[float | None, float | None]:
        """The paper's number and its standard deviation over runs, None where not available."""
        value = self.values.get(metric)
        mean, deviation = value if isinstance(value, list) else (value, None)
        return mean, deviation

    @property
    def metrics(self) -> list[str]:
        """The metrics of the item's values and claims, in order, each once."""
        named = [side for claim in self.claims for side in sides(claim)]
        return list(dict.fromkeys([*self.values, *named]))


@cache
def items() -> dict[str, Item]:
    """All items of ``book/coverage.yml``, by id, in its order."""
    entries = yaml.safe_load(COVERAGE.read_text())
    made = [Item(**{**entry, "claims": tuple(entry.get("claims", ()))}) for entry in entries]
    return {item.id: item for item in made}


def words(metric: str) -> str:
    """A metric's name as a reader would say it.

    >>> words("median_rank.i2t.mem"), words("synergy.cross_self")
    ('median rank, image to text, MEM', 'synergy, Cross+Self')
    """
    return ", ".join(_WORDS.get(part, part.replace("_", " ")) for part in metric.split("."))


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


def sides(claim: str) -> tuple[str, str]:
    """The two metrics of ``a > b``, ``b < a``, ``a >= b`` or ``b <= a``, the larger first.

    A margin, as in ``a > b + 0.1``, belongs to neither.
    """
    left, sign, right, _ = _read(claim)
    return (left, right) if sign[0] == ">" else (right, left)


def _read(claim: str) -> tuple[str, str, str, float]:
    """Left side, sign, right side and what is added to that."""
    found = re.fullmatch(r"(\S+) ([<>]=?) (\S+?)(?: \+ ([\d.]+))?", claim)
    if found is None:
        allowed = "'a > b', 'a < b', 'a >= b', 'a <= b', each with or without ' + 0.1'"
        raise ValueError(f"claim is {claim!r}; allowed: {allowed}")
    left, sign, right, margin = found.groups()
    return left, sign, right, float(margin or 0.0)


def claim_holds(claim: str, runs: list[dict[str, float]], level: float = 0.95) -> bool | None:
    """Whether ``a > b`` (or ``b < a``) holds over runs; None where a metric is missing.

    A side may be a number. With several runs the interval of the mean paired difference, 95 % or
    ``level``, must exclude zero; with one the difference must have the sign. ``a >= b`` (or
    ``b <= a``), a bound, must hold in every run. In ``a > b + 0.1`` the difference is one to
    b + 0.1.
    """
    left, sign, right, margin = _read(claim)
    pairs = []  # in each run the side that is to be larger, and the other
    for run in runs:
        first, second = (run.get(side, number(side)) for side in (left, right))
        if first is None or second is None:
            return None
        pair = first, second + margin
        pairs.append(pair if sign[0] == ">" else pair[::-1])
    if "=" in sign:
        return all(large >= small for large, small in pairs)
    found = estimate([large - small for large, small in pairs], level)
    return found.mean > (0.0 if found.n == 1 else found.half_width)


def outcome(
    claim: str, runs: list[dict[str, float]], *, exact: bool = False, level: float = 0.95
) -> str:
    """In words: whether a claim holds, its opposite does, or chance leaves both open.

    Where chance plays no part (``exact``), and for a bound, what does not hold has failed.

    >>> outcome("a > 2", [{"a": 3.0}, {"a": 3.1}]), outcome("a > b", [{"a": 3.0}])
    ('holds', 'not run here')
    """
    held = claim_holds(claim, runs, level)
    if held is None:
        return "not run here"
    if held:
        return "holds"
    turned = claim.translate(str.maketrans("<>", "><"))
    opposite = exact or "=" in claim or claim_holds(turned, runs, level)
    return "does not hold" if opposite else "not shown"


def number(side: str) -> float | None:
    """The number that a side of a claim is, if it is one."""
    try:
        return float(side)
    except ValueError:
        return None


def verdict(item: Item, loaded: list[dict]) -> str:
    """Verdict on an item by the rule at the top of this module."""
    exact = item.kind in EXACT
    if item.kind == "concept":
        return "drawn" if _has_drawing(item, loaded) else "not run here"
    preset, runs, enough, level = deciding(item.chapter, item.experiment, loaded, exact=exact)
    if not enough:
        return f"not decided by {counted(runs)}" if runs else "not run here"
    held = [claim_holds(claim, runs, level) for claim in item.claims]
    if item.stand_in:
        return f"not run here; {item.stand_in} {_of_claims(held)}"
    if False in held:
        return "not reproduced"
    if exact:
        return "reproduced" if held and None not in held else "not run here"
    if preset == "paper" and None not in held and all(
        _agrees(item, metric, runs)
        for metric in item.values if item.paper_value(metric)[0] is not None
    ):  # fmt: skip
        return "reproduced"
    return "partly" if True in held else "not run here"


def beside(item_id: str, run: records.Run | None = None):
    """A styled table of an item: this run, recorded runs, the paper's numbers, and the verdict.

    Args:
        item_id: an id of ``book/coverage.yml``.
        run: the open run whose metrics make the first column.

    Returns a pandas Styler, one row for each metric; its caption states the verdict, how each claim
    fares, unit, device, sources and the command that makes what has not run here. Raises
    ``ValueError`` for an unknown id.
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
            columns[f"ours, {preset}"] = [over_seeds(metric, runs) for metric in item.metrics]
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
    caption = [f"{item.title}. Verdict: {verdict(item, loaded)}."]
    caption += [f"Its claims: {'; '.join(told)}."] if (told := _outcomes(item, loaded)) else []
    caption += [f"Unit: {item.unit}."] if item.unit else []
    caption += [f"This run: {run.describe()}."] if run is not None else []
    caption += [f"Not run here: {', '.join(absent)}."] if absent else []
    caption += [f"The paper's numbers: {item.source}."] if item.source else []
    caption += [f"Rerun: {' '.join(item.reference_source.split())}."] if item.reference else []
    caption += [" ".join(item.note.split())] if item.note else []
    return frame.style.set_caption(" ".join(caption)).set_table_attributes('class="beside"')


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
        return "our own drawing" if _has_drawing(item, loaded) else "–"
    exact = item.kind in EXACT
    preset, runs, enough, level = deciding(item.chapter, item.experiment, loaded, exact=exact)
    if not runs:
        return "–"
    told = _of_claims([claim_holds(claim, runs, level) for claim in item.claims])
    return f"{preset}, {counted(runs)}: {told if enough else 'too few to decide'}"


def _of_claims(held: list[bool | None]) -> str:
    return f"{sum(h is True for h in held)} of {len(held)} claims hold"


def _outcomes(item: Item, loaded: list[dict]) -> list[str]:
    """Each claim in words, with what the runs that decide say to it; none where none decide."""
    exact = item.kind in EXACT
    _, runs, enough, level = deciding(item.chapter, item.experiment, loaded, exact=exact)
    told = []
    for claim in item.claims if enough else ():
        left, sign, right, margin = _read(claim)
        ordering = f"“{words(left)}” {_SIGNS[sign]} “{words(right)}”"
        ordering += f" and {margin:g}" if margin else ""
        told.append(f"{ordering}: {outcome(claim, runs, exact=exact, level=level)}")
    return told


def _agrees(item: Item, metric: str, runs: list[dict[str, float]]) -> bool:
    paper, deviation = item.paper_value(metric)
    if any(metric not in run for run in runs):
        return False
    return abs(estimate([r[metric] for r in runs]).mean - paper) <= 2 * (deviation or 0.5)


def _has_drawing(item: Item, loaded: list[dict]) -> bool:
    return any(
        record["chapter"] == item.chapter and f"{item.figure}.png" in record["files"]
        for record in loaded
    )


def _theirs(item: Item, metric: str) -> str:
    if metric not in item.values:
        return "–"
    mean, deviation = item.paper_value(metric)
    if mean is None:
        return "not available to us"
    return f"{mean:g}" + (f" ± {deviation:g} (sd)" if deviation else "")
