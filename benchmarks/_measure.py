"""Interleaved timing and its report: on a shared machine only times side by side compare.

Every benchmark prints what it measures. With ``--keep`` it also writes it to ``results/speed``,
from where the book's page on speed takes it.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import torch

from mmlib import records
from mmlib.device import device_name, pick_device

KEPT = records.RESULTS / "speed"


class Report:
    """What one benchmark measured, a row at a time: printed, and kept at once where asked.

    ``name`` is the kept file's; ``how`` says what holds for all rows. A ``goal`` is what a ratio
    must at least be, or a number at most, or with ``least`` at least.
    """

    def __init__(self, name: str, how: str, *, keep: bool = False):
        self.name, self.how, self.keep = name, how, keep
        self.rows: list[dict[str, object]] = []
        self._path = KEPT / f"{name}.json"
        self._git = records.git_state()
        if keep and not self._git["clean"]:
            sys.exit("only what committed code took is kept; see: git status")
        print(how)

    def __enter__(self) -> Report:
        return self

    def __exit__(self, *_: object) -> None:
        if self.keep and self.rows:
            print(f"kept: {self._path}, rows: {len(self.rows)}")

    def ratio(self, what: str, r: dict[str, float], goal: float | None = None) -> None:
        """A row of :func:`ratios`: how many times as fast ``b`` is as ``a``."""
        around = f" ({r['low']:.3g} to {r['high']:.3g})" if r["low"] < r["high"] else ""
        times = f"{_seconds_of(r['b'])} against {_seconds_of(r['a'])}"
        found = f"{r['ratio']:.3g} times as fast{around}: {times}"
        met = None if goal is None else r["ratio"] >= goal
        self._row(what, found, "" if goal is None else f"at least {goal:g} times", met)

    def number(
        self, what: str, value: float, unit: str, goal: float | None = None, *, least: bool = False
    ) -> None:
        """A row of a plain number, of which less is better, or with ``least`` more."""
        met = None if goal is None else value >= goal if least else value <= goal
        bound = "" if goal is None else f"at {'least' if least else 'most'} {goal:g} {unit}"
        found = f"{value:.3g} {unit}" if abs(value) < 1000 else f"{value:,.0f} {unit}"
        self._row(what, found.strip(), bound.strip(), met)

    def _row(self, what: str, found: str, goal: str, met: bool | None) -> None:
        self.rows.append({"what": what, "found": found, "goal": goal, "met": met})
        print(f"{what}: {found}" + (f"; {goal}: {'met' if met else 'missed'}" if goal else ""))
        if self.keep:  # at once: a later part may fail, or run out of time
            self._write()

    def _write(self) -> None:
        KEPT.mkdir(parents=True, exist_ok=True)
        made = {
            "script": re.sub(
                r" --(keep|folder \S+)", "", " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
            ),
            "how": self.how,
            "date": f"{datetime.now(UTC):%Y-%m-%d}",
            "commit": self._git["commit"],
            "device": device_name(pick_device()),
            "torch": torch.__version__,
            "python": platform.python_version(),
            "rows": self.rows,
        }
        text = json.dumps(made, indent=1, ensure_ascii=False) + "\n"
        self._path.write_text(text, encoding="utf-8")


def parser(description: str) -> argparse.ArgumentParser:
    """A benchmark's, with ``--keep``."""
    made = argparse.ArgumentParser(description=description.splitlines()[0])
    made.add_argument("--keep", action="store_true", help="write the rows to results/speed")
    return made


def _seconds_of(value: float) -> str:
    return f"{value:.3g} s" if value >= 1 else f"{1000 * value:.3g} ms"


def ratios(a: Callable[[], object], b: Callable[[], object], repeats: int = 5) -> dict[str, float]:
    """Time ``a`` and ``b`` in turn (A, B, A, B, ...), after one untimed call of each.

    Returns the median seconds ``a`` and ``b``, the median of the paired ``ratio`` a / b (above
    one: b is that many times as fast) and its smallest and largest, ``low`` and ``high``.
    """
    a(), b()
    pairs = [(_seconds(a), _seconds(b)) for _ in range(repeats)]
    quotients = [x / y for x, y in pairs]
    return {
        "a": median(x for x, _ in pairs),
        "b": median(y for _, y in pairs),
        "ratio": median(quotients),
        "low": min(quotients),
        "high": max(quotients),
    }


def seconds(call: Callable[[], object], repeats: int = 5) -> float:
    """Median time of a call that stands alone, after an untimed one."""
    call()
    return median(_seconds(call) for _ in range(repeats))


def _seconds(call: Callable[[], object]) -> float:
    _wait()
    start = time.perf_counter()
    call()
    _wait()
    return time.perf_counter() - start


def _wait() -> None:
    if torch.cuda.is_available():  # kernels run on after the call returns
        torch.cuda.synchronize()
