"""Files in the exact format of each layout, good ones and bad ones."""

import csv
import io
import json
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from mmlib.data._root import data_root
from mmlib.data.captioned import flickr8k

PARTS = {"train": 3, "dev": 1, "test": 2}  # photos of each
WORDS = ("dog", "child", "girl", "boat", "man", "snow")


def jpeg(number):
    """A photo of 40 x 30 pixels, one colour, another for each number."""
    pixels = np.full((30, 40, 3), (40 * number, 100, 200 - 30 * number), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95)
    return file.getvalue()


def photos():
    """File name, part, five captions of each photo, as Flickr8k writes them."""
    names = (f"{1000 + n}_693b08cb{n}e.jpg" for n in range(sum(PARTS.values())))
    parts = (part for part, count in PARTS.items() for _ in range(count))
    return [
        (name, part, [f"A {WORDS[n]} number {i} ." for i in range(5)])
        for n, (name, part) in enumerate(zip(names, parts, strict=True))
    ]


def write_published(folder, folder_of_photos="Flicker8k_Dataset"):
    lines = [f"{n}#{i}\t{c}" for n, _, five in photos() for i, c in enumerate(five)]
    lines[3:5] = lines[4:2:-1]  # a caption's number, not its line, says which it is
    # The publisher's file tells of a photo that is in no part and has no file.
    lines += [f"2258277193_586949ec62.jpg.1#{i}\tpeople waiting" for i in range(5)]
    (folder / folder_of_photos).mkdir(parents=True)
    (folder / "Flickr8k.token.txt").write_text("\n".join(lines) + "\n")
    for part in PARTS:
        names = [n for n, p, _ in photos() if p == part]
        (folder / f"Flickr_8k.{part}Images.txt").write_text("\n".join(names) + "\n")
    for number, (name, *_) in enumerate(photos()):
        (folder / folder_of_photos / name).write_bytes(jpeg(number))


def write_karpathy(folder):
    write_published(folder, "images")
    for path in folder.glob("*.txt"):
        path.unlink()
    split = {"train": "train", "dev": "val", "test": "test"}
    images = [
        {
            "sentids": list(range(5 * n, 5 * n + 5)),
            "imgid": n,
            "sentences": [{"tokens": c.lower().split()[:-1], "raw": c} for c in five],
            "split": split[part],
            "filename": name,
        }
        for n, (name, part, five) in enumerate(photos())
    ]
    text = json.dumps({"images": images, "dataset": "flickr8k"})
    (folder / "dataset_flickr8k.json").write_text(text)


def write_small(folder):
    folder.mkdir(parents=True, exist_ok=True)
    split = {"train": "train", "dev": "val", "test": "test"}
    with (folder / "captions.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["id", "split", *(f"caption_{i}" for i in range(5))])
        for name, part, five in photos():
            table.writerow([name.removesuffix(".jpg"), split[part], *five])
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        for number, (name, *_) in enumerate(photos()):
            archive.writestr(name, jpeg(number))


LAYOUTS = {"published": write_published, "karpathy": write_karpathy, "small": write_small}


@pytest.fixture
def folder(tmp_path):
    write_published(tmp_path)
    return tmp_path


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_gives_the_same_photos_and_captions(layout, tmp_path):
    LAYOUTS[layout](tmp_path)
    found = flickr8k(16, root=tmp_path)
    assert {part: len(p.images) for part, p in found.items()} == {"train": 3, "val": 1, "test": 2}
    train, less = found["train"], found["train"][1:]
    assert torch.equal(less.images, train.images[1:])
    assert (less.captions, less.names) == (train.captions[1:], train.names[1:])
    for number, (name, part, five) in enumerate(photos()):
        of = found[{"dev": "val"}.get(part, part)]
        row = [n.removesuffix(".jpg") for n in of.names].index(name.removesuffix(".jpg"))
        assert of.captions[row] == tuple(five)
        colour = torch.tensor([40 * number, 100, 200 - 30 * number])
        assert of.images.dtype == torch.uint8
        assert of.images.shape[1:] == (3, 16, 16)
        assert (of.images[row].float().mean((1, 2)) - colour).abs().max() < 3


def test_the_central_square_is_kept(folder):
    name = photos()[0][0]
    pixels = np.zeros((30, 90, 3), dtype=np.uint8)
    pixels[:, 30:60] = 255
    Image.fromarray(pixels).save(folder / "Flicker8k_Dataset" / name, quality=95)
    image = flickr8k(30, root=folder)["train"].images[0]
    assert image.float().mean() > 245


@pytest.mark.parametrize(
    ("width", "height", "sides", "corner"),
    [(40, 30, (21, 16), (2, 0)), (30, 40, (16, 21), (0, 2))],
    ids=["landscape", "portrait"],
)
def test_the_short_side_is_resized_by_bicubic_interpolation(width, height, sides, corner, folder):
    path = folder / "Flicker8k_Dataset" / photos()[0][0]
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path, "JPEG", quality=95)
    left, top = corner
    with Image.open(path) as photo:
        resized = np.array(photo.resize(sides, Image.Resampling.BICUBIC))
    expected = torch.from_numpy(resized[top : top + 16, left : left + 16]).permute(2, 0, 1)
    assert torch.equal(flickr8k(16, root=folder)["train"].images[0], expected)


