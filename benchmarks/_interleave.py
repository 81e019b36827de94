"""Interleaved timing: on a shared machine only times taken side by side can be compared."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import torch


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


def _seconds(call: Callable[[], object]) -> float:
    _wait()
    start = time.perf_counter()
    call()
    _wait()
    return time.perf_counter() - start


def _wait() -> None:
    if torch.cuda.is_available():  # kernels run on after the call returns
        torch.cuda.synchronize()
