"""Archives that are written, and compared with those of the records."""

import zipfile

import numpy as np
import pytest
from PIL import Image

from mmlib.data._prepared import comparison, digest, write_photos


def photos(n, fail=False):
    for k in range(n):
        pixels = np.random.default_rng(k).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        yield str(k), Image.fromarray(pixels)
    if fail:
        raise ValueError("no more")


def test_the_same_photos_give_the_same_bytes(tmp_path):
    for name in ("a.zip", "b.zip"):
        write_photos(tmp_path / name, photos(3), quality=80)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.namelist() == ["0.jpg", "1.jpg", "2.jpg"]
        # The same day whenever it is written.
        assert {member.date_time for member in archive.infolist()} == {(2024, 1, 1, 0, 0, 0)}
        with archive.open("0.jpg") as file, Image.open(file) as image:
            assert (image.format, image.size) == ("JPEG", (16, 16))


def test_what_fails_leaves_the_archive_as_it_was(tmp_path):
    path = tmp_path / "images.zip"
    write_photos(path, photos(2))
    before = path.read_bytes()
    with pytest.raises(ValueError, match="no more"):
        write_photos(path, photos(1, fail=True))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_digest_is_of_what_an_archive_holds(tmp_path):
    write_photos(tmp_path / "images.zip", photos(3))
    told = digest(tmp_path / "images.zip")
    with zipfile.ZipFile(tmp_path / "images.zip") as archive:
        files = {name: archive.read(name) for name in archive.namelist()}

    def packed(files, how):
        with zipfile.ZipFile(tmp_path / "other.zip", "w", how) as other:
            for name, data in files.items():
                other.writestr(name, data)
        return digest(tmp_path / "other.zip")

    assert packed(dict(reversed(files.items())), zipfile.ZIP_DEFLATED) == told
    assert packed({**files, "2.jpg": files["2.jpg"] + b"x"}, zipfile.ZIP_STORED) != told
    moved = {"0.jpg": files["1.jpg"], "1.jpg": files["0.jpg"], "2.jpg": files["2.jpg"]}
    assert packed(moved, zipfile.ZIP_STORED) != told
    renamed = {"0.jpg": files["0.jpg"], "1.jpg": files["1.jpg"], "3.jpg": files["2.jpg"]}
    assert packed(renamed, zipfile.ZIP_STORED) != told


def test_a_comparison_names_each_file(tmp_path):
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("id\n")
    lines = comparison(tmp_path, {"a.csv": digest(tmp_path / "a.csv"), "b.csv": "0" * 64})
    assert lines.splitlines() == [
        f"{tmp_path / 'a.csv'}: the records' own",
        f"{tmp_path / 'b.csv'}: not the very one of records",
    ]