def test_where_it_lies_is_one_setting(tmp_path, monkeypatch):
    monkeypatch.setenv("MMLIB_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"ask its publisher .* with their request form"):
        flickr8k(16)
    write_small(tmp_path / "flickr8k_small")
    assert len(flickr8k(16)["train"].images) == 3
    write_published(tmp_path / "flickr8k")
    (tmp_path / "flickr8k" / "Flicker8k_Dataset" / photos()[0][0]).unlink()
    with pytest.raises(ValueError, match="is missing or cannot be read"):
        flickr8k(16)  # the publisher's is read first, and no other in its place


def test_captions_without_photos_say_so(folder):
    (folder / "Flicker8k_Dataset").rename(folder / "elsewhere")
    with pytest.raises(FileNotFoundError, match="has captions and no photos"):
        flickr8k(16, root=folder)


def change(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_a_missing_list_is_an_error(folder):
    (folder / "Flickr_8k.devImages.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"Flickr_8k\.devImages\.txt is missing"):
        flickr8k(16, root=folder)


@pytest.mark.parametrize("cut", [0.0, 0.02, 0.5, 0.95])
def test_a_truncated_jpeg_is_an_error(folder, cut, cut_short):
    path = folder / "Flicker8k_Dataset" / photos()[1][0]
    path.write_bytes(cut_short(cut))
    with pytest.raises(ValueError, match=rf"photo {path.name} is missing or cannot be read"):
        flickr8k(16, root=folder)


def test_a_truncated_jpeg_in_the_archive_is_an_error(tmp_path, cut_short):
    write_small(tmp_path)
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        for number, (name, *_) in enumerate(photos()):
            archive.writestr(name, jpeg(number) if number else cut_short(0.5))
    with pytest.raises(ValueError, match="is missing or cannot be read"):
        flickr8k(16, root=tmp_path)
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        archive.writestr(photos()[0][0], jpeg(0))
    with pytest.raises(ValueError, match="is missing or cannot be read"):
        flickr8k(16, root=tmp_path)


def test_a_damaged_archive_is_an_error(tmp_path):
    write_small(tmp_path)
    path = tmp_path / "images.zip"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"images\.zip cannot be read"):
        flickr8k(16, root=tmp_path)
    changed = bytearray(whole)
    changed[whole.index(jpeg(0)) + 300] ^= 1
    path.write_bytes(changed)
    with pytest.raises(ValueError, match=r"images\.zip cannot be read .*1000_693b08cb0e\.jpg"):
        flickr8k(16, root=tmp_path)


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("Flickr8k.token.txt", "A dog number 2 .", " . ", r"a caption without words: ' \. '"),
        ("Flickr8k.token.txt", "#4\tA dog", "#3\tA dog", "has caption 3 twice"),
        ("Flickr8k.token.txt", "#1\tA dog", " A dog", "line 2 of .* not FILE#N, text"),
        (
            "Flickr8k.token.txt",
            "1000_693b08cb0e.jpg#4",
            "other.jpg#4",
            r"captions of .* is 4;",
        ),
        (
            "Flickr_8k.testImages.txt",
            "1004_",
            "1000_",
            r"of photo 1000_693b08cb4e.jpg is 0",
        ),
        (
            "Flickr_8k.testImages.txt",
            "1004_693b08cb4e.jpg",
            "1000_693b08cb0e.jpg",
            r"1000_693b08cb0e\.jpg' is there twice",
        ),
        ("Flickr_8k.devImages.txt", "1003_693b08cb3e.jpg", "", "part 'val' has no photo"),
    ],
)
def test_bad_lines_are_errors_that_name_what_is_wrong(folder, file, old, new, message):
    change(folder / file, old, new)
    with pytest.raises(ValueError, match=message):
        flickr8k(16, root=folder)


def test_bad_rows_of_the_other_layouts_are_errors(tmp_path):
    write_small(tmp_path / "s")
    change(tmp_path / "s/captions.csv", "1001_693b08cb1e", "1000_693b08cb0e")
    with pytest.raises(ValueError, match="is there twice"):
        flickr8k(16, root=tmp_path / "s")
    write_small(tmp_path / "cut")
    change(tmp_path / "cut/captions.csv", ",A snow number 4 .", "")  # the end of the last line
    with pytest.raises(ValueError, match="1005_693b08cb5e has a caption without words"):
        flickr8k(16, root=tmp_path / "cut")
    write_karpathy(tmp_path / "k")
    change(tmp_path / "k/dataset_flickr8k.json", '"split": "val"', '"split": "holdout"')
    with pytest.raises(ValueError, match=" is 'holdout'; allowed: 'train', 'dev'"):
        flickr8k(16, root=tmp_path / "k")


def test_the_small_set_where_it_is():
    if not (data_root() / "flickr8k_small").is_dir():
        pytest.skip("no flickr8k_small in MMLIB_DATA")
    found = flickr8k(32, root=data_root() / "flickr8k_small")
    assert {p: len(x.images) for p, x in found.items()} == {"train": 5000, "val": 500, "test": 500}
    assert all(len(five) == 5 for x in found.values() for five in x.captions)
