"""Fill the book's records: run what the grid asks for and nothing is recorded of, until time is up.

    python workflow/fill.py paper --minutes 9 comm/overview image_table/cars

Rows (chapter/experiment) come in the order given, without any in the grid's order; first each row's
first missing seed, then its second, and so on. A run that has finished is kept in ``results`` at
once, where only those of size ``desk`` and ``paper`` belong, and of committed code. When time is up
the run in progress is ended, and the same command goes on from the last part that it finished.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the library of this checkout
KEPT = ("desk", "paper")
SNAKEMAKE = ("snakemake", "--snakefile", "workflow/Snakefile", "--profile")


def missing(grid: Sequence[Mapping], preset: str, wanted: Sequence[str], results: Path) -> list:
    """Places chapter/experiment/preset/seed-n without a record in ``results``, in their order.

    Raises ``ValueError`` naming the rows of ``preset`` if one that is wanted is not among them.
    """
    rows = {f"{r['chapter']}/{r['experiment']}": r for r in grid if r["preset"] == preset}
    if unknown := [name for name in wanted if name not in rows]:
        raise ValueError(f"row is {unknown[0]!r}; allowed at {preset}: {', '.join(rows)}")
    lacking = [
        [
            place
            for seed in rows[name]["seeds"]
            if not (results / (place := f"{name}/{preset}/seed-{seed}") / "record.json").is_file()
        ]
        for name in wanted or rows
    ]
    most = max(map(len, lacking), default=0)
    return [places[turn] for turn in range(most) for places in lacking if turn < len(places)]


def call(arguments: Sequence[str], seconds: float) -> int | None:
    """The exit status of a Python module's call; None if it was ended for its time was up."""
    process = subprocess.Popen([sys.executable, "-m", *arguments], cwd=ROOT, start_new_session=True)
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.poll() is None:  # time is up, or somebody ends this script
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()


def is_committed() -> bool:
    from mmlib.records import git_state  # which takes torch along

    return git_state()["clean"]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("preset", choices=("smoke", "quick", "desk", "paper"))
    options.add_argument("rows", nargs="*", metavar="chapter/experiment")
    options.add_argument("--minutes", type=float, default=float("inf"), help="until time is up")
    given = options.parse_intermixed_args()  # rows may follow --minutes
    # Else a batch system that ends this script leaves the run in progress behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))
    end = time.monotonic() + 60 * given.minutes
    grid = yaml.safe_load((ROOT / "workflow" / "grid.yml").read_text())
    try:
        places = missing(grid, given.preset, given.rows, ROOT / "results")
    except ValueError as error:
        options.error(str(error))
    if given.preset in KEPT and not is_committed():
        options.error(
            "runs of code that is not committed are not kept; commit first what is shown by: "
            "git status mmlib notebooks requirements.txt"
        )
    print(f"missing: {len(places)}", flush=True)
    failed = False
    for done, place in enumerate(places):
        run = Path("build/runs", place)
        left = end - time.monotonic()
        status = call([*SNAKEMAKE, "workflow/profiles/local", str(run / "record.json")], left)
        if status is None:
            print(f"time is up in {place}; missing: {len(places) - done}")
            break
        if status == 0 and given.preset in KEPT:
            status = call(["mmlib.records", "keep", str(run)], 600)
        print(f"{place}: {'done' if status == 0 else 'failed'}", flush=True)
        failed |= status != 0
    sys.exit(failed)


if __name__ == "__main__":
    main()
