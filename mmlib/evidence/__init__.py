"""What recorded runs say over seeds.

``runs`` are those that count, ``estimates`` their means and intervals, ``tables`` what pages show
of them.
"""

from mmlib.evidence.estimates import FEWEST, Estimate, difference, digits, estimate, unpaired
from mmlib.evidence.runs import (
    by_experiment,
    counted,
    curves,
    deciding,
    level,
    one_a_seed,
    recorded,
)
from mmlib.evidence.tables import Column, cells, counted_apart, less, over_seeds, points, table

__all__ = [
    "FEWEST", "Column", "Estimate", "by_experiment", "cells", "counted", "counted_apart", "curves",
    "deciding", "difference", "digits", "estimate", "less", "level", "one_a_seed", "over_seeds",
    "points", "recorded", "table", "unpaired",
]  # fmt: skip
