"""Where records lie, and how a file of theirs is written and told from another."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mmlib

ROOT = Path(mmlib.__file__).resolve().parents[1]
RUNS = ROOT / "build" / "runs"
RESULTS = ROOT / "results"


def place(head: Mapping[str, Any]) -> Path:
    """A record's folder below ``RUNS`` and ``RESULTS``, by what tells it from others."""
    return Path(head["chapter"], head["experiment"], head["preset"], f"seed-{head['seed']}")


def write_atomically(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.write_text(text)
    os.replace(scratch, path)


def sha256(path: Path) -> str:
    """The sha256 of a file's bytes, in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
