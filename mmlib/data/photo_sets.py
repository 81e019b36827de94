"""Flickr30k and MSCOCO: photos with five captions, in Karpathy's splits or MEM's released ones.

The splits and captions of both are in ``dataset_flickr30k.json`` and ``dataset_coco.json`` (A.
Karpathy, L. Fei-Fei, CVPR 2015), of the archive ``caption_datasets.zip`` that
https://cs.stanford.edu/people/karpathy/deepimagesent names. ``python -m mmlib.data.photo_sets``
``flickr30k`` or ``mscoco`` downloads what may be: the list of each, and MSCOCO's photos. In
``MMLIB_DATA``

* ``flickr30k`` holds the first and the publisher's folder of photos, ``flickr30k-images`` or
  ``images`` (P. Young et al., TACL 2014). The publisher's own ``results_20130124.token`` has the
  same captions, but no split, so it is not read;
* ``mscoco`` holds the second and the folders ``train2014`` and ``val2014`` (T.-Y. Lin et al., ECCV
  2014).

For ``split="released"`` the three CSV files of MEM's released code lie in the folder ``released``
of either, and :mod:`mmlib.data.captioned` says what they are.

What is read is kept, in the folder ``read`` of either, and mapped into memory: 3 size^2 bytes a
photo, at 224 pixels 4.7 GB for Flickr30k and 18.6 GB for MSCOCO on the disk, and in memory what is
in use. A file there is known by the photos' names: if other photos take the same names, delete it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

from mmlib._checks import check_choice
from mmlib.data._root import data_root, set_folder
from mmlib.data.captioned import (
    SPLITS,
    Captioned,
    Row,
    folder_of_photos,
    karpathy,
    read_parts,
    released,
)
from mmlib.data.download import download, unpack


class _Archive(NamedTuple):
    """A published zip file, and the file, or folder of ``files`` files, that is unpacked of it."""

    url: str
    size: int
    sha256: str
    name: str
    files: int = 1


def _lists(name: str) -> _Archive:
    # Its page tells neither; size and sha256 are those that projects which use it have noted.
    return _Archive(
        "https://cs.stanford.edu/people/karpathy/deepimagesent/caption_datasets.zip",
        36_745_453,
        "4cfd70132527b80933105e5829dc9034eaab9573482e2e680abbab6130244817",
        name,
    )


_ARCHIVES = {
    "flickr30k": (_lists("dataset_flickr30k.json"),),
    "mscoco": (
        _lists("dataset_coco.json"),
        # Sizes and sha256: TensorFlow Datasets, url_checksums/coco.txt.
        _Archive(
            "http://images.cocodataset.org/zips/val2014.zip",
            6_645_013_297,
            "fe9be816052049c34717e077d9e34aa60814a55679f804cd043e3cbee3b9fde0",
            "val2014",
            40_504,
        ),
        _Archive(
            "http://images.cocodataset.org/zips/train2014.zip",
            13_510_573_713,
            "ede4087e640bddba550e090eae701092534b554b42b05ac33f0300b984b31775",
            "train2014",
            82_783,
        ),
    ),
}
_FETCH = "Run `python -m mmlib.data.photo_sets {}`, which fetches "
_FLICKR30K = _FETCH.format("flickr30k") + (
    "the split, dataset_flickr30k.json of caption_datasets.zip. The photos may not be passed on: "
    "ask their publisher (University of Illinois) with the form at "
    "https://shannon.cs.illinois.edu/DenotationGraph, and put the folder flickr30k-images here. "
    "Research use only"
)
_MSCOCO = _FETCH.format("mscoco") + (
    "the split, dataset_coco.json of caption_datasets.zip, and the photos, train2014.zip (13 GB) "
    "and val2014.zip (6 GB), and unpacks all"
)


def flickr30k(
    size: int, *, root: Path | None = None, split: str = "standard"
) -> dict[str, Captioned]:
    """The parts ``train`` (29,000 photos), ``val`` (1,014) and ``test`` (1,000) of Flickr30k.

    Photos are as in :func:`mmlib.data.captioned.flickr8k`, and so is what is raised. ``root`` is
    by default ``flickr30k`` in ``MMLIB_DATA``; ``split`` is standard, Karpathy's, or released.
    """
    root, rows = _listed("flickr30k", "dataset_flickr30k.json", _FLICKR30K, root, split, depth=1)
    photos = folder_of_photos(root, ("flickr30k-images", "images"))
    return read_parts(rows, lambda name: (photos / name).read_bytes(), size, keep=root / "read")


def mscoco(size: int, *, root: Path | None = None, split: str = "standard") -> dict[str, Captioned]:
    """The parts ``train`` (113,287 photos), ``val`` and ``test`` (5,000 each) of MSCOCO.

    The standard split is Karpathy's, its part ``restval`` a part of ``train``. Else as
    :func:`flickr30k`; ``root`` is by default ``mscoco``.
    """
    root, rows = _listed("mscoco", "dataset_coco.json", _MSCOCO, root, split, depth=2)
    for folder in ("train2014", "val2014"):
        folder_of_photos(root, (folder,))
    return read_parts(rows, lambda name: (root / name).read_bytes(), size, keep=root / "read")


def _listed(
    name: str, file: str, how: str, root: Path | None, split: str, depth: int
) -> tuple[Path, list[Row]]:
    """The folder of a set, and the photos that one of its splits lists."""
    standard = check_choice("split", split, SPLITS) == "standard"
    folder = set_folder(name, (file,) if standard else (), how, root)
    rows = karpathy(folder / file) if standard else released(folder / "released", depth)
    return folder, rows


def fetch(name: str) -> Path:
    """Download and unpack what of a set may be: the folder that holds it then.

    ``name`` is flickr30k or mscoco. Archives are left beside what was unpacked of them.

    Raises :class:`mmlib.data.download.DownloadError` where one cannot be had, and ``ValueError``
    for one that is damaged or has another number of files than it should.
    """
    archives = _ARCHIVES[check_choice("name", name, _ARCHIVES)]
    folder = data_root() / name
    for archive in archives:
        path = folder / Path(archive.url).name
        if not (folder / archive.name).exists():
            download(archive.url, path, size=archive.size, sha256=archive.sha256)
        unpack(path, archive.name, folder, files=archive.files)
    return folder


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"python -m mmlib.data.photo_sets NAME   one of {', '.join(_ARCHIVES)}")
    print(f"{fetch(sys.argv[1])} has what may be fetched; its zip files can be removed")
