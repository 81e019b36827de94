"""Photos with captions, in the layouts in which Flickr8k is found.

Flickr8k (M. Hodosh, P. Young, J. Hockenmaier, JAIR 47, 2013) may not be passed on; whoever asks the
publisher for it with their request form gets two archives. Unpacked into ``MMLIB_DATA/flickr8k``
they hold

* ``Flickr8k.token.txt``: a line ``<file>#<number>`` TAB ``<caption>`` for each of the five captions
  of each photo;
* ``Flickr_8k.trainImages.txt``, ``Flickr_8k.devImages.txt`` and ``Flickr_8k.testImages.txt``: the
  file names of each part;
* a folder of photos, ``Flicker8k_Dataset`` (so spelt) or ``images``.

In place of the text files there may be ``dataset_flickr8k.json``, which holds captions and
Karpathy's split. ``MMLIB_DATA/flickr8k_small`` is the third layout: ``captions.csv`` (``id``,
``split``, ``caption_0`` to ``caption_4``) and ``images.zip`` with a JPEG ``<id>.jpg`` for each row;
:mod:`mmlib.data.flickr8k_small` makes it from the others.

With ``split="released"`` the folder ``released`` in the set's own, which holds ``train.csv``,
``val.csv`` and ``test.csv`` of MEM's released code, says which photos are of which part: a split of
its own, most of whose test photos are in the publisher's training part. A row has the columns
``caption`` and ``images``, a path on its authors' machine, of which the end is the photo's name.

Nothing is left out or mended in silence: what is wrong with a file is an error that names it.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from mmlib._checks import check_choice, check_distinct, check_range
from mmlib.data._cache import mapped
from mmlib.data._photo import central_square, decoded, opened
from mmlib.data._root import data_root
from mmlib.data.text import words_of

CAPTIONS = 5
PHOTOS = ("Flicker8k_Dataset", "Flickr8k_Dataset", "images")  # names of Flickr8k's folder of them
SPLITS = ("standard", "released")
_PARTS = {"train": "train", "dev": "val", "val": "val", "test": "test", "restval": "train"}


@dataclass(frozen=True)
class Captioned:
    """N photos: ``images`` (N, 3, size, size) uint8, the ``captions`` of each, their ``names``."""

    images: Tensor
    captions: list[tuple[str, ...]]
    names: tuple[str, ...]

    def __getitem__(self, which: slice) -> Captioned:
        return Captioned(self.images[which], self.captions[which], self.names[which])


@dataclass(frozen=True)
class Row:
    """A photo as its set's files list it: ``part`` is the name that they give its part."""

    name: str
    part: str
    captions: tuple[str, ...]


def flickr8k(
    size: int, *, root: Path | None = None, split: str = "standard"
) -> dict[str, Captioned]:
    """The parts ``train``, ``val`` and ``test`` of Flickr8k, whichever layout ``root`` holds.

    Photos are resized (bicubic) so that the short side has ``size`` pixels, and cropped to the
    central square. A photo's first five captions count. ``root`` is by default ``flickr8k`` in
    ``MMLIB_DATA``, or ``flickr8k_small`` where only that is there. ``split`` is standard (the
    publisher's, which is Karpathy's too) or released.

    Raises ``FileNotFoundError``, saying how to get it, where the set is absent; ``ValueError``
    naming the photo for one that is missing, unreadable or cut short, listed twice or in two parts,
    for fewer than five captions, a caption without words, and a part without a photo.
    """
    check_choice("split", split, SPLITS)
    if root is None:
        folders = [data_root() / name for name in ("flickr8k", "flickr8k_small")]
        root = next((folder for folder in folders if folder.is_dir()), folders[0])
    root = Path(root)
    if split == "standard" and (root / "captions.csv").is_file():
        return read_archive(_small(root / "captions.csv"), root / "images.zip", size)
    rows = released(root / "released") if split == "released" else listed(root)
    photos = folder_of_photos(root, PHOTOS)
    return read_parts(rows, lambda name: (photos / name).read_bytes(), size)


def listed(root: Path) -> list[Row]:
    """Flickr8k's photos, from the publisher's text files or Karpathy's list, whichever is there."""
    if (root / "dataset_flickr8k.json").is_file():
        return karpathy(root / "dataset_flickr8k.json")
    if (root / "Flickr8k.token.txt").is_file():
        return _published(root)
    raise FileNotFoundError(
        f"{root} holds no Flickr8k. It may not be passed on: ask its publisher (University of "
        "Illinois) for it with their request form, https://forms.illinois.edu/sec/1713398, and "
        "unpack both archives into this folder, so that it holds Flickr8k.token.txt, "
        "Flickr_8k.trainImages.txt and the photos in Flicker8k_Dataset. Research use only"
    )


def folder_of_photos(root: Path, names: tuple[str, ...]) -> Path:
    """The first folder in ``root`` that has one of ``names``, else ``FileNotFoundError``."""
    for name in names:
        if (root / name).is_dir():
            return root / name
    raise FileNotFoundError(f"{root} has captions and no photos, in none of {', '.join(names)}")


def _small(path: Path) -> list[Row]:
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Row(row["id"], row["split"], tuple(row[f"caption_{i}"] or "" for i in range(CAPTIONS)))
            for row in csv.DictReader(file)
        ]


