"""Flickr30k and MSCOCO, in files of the exact format: small ones, and bad ones."""

import csv
import hashlib
import io
import json
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from mmlib.data import photo_sets
from mmlib.data.captioned import flickr8k
from mmlib.data.download import DownloadError
from mmlib.data.photo_sets import fetch, flickr30k, mscoco

WORDS = ("dog", "child", "girl", "boat", "man", "snow")
SPLIT = ("train", "train", "val", "test", "restval", "test")  # restval is MSCOCO's only
JSON = {"flickr30k": "dataset_flickr30k.json", "mscoco": "dataset_coco.json"}
LOAD = {"flickr8k": flickr8k, "flickr30k": flickr30k, "mscoco": mscoco}
COLUMNS = {  # of MEM's released files
    "flickr8k": ("image", "caption_number", "caption", "id", "images"),
    "flickr30k": ("image_name", "caption_num", "caption", "images", "id"),
    "mscoco": ("caption", "images"),
}
FOLDER = {"flickr8k": "images", "flickr30k": "flickr30k-images", "mscoco": ""}


def colour(number):
    return 40 * number, 100, 200 - 30 * number


def jpeg(number, size=(30, 40)):
    """One colour, another for each number, but for one photo in grey."""
    file = io.BytesIO()
    Image.fromarray(np.full((*size, 3), colour(number), np.uint8)).save(file, "JPEG", quality=95)
    return file.getvalue()


def photos(name):
    """Folder, file, part, captions of each photo."""
    for n, part in enumerate(SPLIT):
        five = tuple(f"A {WORDS[n]} number {i} ." for i in range(5))
        if name == "mscoco":
            folder = "train2014" if n in (0, 1) else "val2014"
            yield folder, f"COCO_{folder}_{n:012}.jpg", part, (*five, "one more caption")
        else:
            yield "", f"{1000 + n}.jpg", part.replace("restval", "train"), five


def write_photos(folder, name):
    for n, (inside, file, *_) in enumerate(photos(name)):
        path = folder / FOLDER[name] / inside / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(n))


def write_standard(folder, name):
    write_photos(folder, name)
    images = []
    for n, (inside, file, part, captions) in enumerate(photos(name)):
        told = [{"tokens": c.lower().split(), "raw": c, "imgid": n, "sentid": n} for c in captions]
        image = {"sentids": [n], "imgid": n, "sentences": told, "split": part, "filename": file}
        images.append(image | ({"filepath": inside, "cocoid": n} if inside else {}))
    (folder / JSON[name]).write_text(json.dumps({"images": images, "dataset": name}))


def write_released(folder, name):
    """The parts are dealt otherwise than Karpathy's, and paths are those of another machine."""
    write_photos(folder, name)
    (folder / "released").mkdir()
    parts = {"train": (3, 2, 5), "val": (0,), "test": (1, 4)}
    every = list(photos(name))
    for part, rows in parts.items():
        with (folder / "released" / f"{part}.csv").open("w", newline="") as file:
            table = csv.DictWriter(file, COLUMNS[name], restval="7")
            table.writeheader()
            for n in rows:
                inside, photo, _, captions = every[n]
                for caption in captions[:5]:
                    where = "/".join(filter(None, ("/data/clip/photos", inside, photo)))
                    table.writerow({"caption": f" {caption}", "images": where})
    return parts


@pytest.fixture(params=["flickr30k", "mscoco"])
def name(request):
    return request.param


def change(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_karpathys_parts_with_their_photos_and_captions(name, tmp_path):
    write_standard(tmp_path, name)
    found = LOAD[name](16, root=tmp_path)
    assert {part: len(p.images) for part, p in found.items()} == {"train": 3, "val": 1, "test": 2}
    for n, (inside, file, part, captions) in enumerate(photos(name)):
        of = found[part.replace("restval", "train")]
        row = of.names.index(f"{inside}/{file}" if inside else file)
        assert of.captions[row] == captions[:5]
        assert of.images.shape[1:] == (3, 16, 16)
        assert (of.images[row].float().mean((1, 2)) - torch.tensor(colour(n))).abs().max() < 3


@pytest.mark.parametrize("name", LOAD)
def test_the_released_parts_are_those_of_its_files(name, tmp_path):
    parts = write_released(tmp_path, name)
    found = LOAD[name](16, root=tmp_path, split="released")
    every = list(photos(name))
    for part, rows in parts.items():
        files = [every[n][1] for n in rows]
        assert [kept.rpartition("/")[2] for kept in found[part].names] == files
        for n, image, captions in zip(rows, found[part].images, found[part].captions, strict=True):
            assert captions == tuple(f" {caption}" for caption in every[n][3][:5])
            assert (image.float().mean((1, 2)) - torch.tensor(colour(n))).abs().max() < 3
    (tmp_path / "released" / "val.csv").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"val\.csv is missing. It is of MEM's released code"
    ):
        LOAD[name](16, root=tmp_path, split="released")


