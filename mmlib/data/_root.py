"""Where data lies."""

from __future__ import annotations

import os
from pathlib import Path


def data_root() -> Path:
    """The folder of all data sets: ``MMLIB_DATA`` if that is set, else the checkout's ``data``."""
    default = Path(__file__).resolve().parents[2] / "data"
    return Path(os.environ.get("MMLIB_DATA") or default).expanduser()