def karpathy(path: Path) -> list[Row]:
    """The photos of one of Karpathy's ``dataset_*.json``, with the parts that it gives them.

    A photo's name is its file's, after the folder's where the file says one. Raises ``ValueError``
    for a file that is no such list.
    """
    try:
        return [
            Row(
                str(Path(image.get("filepath", "")) / image["filename"]),
                image["split"],
                tuple(sentence["raw"] for sentence in image["sentences"]),
            )
            for image in json.loads(path.read_text(encoding="utf-8"))["images"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not one of Karpathy's lists ({error!r})") from error


def released(folder: Path, depth: int = 1) -> list[Row]:
    """The photos of ``train.csv``, ``val.csv`` and ``test.csv``, as MEM's released code has them.

    A photo's name is the last ``depth`` parts of its path; its rows, one a caption, follow each
    other. Raises ``FileNotFoundError`` for a file that is missing, ``ValueError`` for one without
    the columns and for a row that lacks one.
    """
    rows = []
    for part in ("train", "val", "test"):
        path = folder / f"{part}.csv"
        if not path.is_file():
            raise FileNotFoundError(
                f"{path} is missing. It is of MEM's released code, "
                "https://github.com/thinwayliu/Multimodal-Unlearnable-Examples, folder data"
            )
        with path.open(newline="", encoding="utf-8") as file:
            table = csv.DictReader(file)
            if not {"caption", "images"} <= set(table.fieldnames or ()):
                raise ValueError(
                    f"{path} has columns {table.fieldnames}; expected caption and images among them"
                )
            for where, group in groupby(table, key=lambda row: row["images"]):
                if not where:
                    raise ValueError(f"line {table.line_num} of {path} names no photo")
                name = str(Path(*Path(where).parts[-depth:]))
                rows.append(Row(name, part, tuple(row["caption"] or "" for row in group)))
    return rows


def _published(root: Path) -> list[Row]:
    """Photos that the publisher's three lists name; the captions of others are of no part.

    Raises ``FileNotFoundError`` for a list that is missing, ``ValueError`` for a line that is no
    caption and for a caption that is there twice.
    """
    told: dict[str, dict[int, str]] = defaultdict(dict)
    for number, line in enumerate(_lines(root / "Flickr8k.token.txt"), start=1):
        key, tab, caption = line.partition("\t")
        name, hash_sign, which = key.rpartition("#")
        if not (tab and hash_sign and which.isdigit()):
            raise ValueError(f"line {number} of Flickr8k.token.txt is {line!r}, not FILE#N, text")
        if int(which) in told[name]:
            raise ValueError(f"{name} has caption {which} twice in Flickr8k.token.txt")
        told[name][int(which)] = caption
    return [
        Row(name, part, tuple(caption for _, caption in sorted(told.get(name, {}).items())))
        for part in ("train", "dev", "test")
        for name in _lines(root / f"Flickr_8k.{part}Images.txt")
    ]


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; it is in the archive of Flickr8k's texts")
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def read_archive(
    rows: list[Row], path: Path, size: int, captions: int = CAPTIONS
) -> dict[str, Captioned]:
    """:func:`read_parts` of photos that lie in a zip file, each as ``<name>.jpg``.

    Raises ``ValueError`` also for a file that is no archive, or holds other bytes than it says.
    """
    with opened(path) as archive:
        return read_parts(rows, lambda name: archive.read(f"{name}.jpg"), size, captions)


def read_parts(
    rows: list[Row],
    read: Callable[[str], bytes],
    size: int,
    captions: int = CAPTIONS,
    keep: Path | None = None,
) -> dict[str, Captioned]:
    """The parts ``train``, ``val`` and ``test`` that ``rows`` list, each in their order.

    Args:
        rows: any photo once, its part one of train, dev, val, test and restval (more to train).
        read: the bytes of the file of a photo of that name.
        size: side of the central square that is kept, in pixels.
        captions: how many each photo must have; more are left out.
        keep: folder where what was read is kept, a file for each part, and mapped into memory from
            there, now and later. A file is known by the photos' names and ``size``.

    Raises ``ValueError`` as :func:`flickr8k` says.
    """
    check_range("size", size, 8)
    check_distinct("photos", (row.name for row in rows))
    of: dict[str, list[Row]] = {"train": [], "val": [], "test": []}
    for row in rows:
        check_choice(f"part of photo {row.name}", row.part, _PARTS)
        check_range(f"captions of photo {row.name}", len(row.captions), captions)
        for caption in row.captions[:captions]:
            if not words_of(caption):
                raise ValueError(f"photo {row.name} has a caption without words: {caption!r}")
        of[_PARTS[row.part]].append(row)
    for part, found in of.items():
        if not found:
            raise ValueError(f"part {part!r} has no photo")
    return {
        part: Captioned(
            _photos([row.name for row in found], read, size, keep and keep / part),
            [row.captions[:captions] for row in found],
            tuple(row.name for row in found),
        )
        for part, found in of.items()
    }


def _photos(names: list[str], read: Callable[[str], bytes], size: int, keep: Path | None) -> Tensor:
    shape = len(names), 3, size, size

    def fill(images: Tensor) -> None:
        for image, name in zip(images, tqdm(names, desc="photos", disable=None), strict=True):
            photo = decoded(
                lambda name=name: read(name), f"photo {name} is missing or cannot be read"
            )
            image[:] = central_square(photo, size, Image.Resampling.BICUBIC)

    if keep is not None:
        known = hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]
        return mapped(keep.with_name(f"{keep.name}-{size}-{known}.uint8"), shape, fill)
    images = torch.empty(shape, dtype=torch.uint8)
    fill(images)
    return images
