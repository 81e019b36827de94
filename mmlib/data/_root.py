"""Where data lies."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


def data_root() -> Path:
    """The folder of all data sets: ``MMLIB_DATA`` if that is set, else the checkout's ``data``."""
    default = Path(__file__).resolve().parents[2] / "data"
    return Path(os.environ.get("MMLIB_DATA") or default).expanduser()


def set_folder(name: str, files: Iterable[str], how: str, root: Path | None = None) -> Path:
    """The folder of a prepared set: ``root``, by default ``name`` in :func:`data_root`.

    Raises ``FileNotFoundError`` that names which of ``files`` are not in it and says ``how`` to get
    them.
    """
    folder = data_root() / name if root is None else Path(root)
    absent = [file for file in files if not (folder / file).is_file()]
    if absent:
        raise FileNotFoundError(f"{folder} has no {', '.join(absent)}. {how}")
    return folder
