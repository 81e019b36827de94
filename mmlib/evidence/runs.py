"""Which recorded runs count: one a seed, their metrics and curves, and those that decide."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence, Sized
from typing import TYPE_CHECKING, NamedTuple

from mmlib.evidence.estimates import FEWEST
from mmlib.presets import grid

if TYPE_CHECKING:
    import pandas as pd

PRESETS = ("paper", "desk", "quick")  # by weight of evidence; smoke is never evidence


def one_a_seed(chapter: str, experiment: str, preset: str, loaded: list[dict]) -> list[dict]:
    """The records of an experiment at one preset, by seed; a kept one before a run of its seed.

    >>> place = {"chapter": "comm", "experiment": "overview", "preset": "desk"}
    >>> both = [place | {"seed": 3, "kept": True}, place | {"seed": 3, "kept": False}]
    >>> one_a_seed("comm", "overview", "desk", both) == both[:1]
    True
    """
    by_seed = {}
    for record in sorted(loaded, key=lambda record: record["kept"]):
        place = (record["chapter"], record["experiment"], record["preset"])
        if place == (chapter, experiment, preset):
            by_seed[record["seed"]] = record
    return [by_seed[seed] for seed in sorted(by_seed)]


def recorded(
    chapter: str, experiment: str, preset: str, loaded: list[dict]
) -> list[dict[str, float]]:
    """Metrics of each record of an experiment at one preset, one for each seed.

    Where ``results`` and ``build/runs`` both hold a seed, the kept record in ``results`` counts.
    One with other settings than the first, a kept one if there is any, does not count, and a
    warning says so: means are of runs that differ in chance alone. Settings that one of the two has
    not tell nothing, nor do lists, which say what is tried: a record may have more of it.
    """
    return [
        {name: metric["value"] for name, metric in record["metrics"].items()}
        for record in _of_one_setting(one_a_seed(chapter, experiment, preset, loaded))
    ]


def _of_one_setting(found: list[dict]) -> list[dict]:
    def settings(record: dict) -> dict:
        given = record.get("parameters", {}).items()
        return {k: v for k, v in given if k != "seed" and not isinstance(v, list)}

    alike = []
    kept = [record for record in found if record["kept"]]
    first = settings((kept or found)[0]) if found else {}
    for record in found:
        told = [
            f"{name} {value!r}, not {first[name]!r}"
            for name, value in settings(record).items()
            if first.get(name, value) != value
        ]
        if told:
            place = f"{record['chapter']}/{record['experiment']}/{record['preset']}"
            warnings.warn(
                f"seed {record['seed']} of {place} does not count: {'; '.join(told)}", stacklevel=3
            )
        else:
            alike.append(record)
    return alike


def by_experiment(
    chapter: str, preset: str, loaded: list[dict]
) -> dict[str, list[dict[str, float]]]:
    """What :func:`recorded` gives, for each experiment that a chapter has records of."""
    asked = (chapter, preset)
    names = dict.fromkeys(
        record["experiment"] for record in loaded if (record["chapter"], record["preset"]) == asked
    )
    return {name: recorded(chapter, name, preset, loaded) for name in names}


def curves(
    names: Sequence[str],
    chapter: str,
    experiment: str,
    preset: str,
    loaded: list[dict],
    *,
    required: bool = True,
) -> pd.DataFrame:
    """Points of the curves ``names`` in the records that :func:`recorded` reads.

    Returns one row a point: curve, step, value, the curves' labels, and the seed; no row where
    there is no record. Raises ``ValueError`` for a curve that is in none of the records there are,
    unless it is not ``required``: a chapter has curves that older records lack.
    """
    import pandas as pd

    found = _of_one_setting(one_a_seed(chapter, experiment, preset, loaded))
    parts = [pd.DataFrame(columns=["curve", "step", "value", "seed"])]
    for record in found:
        path = record["path"] / "metrics.csv"
        if path.is_file():  # only an empty cell is missing: a label may well be called "None"
            rows = pd.read_csv(path, keep_default_na=False, na_values=[""])
            parts.append(rows.assign(seed=record["seed"]))
    points = pd.concat(parts[1:] or parts, ignore_index=True)
    known = list(dict.fromkeys(points["curve"]))
    for name in names:
        if required and found and name not in known:
            raise ValueError(
                f"curve is {name!r}; the {len(found)} records of {chapter}/{experiment}/{preset} "
                f"have: {', '.join(known) or 'none'}"
            )
    points = points[points["curve"].isin(names)].reset_index(drop=True)
    return points.dropna(axis=1, how="all") if found else points


def counted(runs: Sized) -> str:
    """How many runs, in words."""
    return "1 run" if len(runs) == 1 else f"{len(runs)} runs"


def level(chapter: str, experiment: str, preset: str) -> float:
    """Of the intervals by which a row's runs decide, 95 % if they were looked at once.

    Who adds seeds after a look at others has a further chance to err. With ``looks`` such chances
    the last interval errs in 5 % / looks; the first look, at 95 %, had its 5 % already.
    """
    return 1 - 0.05 / grid.rows().get((chapter, experiment, preset), {}).get("looks", 1)


class Deciding(NamedTuple):
    """The runs by which something is decided; ``preset`` is empty where there are none."""

    preset: str
    runs: list[dict[str, float]]
    enough: bool
    level: float


def deciding(
    chapter: str,
    experiment: str,
    loaded: list[dict],
    *,
    exact: bool,
    metrics: Collection[str] = (),
) -> Deciding:
    """Which runs decide, whether they are enough, and of what level their intervals have to be.

    The runs are of the largest preset of which there are enough that have all ``metrics``: three
    where chance plays a part, one where it is ``exact``. Where none has enough, it is the largest
    that has any.
    """
    found = {
        preset: [
            run
            for run in recorded(chapter, experiment, preset, loaded)
            if run.keys() >= set(metrics)
        ]
        for preset in PRESETS
    }
    for fewest in (1 if exact else FEWEST, 1):
        for preset, runs in found.items():
            if len(runs) >= fewest:
                enough = exact or fewest == FEWEST
                return Deciding(preset, runs, enough, level(chapter, experiment, preset))
    return Deciding("", [], False, level(chapter, experiment, ""))
