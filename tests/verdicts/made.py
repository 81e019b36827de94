"""An item, and records of runs that decide it."""

from pathlib import Path

from mmlib.verdicts.items import Item

ITEM = Item(
    id="x", title="X", paper="P", kind="figure", page="p", chapter="comm",
    values={"a.b": [70.0, 2.0]}, claims=("a.b > a.c",),
)  # fmt: skip


def record(seed, preset="paper", path="build/runs/r", **metrics):
    named = {name.replace("_", "."): {"value": value} for name, value in metrics.items()}
    return {
        "chapter": "comm", "experiment": "overview", "preset": preset, "seed": seed,
        "metrics": named, "path": Path(path), "kept": False, "files": {},
    }  # fmt: skip


def runs(values, against=50.0, preset="paper"):
    return [record(s, preset, a_b=v, a_c=against + 0.1 * s) for s, v in enumerate(values)]
