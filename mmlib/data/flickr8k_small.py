"""Flickr8k's training photos, small: the set that the records on photos were made with.

``python -m mmlib.data.flickr8k_small FOLDER`` prepares it from the publisher's files, laid out as
:mod:`mmlib.data.captioned` says. To ``MMLIB_DATA/flickr8k_small``, which is read where there is no
``MMLIB_DATA/flickr8k``, it writes

* ``captions.csv``: ``id``, ``split`` and ``caption_0`` to ``caption_4`` of each of 6,000 photos;
* ``images.zip``: a JPEG ``<id>.jpg`` of 96 x 96 pixels, the photo squeezed to a square.

All photos are of the publisher's training part. Of these 5,000 are ``train`` here, and 500 each
``val`` and ``test``. Ids, split and captions are the records' own. Photos are so but for how they
were made small: the records' were of a copy of 224 x 224 pixels, which is not published with the
set.
"""

from __future__ import annotations

import csv
import random
import sys
from pathlib import Path

from PIL import Image

from mmlib._checks import check_range
from mmlib.data._photo import decoded
from mmlib.data._prepared import comparison, write_photos
from mmlib.data._root import data_root
from mmlib.data.captioned import CAPTIONS, PHOTOS, folder_of_photos, listed

RECORDED = {
    "captions.csv": "bd008f53bf036840d69946a69ab9966daec0aeedead4eb9de2d0ac81bfbecd70",
    "images.zip": "348a0606882044ba4ef8fdb99d29b3c57d41b3f681641a2a8a8edc25fe667b06",
}
_SIZE = 96  # in pixels
_PARTS = {"train": 5000, "val": 500, "test": 500}  # photos, in the order in which they are drawn
_SEED = 21


def prepare(source: Path, target: Path) -> None:
    """Write ``captions.csv`` and ``images.zip`` to ``target`` from the publisher's files.

    Raises ``FileNotFoundError`` where Flickr8k is not in ``source``, ``ValueError`` for another
    number of training photos, fewer than five captions of one, and a photo that is missing or
    cannot be read.
    """
    rows = {Path(row.name).stem: row for row in listed(source) if row.part == "train"}
    expected = sum(_PARTS.values())
    if len(rows) != expected:
        raise ValueError(f"{source} lists {len(rows):,} training photos; expected {expected:,}")
    for row in rows.values():
        check_range(f"captions of photo {row.name}", len(row.captions), CAPTIONS)
    names = sorted(rows)
    order = list(range(expected))
    random.Random(_SEED).shuffle(order)
    parts = [part for part, photos in _PARTS.items() for _ in range(photos)]
    of = {names[place]: part for place, part in zip(order, parts, strict=True)}
    folder = folder_of_photos(source, PHOTOS)

    def squeezed(name: str) -> Image.Image:
        complaint = f"photo {rows[name].name} is missing or cannot be read"
        photo = decoded(folder / rows[name].name, complaint)
        return photo.resize((_SIZE, _SIZE), Image.Resampling.LANCZOS)

    target.mkdir(parents=True, exist_ok=True)
    photos = ((name, squeezed(name)) for name in names)
    write_photos(target / "images.zip", photos, quality=80, progressive=True)
    with (target / "captions.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["id", "split", *(f"caption_{i}" for i in range(CAPTIONS))])
        table.writerows((name, of[name], *rows[name].captions[:CAPTIONS]) for name in names)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("python -m mmlib.data.flickr8k_small FOLDER   the publisher's files of Flickr8k")
    prepare(Path(sys.argv[1]), data_root() / "flickr8k_small")
    print(comparison(data_root() / "flickr8k_small", RECORDED))