def test_what_was_read_is_kept_and_mapped(name, tmp_path):
    write_standard(tmp_path, name)
    first = LOAD[name](16, root=tmp_path)
    small = LOAD[name](8, root=tmp_path)
    files = sorted((tmp_path / "read").iterdir())
    sizes = [path.stat().st_size for path in files]
    assert sorted(sizes) == sorted(3 * size**2 * n for n in (2, 3, 1) for size in (8, 16))
    for path in tmp_path.rglob("*.jpg"):
        path.write_bytes(b"")
    for size, expected in ((16, first), (8, small)):
        again = LOAD[name](size, root=tmp_path)  # no photo is read
        assert all(torch.equal(expected[part].images, again[part].images) for part in first)
    again["val"].images.zero_()  # is for this reader only
    assert torch.equal(small["val"].images, LOAD[name](8, root=tmp_path)["val"].images)
    with pytest.raises(ValueError, match="is missing or cannot be read"):
        LOAD[name](12, root=tmp_path)  # of another size they are not there
    (listed,) = tmp_path.glob("dataset_*.json")
    change(listed, '"split": "val"', '"split": "other"')
    change(listed, '"split": "train"', '"split": "val"')
    change(listed, '"split": "other"', '"split": "train"')
    with pytest.raises(ValueError, match="is missing or cannot be read"):
        LOAD[name](16, root=tmp_path)  # nor of as many other photos
    write_standard(tmp_path, name)
    for path in tmp_path.rglob("*.jpg"):
        path.write_bytes(b"")
    assert torch.equal(first["train"].images, LOAD[name](16, root=tmp_path)["train"].images)
    for path in files:
        path.unlink()
        path.write_bytes(b"damaged")
    with pytest.raises(ValueError, match="is missing or cannot be read"):
        LOAD[name](16, root=tmp_path)


@pytest.mark.parametrize("cut", [None, 0.0, 0.02, 0.5, 0.95])
def test_a_missing_or_truncated_photo_is_an_error_and_leaves_no_file(
    name, cut, tmp_path, cut_short
):
    write_standard(tmp_path, name)
    path = sorted(tmp_path.rglob("*.jpg"))[1]
    if cut is None:
        path.unlink()
    else:
        path.write_bytes(cut_short(cut))
    for _ in range(2):
        with pytest.raises(ValueError, match=rf"photo .*{path.name} is missing or cannot be read"):
            LOAD[name](16, root=tmp_path)
    assert not list((tmp_path / "read").glob("train*"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"raw": "A dog number 2 ."', '"raw": " . "', r"a caption without words: ' \. '"),
        ('"filename": "{1}"', '"filename": "{0}"', "{0}' is there twice"),
        ('"split": "val"', '"split": "dev2"', " is 'dev2'; allowed: 'train', 'dev'"),
        ('"split": "val"', '"split": "test"', "part 'val' has no photo"),
        ('"raw": "A dog number 2 ."', '"row": ""', "is not one of Karpathy's lists"),
        ('{"images"', '["images"', "is not one of Karpathy's lists"),
    ],
)
def test_bad_lists_are_errors_that_name_what_is_wrong(name, old, new, message, tmp_path):
    write_standard(tmp_path, name)
    files = [file for _, file, *_ in photos(name)]
    old, new, message = (
        text.replace("{0}", files[0]).replace("{1}", files[1]) for text in (old, new, message)
    )
    change(tmp_path / JSON[name], old, new)
    with pytest.raises(ValueError, match=message):
        LOAD[name](16, root=tmp_path)


def test_fewer_captions_than_five_are_an_error(tmp_path):
    write_standard(tmp_path, "flickr30k")
    listed = json.loads((tmp_path / JSON["flickr30k"]).read_text())
    listed["images"][2]["sentences"].pop()
    (tmp_path / JSON["flickr30k"]).write_text(json.dumps(listed))
    with pytest.raises(ValueError, match=r"photo 1002\.jpg is 4; allowed: \[5"):
        flickr30k(16, root=tmp_path)


def test_bad_rows_of_the_released_files_are_errors(name, tmp_path):
    write_released(tmp_path, name)
    train, val = (tmp_path / "released" / f"{part}.csv" for part in ("train", "val"))
    whole = train.read_text()

    def refused(match):
        with pytest.raises(ValueError, match=match):
            LOAD[name](16, root=tmp_path, split="released")
        train.write_text(whole)

    change(train, "A boat number 1 .", ".")
    refused("has a caption without words")
    train.write_text("".join(x for x in whole.splitlines(True) if "boat number 1" not in x))
    refused(r"captions of .* is 4; allowed: \[5")
    train.write_text(whole + "".join(whole.splitlines(True)[1:2]))
    refused("is there twice")  # it stands apart from the others of its photo
    train.write_text(whole + "".join(val.read_text().splitlines(True)[1:]))
    refused("is there twice")  # in two parts
    change(train, "images", "files")
    refused("expected caption and images among them")
    first = whole.splitlines(True)[1]
    train.write_text(whole.replace(first, " a boat\n" if name == "mscoco" else "1,2, a boat\n"))
    refused("names no photo")


