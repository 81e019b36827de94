"""The small set of photos, from files of the publisher's format, good ones and bad ones."""

import csv
import random
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from mmlib.data import flickr8k_small
from mmlib.data._prepared import digest
from mmlib.data._root import data_root
from mmlib.data.captioned import flickr8k
from mmlib.data.flickr8k_small import prepare

PARTS = {"train": 8, "val": 2, "test": 2}
NAMES = [f"{1000 + 7 * n % 12}_693b08cb{n}e" for n in range(12)]  # not in order


@pytest.fixture
def source(tmp_path, monkeypatch):
    """12 photos of the publisher's training part and two of others, each of one colour."""
    monkeypatch.setattr(flickr8k_small, "_PARTS", PARTS)
    folder = tmp_path / "published"
    (folder / "Flicker8k_Dataset").mkdir(parents=True)
    others = ["2000_a", "2001_b"]
    lines = [f"{n}.jpg#{i}\tA dog of {n} , {i} ." for n in (*NAMES, *others) for i in range(5)]
    (folder / "Flickr8k.token.txt").write_text("\n".join(lines))
    for part, names in (("train", NAMES), ("dev", others[:1]), ("test", others[1:])):
        listed = "".join(f"{name}.jpg\n" for name in names)
        (folder / f"Flickr_8k.{part}Images.txt").write_text(listed)
    for n, name in enumerate((*NAMES, *others)):
        pixels = np.full((30, 40, 3), (20 * n, 100, 200), np.uint8)
        Image.fromarray(pixels).save(folder / "Flicker8k_Dataset" / f"{name}.jpg", quality=95)
    return folder


def test_photos_of_the_training_part_are_dealt_to_three(source, tmp_path):
    target = tmp_path / "set"
    prepare(source, target)
    with (target / "captions.csv").open(newline="") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    assert list(rows) == sorted(NAMES)
    order = sorted(NAMES)
    random.Random(21).shuffle(order)
    for part, names in (("train", order[:8]), ("val", order[8:10]), ("test", order[10:])):
        assert {rows[name]["split"] for name in names} == {part}
    with zipfile.ZipFile(target / "images.zip") as archive:
        assert archive.namelist() == [f"{name}.jpg" for name in sorted(NAMES)]
        with archive.open(f"{NAMES[0]}.jpg") as file, Image.open(file) as image:
            assert image.size == (96, 96)
    found = flickr8k(16, root=target)
    for part in PARTS:
        assert len(found[part].names) == PARTS[part]
        for name, five, image in zip(
            found[part].names, found[part].captions, found[part].images, strict=True
        ):
            assert five == tuple(f"A dog of {name} , {i} ." for i in range(5))
            colour = torch.tensor([20 * NAMES.index(name), 100, 200])
            assert (image.float().mean((1, 2)) - colour).abs().max() < 4
    with pytest.raises(FileNotFoundError, match="released"):  # another split than the set has
        flickr8k(16, root=target, split="released")


def test_whole_photos_are_squeezed(source, tmp_path):
    path = source / "Flicker8k_Dataset" / f"{NAMES[0]}.jpg"
    pixels = np.zeros((30, 90, 3), np.uint8)
    pixels[:, 45:] = 255
    Image.fromarray(pixels).save(path, quality=95)
    prepare(source, tmp_path / "set")
    with (
        zipfile.ZipFile(tmp_path / "set" / "images.zip") as archive,
        archive.open(f"{NAMES[0]}.jpg") as file,
        Image.open(file) as image,
    ):
        grey = np.asarray(image.convert("L"), dtype=float)
    assert grey[:, :44].mean() < 5
    assert grey[:, 52:].mean() > 250


@pytest.mark.parametrize("cut", [None, 0.0, 0.02, 0.5, 0.95])
def test_a_missing_or_truncated_photo_is_an_error(source, tmp_path, cut, cut_short):
    path = source / "Flicker8k_Dataset" / f"{NAMES[3]}.jpg"
    path.unlink() if cut is None else path.write_bytes(cut_short(cut))
    with pytest.raises(ValueError, match=rf"{NAMES[3]}\.jpg is missing or cannot be read"):
        prepare(source, tmp_path / "set")


def test_another_number_of_photos_or_captions_is_an_error(source, tmp_path):
    texts = source / "Flickr8k.token.txt"
    whole = texts.read_text()
    texts.write_text(whole.replace(f"{NAMES[2]}.jpg#4", "x.jpg#4"))
    with pytest.raises(ValueError, match=rf"{NAMES[2]}\.jpg is 4; allowed: \[5"):
        prepare(source, tmp_path / "set")
    texts.write_text(whole)
    listed = source / "Flickr_8k.trainImages.txt"
    listed.write_text(listed.read_text().partition("\n")[2])
    with pytest.raises(ValueError, match="lists 11 training photos; expected 12"):
        prepare(source, tmp_path / "set")
    with pytest.raises(FileNotFoundError, match="holds no Flickr8k"):
        prepare(tmp_path, tmp_path / "set")


def test_the_records_set_where_it_is():
    folder = data_root() / "flickr8k_small"
    if not folder.is_dir():
        pytest.skip("no flickr8k_small in MMLIB_DATA")
    assert {name: digest(folder / name) for name in flickr8k_small.RECORDED} == (
        flickr8k_small.RECORDED
    )
    with (folder / "captions.csv").open(newline="", encoding="utf-8") as file:
        parts = [row["split"] for row in csv.DictReader(file)]
    random.Random(21).shuffle(parts)
    assert parts == ["train"] * 5000 + ["val"] * 500 + ["test"] * 500
