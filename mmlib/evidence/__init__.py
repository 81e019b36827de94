"""What recorded runs say over seeds.

``runs`` are those that count, ``estimates`` their means and intervals, ``tables`` what pages show
of them.
"""

from mmlib.evidence.estimates import FEWEST, Estimate, difference, digits, estimate, order, unpaired
from mmlib.evidence.runs import (
    by_experiment,
    counted,
    curves,
    deciding,
    level,
    one_a_seed,
    recorded,
)
from mmlib.evidence.tables import column, over_seeds, table

__all__ = [
    "FEWEST", "Estimate", "by_experiment", "column", "counted", "curves", "deciding", "difference",
    "digits", "estimate", "level", "one_a_seed", "order", "over_seeds", "recorded", "table",
    "unpaired",
]  # fmt: skip
