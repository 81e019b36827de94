"""Tensors that take a while to make, kept in a file that is whole or not there."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from mmlib._whole import whole

_log = logging.getLogger(__name__)


def cached(path: Path, build: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """What ``build()`` gives, read from ``path`` if an earlier call wrote it there.

    The file holds a sha256 of its tensors. One that does not agree with it, or cannot be read, is
    built anew, with a warning in the log. Where nothing can be written, each call builds. Several
    processes may call this at once: each then builds and the last to finish replaces the file as a
    whole.
    """
    if path.exists():
        try:
            return _read(path)
        except (SafetensorError, ValueError, OSError) as error:
            _log.warning("%s is damaged (%s) and is made anew", path, error)
    tensors = build()
    with _kept(path) as part:
        if part is not None:
            save_file(tensors, part, metadata={"sha256": _digest(tensors)})
    return tensors


def mapped(path: Path, shape: tuple[int, ...], fill: Callable[[Tensor], None]) -> Tensor:
    """uint8 (``shape``) of the file at ``path``, mapped into memory and not read as a whole.

    If there is none, or of another size, ``fill(tensor)`` writes it first; what it raises leaves no
    file behind. Where nothing can be written, the tensor is in memory. What is written to the
    tensor afterwards does not reach the file.
    """
    size = math.prod(shape)
    if not path.exists() or path.stat().st_size != size:
        with _kept(path) as part:
            if part is None:
                tensor = torch.empty(shape, dtype=torch.uint8)
                fill(tensor)
                return tensor
            fill(torch.from_file(str(part), shared=True, size=size, dtype=torch.uint8).view(shape))
    return torch.from_file(str(path), shared=False, size=size, dtype=torch.uint8).view(shape)


@contextmanager
def _kept(path: Path) -> Iterator[Path | None]:
    """:func:`mmlib._whole.whole`; None where nothing can be written."""
    with ExitStack() as stack:
        part = None
        try:
            part = stack.enter_context(whole(path))
        except OSError as error:  # a shared folder, perhaps, that may only be read
            _log.warning("%s cannot be kept (%s)", path, error)
        yield part


def _read(path: Path) -> dict[str, Tensor]:
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        noted = (file.metadata() or {}).get("sha256")
    if noted != _digest(tensors):
        raise ValueError(f"its tensors do not have the sha256 {noted}")
    return tensors


def _digest(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
