"""Orderings of metrics, such as ``a > b + 0.1``: read, and decided by runs."""

from __future__ import annotations

import re

from mmlib.evidence import estimate

SIGNS = {">": "above", "<": "below", ">=": "at least", "<=": "at most"}


def sides(ordering: str) -> tuple[str, str]:
    """The two metrics of ``a > b``, ``b < a``, ``a >= b`` or ``b <= a``, the larger first.

    A margin, as in ``a > b + 0.1``, belongs to neither.
    """
    left, sign, right, _ = read(ordering)
    return (left, right) if sign[0] == ">" else (right, left)


def read(ordering: str) -> tuple[str, str, str, float]:
    """Left side, sign, right side and what is added to that.

    Raises ``ValueError`` for what is no ordering.
    """
    found = re.fullmatch(r"(\S+) ([<>]=?) (\S+?)(?: \+ ([\d.]+))?", ordering)
    if found is None:
        allowed = "'a > b', 'a < b', 'a >= b', 'a <= b', each with or without ' + 0.1'"
        raise ValueError(f"ordering is {ordering!r}; allowed: {allowed}")
    left, sign, right, margin = found.groups()
    return left, sign, right, float(margin or 0.0)


def holds(ordering: str, runs: list[dict[str, float]], level: float = 0.95) -> bool | None:
    """Whether ``a > b`` (or ``b < a``) holds over runs; None where a metric is missing.

    A side may be a number. With several runs the interval of the mean paired difference, 95 % or
    ``level``, must exclude zero; with one the difference must have the sign. ``a >= b`` (or
    ``b <= a``), a bound, must hold in every run. In ``a > b + 0.1`` the difference is one to
    b + 0.1.
    """
    left, sign, right, margin = read(ordering)
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
    ordering: str, runs: list[dict[str, float]], *, exact: bool = False, level: float = 0.95
) -> str:
    """In words: whether an ordering holds, its opposite does, or chance leaves both open.

    Where chance plays no part (``exact``), and for a bound, what does not hold has failed.

    >>> outcome("a > 2", [{"a": 3.0}, {"a": 3.1}]), outcome("a > b", [{"a": 3.0}])
    ('holds', 'not run here')
    """
    held = holds(ordering, runs, level)
    if held is None:
        return "not run here"
    if held:
        return "holds"
    turned = ordering.translate(str.maketrans("<>", "><"))
    opposite = exact or "=" in ordering or holds(turned, runs, level)
    return "does not hold" if opposite else "not shown"


def number(side: str) -> float | None:
    """The number that a side is, if it is one."""
    try:
        return float(side)
    except ValueError:
        return None
