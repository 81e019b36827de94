"""The grid of runs: which rows there are, with which parameters, seeds and looks."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

GRID = Path(__file__).resolve().parents[2] / "workflow" / "grid.yml"


@cache
def rows() -> dict[tuple[str, str, str], Mapping[str, Any]]:
    """The rows of ``workflow/grid.yml``, by chapter, experiment and preset."""
    listed = yaml.safe_load(GRID.read_text(encoding="utf-8"))
    return {(row["chapter"], row["experiment"], row["preset"]): row for row in listed}
