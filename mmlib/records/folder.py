"""Where records lie, how one is written, and how a file of theirs is told from another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mmlib
from mmlib._whole import whole

ROOT = Path(mmlib.__file__).resolve().parents[1]
RUNS = ROOT / "build" / "runs"
RESULTS = ROOT / "results"


def place(head: Mapping[str, Any]) -> Path:
    """A record's folder below ``RUNS`` and ``RESULTS``, by what tells it from others."""
    return Path(head["chapter"], head["experiment"], head["preset"], f"seed-{head['seed']}")


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Write ``record.json``, whole or not at all."""
    with whole(folder / "record.json") as part:
        part.write_text(json.dumps(record, indent=1) + "\n")


def sha256(path: Path) -> str:
    """The sha256 of a file's bytes, in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
