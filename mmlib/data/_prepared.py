"""What sets that are prepared from their publishers' files have in common.

A prepared set is a folder with a table and, where it has photos, ``images.zip``. The records are of
sets that were prepared once; ``RECORDED`` of a set's module has a digest of each of their files, so
whoever prepares it again learns whether it is the very same.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from mmlib._whole import whole

_DAY = (2024, 1, 1, 0, 0, 0)  # of all members: when it is written is no part of an archive


def write_photos(path: Path, photos: Iterable[tuple[str, Image.Image]], **options) -> None:
    """Write a zip file that holds each photo as ``<name>.jpg``, in order and not compressed again.

    ``options`` are those of Pillow's JPEG encoder. The same photos give the same bytes, as long as
    the encoder is the same. What is raised while they are made leaves ``path`` as it was.
    """
    with whole(path) as part, zipfile.ZipFile(part, "w") as archive:
        for name, photo in photos:
            data = io.BytesIO()
            photo.save(data, "JPEG", optimize=True, **options)
            archive.writestr(zipfile.ZipInfo(f"{name}.jpg", _DAY), data.getvalue())


def digest(path: Path) -> str:
    """The sha256 of a file; of an archive that of what it holds, however it is compressed."""
    if not zipfile.is_zipfile(path):
        return hashlib.sha256(path.read_bytes()).hexdigest()
    found = hashlib.sha256()
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            data = archive.read(name)
            found.update(f"{name} {len(data)} ".encode())
            found.update(data)
    return found.hexdigest()


def comparison(folder: Path, recorded: dict[str, str]) -> str:
    """A line for each file: whether it is the one that the records were made with."""
    return "\n".join(
        f"{folder / name}: "
        + ("the records' own" if digest(folder / name) == told else "not the very one of records")
        for name, told in recorded.items()
    )
