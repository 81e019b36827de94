"""Photos that are read, and the square that is kept of one."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """The zip file at ``path``, to read photos from.

    Raises ``ValueError`` for one that is no archive, or holds other bytes than it says.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path} cannot be read ({error})") from error


def decoded(file: Path | Callable[[], bytes], complaint: str, mode: str = "RGB") -> Image.Image:
    """The whole image of a file, or of the bytes that ``file()`` gives.

    Raises ``ValueError``, the ``complaint`` and its reason, for one that is missing, no image, or
    cut short.
    """
    try:
        with Image.open(file if isinstance(file, Path) else io.BytesIO(file())) as image:
            return image.convert(mode)
    except (KeyError, OSError, SyntaxError) as error:  # not in an archive; cut short; a bad PNG
        raise ValueError(f"{complaint} ({error})") from error


def central_square(photo: Image.Image, size: int, by: Image.Resampling) -> Tensor:
    """uint8 (3, size, size): a photo, its short side resized to ``size``, its middle cut out."""
    scale = size / min(photo.size)
    wide, high = (max(size, round(scale * side)) for side in photo.size)
    left, top = (wide - size) // 2, (high - size) // 2
    photo = photo.resize((wide, high), by).crop((left, top, left + size, top + size))
    return torch.from_numpy(np.array(photo)).permute(2, 0, 1).contiguous()