def test_where_it_lies_and_how_to_get_it(name, tmp_path, monkeypatch):
    monkeypatch.setenv("MMLIB_DATA", str(tmp_path))
    how = {"flickr30k": r"with the form at https://shannon", "mscoco": r"train2014\.zip \(13 GB\)"}
    with pytest.raises(FileNotFoundError, match=rf"photo_sets {name}.*_datasets\.zip.*{how[name]}"):
        LOAD[name](16)
    with pytest.raises(FileNotFoundError, match="MEM's released code"):
        LOAD[name](16, split="released")
    with pytest.raises(ValueError, match="split is 'own'; allowed: 'standard', 'released'"):
        LOAD[name](16, split="own")
    write_standard(tmp_path / name, name)
    assert len(LOAD[name](16)["train"].images) == 3
    folder = tmp_path / name / ("val2014" if name == "mscoco" else FOLDER[name])
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(FileNotFoundError, match="has captions and no photos"):
        LOAD[name](16)


# --- What may be fetched --------------------------------------------------------------------------


@pytest.fixture
def published(server, tmp_path, monkeypatch):
    """The publishers' archives of both sets on the server: small ones of the exact format."""
    for name in JSON:
        write_standard(tmp_path / name, name)
    lists, coco = tmp_path / "caption_datasets.zip", tmp_path / "mscoco"
    with zipfile.ZipFile(lists, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, file in JSON.items():
            packed.write(tmp_path / name / file, file)
    for part in ("train2014", "val2014"):
        with zipfile.ZipFile(tmp_path / f"{part}.zip", "w") as packed:
            packed.mkdir(part)
            for path in sorted((coco / part).iterdir()):
                packed.write(path, f"{part}/{path.name}")
    archives = {}
    for name, published in photo_sets._ARCHIVES.items():
        archives[name] = []
        for archive in published:
            file = archive.url.rpartition("/")[2]
            content = (tmp_path / file).read_bytes()
            server.files[file] = content
            archives[name].append(
                archive._replace(
                    url=f"{server.url}/{file}",
                    size=len(content),
                    sha256=hashlib.sha256(content).hexdigest(),
                    files=1 if file == lists.name else len(list((coco / file[:-4]).iterdir())),
                )
            )
    monkeypatch.setattr(photo_sets, "_ARCHIVES", archives)
    monkeypatch.setenv("MMLIB_DATA", str(tmp_path / "data"))
    return tmp_path


def test_mscoco_is_fetched_whole_and_once(server, published):
    folder = fetch("mscoco")
    assert folder == published / "data" / "mscoco"
    fetched, own = mscoco(16), mscoco(16, root=published / "mscoco")
    for part, there in own.items():
        assert torch.equal(fetched[part].images, there.images)
        assert fetched[part].captions == there.captions
    for archive in folder.glob("*.zip"):
        archive.unlink()
    server.files.clear()
    assert fetch("mscoco") == folder


def test_of_flickr30k_the_list_is_fetched(published):
    folder = fetch("flickr30k")
    assert {path.name for path in folder.iterdir()} == {JSON["flickr30k"], "caption_datasets.zip"}
    with pytest.raises(FileNotFoundError, match="has captions and no photos"):
        flickr30k(16)
    (published / "flickr30k" / FOLDER["flickr30k"]).rename(folder / FOLDER["flickr30k"])
    assert len(flickr30k(16)["train"].images) == 3


def test_a_fetch_that_broke_off_goes_on(server, published):
    server.stop_after = 200
    for _ in range(2):
        with pytest.raises(DownloadError, match="carries on where it stopped"):
            fetch("mscoco")
    server.stop_after = None
    fetch("mscoco")
    assert server.asked[:3] == [None, "bytes=200-", "bytes=400-"]
    assert len(mscoco(16)["train"].images) == 3


def test_a_folder_that_was_cut_short_is_not_taken_for_the_set(published):
    folder = fetch("mscoco")
    next((folder / "train2014").iterdir()).unlink()
    with pytest.raises(ValueError, match=r"train2014 has \d files; expected \d\. Remove it first"):
        fetch("mscoco")


def test_only_what_may_be_fetched_is():
    with pytest.raises(ValueError, match="name is 'flickr8k'; allowed: 'flickr30k', 'mscoco'"):
        fetch("flickr8k")


def test_the_published_archives_hold_what_karpathy_splits():
    """Photos of Karpathy's parts: 113,287 for training, 5,000 each for validation and test."""
    archives = photo_sets._ARCHIVES["mscoco"]
    assert sum(archive.files for archive in archives[1:]) == 113_287 + 5_000 + 5_000
    assert [len(archive.sha256) for archive in archives] == [64] * 3
