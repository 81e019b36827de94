"""What an unfinished run has done already, in files: what took long, such as trained models."""

from __future__ import annotations

import hashlib
import pickle
import shutil
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from mmlib._whole import whole


class Parts:
    """Parts of a run by name, below ``folder``, in a place that all that decides them has a say in.

    ``sources`` are the files, ``decided_by`` the values that decide what a part is: where one of
    them differs there is another place, with no part yet.
    """

    def __init__(self, folder: Path, sources: Iterable[Path], *decided_by: Any):
        digest = hashlib.sha256(repr(decided_by).encode())
        for path in sources:
            digest.update(path.read_bytes())
        self.folder, self._place = folder, folder / digest.hexdigest()

    def read(self, name: str) -> dict[str, Any] | None:
        """What was written as part ``name``; None if it was not, or is damaged, with a warning."""
        path = self._path(name)
        try:
            # The run's own file, so it may hold any object.
            return torch.load(path, weights_only=False) if path.exists() else None
        except (EOFError, RuntimeError, pickle.UnpicklingError):  # as a power cut leaves a file
            warnings.warn("a part of the run is damaged and is made again", stacklevel=3)
            return None

    def write(self, name: str, part: dict[str, Any]) -> None:
        """Keep a part, whole or not at all; warn of one that the disk does not take.

        Other places' parts go first: nothing may ever ask for them again.
        """
        for other in self.folder.glob("*"):
            if other != self._place:
                shutil.rmtree(other, ignore_errors=True)
        try:
            # Given a path, torch says nothing of a full disk.
            with whole(self._path(name)) as scratch, scratch.open("wb") as file:
                torch.save(part, file)
        except OSError as error:  # the run needs no part; published images may be gigabytes
            warnings.warn(f"a part of the run is not kept: {error}", stacklevel=2)

    def clear(self) -> None:
        """Forget all parts, those of other places, too."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, name: str) -> Path:
        return self._place / hashlib.sha256(name.encode()).hexdigest()
