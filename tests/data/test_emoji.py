"""Files in the exact layout, good ones and bad ones; and the set itself where it is there."""

import csv
import hashlib
import json
import random
import shutil
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from mmlib.data import emoji
from mmlib.data._prepared import digest
from mmlib.data._root import data_root

KINDS = {  # emoji -> group, name, keywords
    "\N{DOG FACE}": ("Animals & Nature", "Dog face", ["dog_face", "animal", "pet", "woof"]),
    "\N{CAT FACE}": (
        "Animals & Nature",
        "cat face",
        ["animal", "meow", "nature", "pet", "zoo", "x"],
    ),
    "\N{RED APPLE}": ("Food & Drink", "red apple", []),
    "\N{COPYRIGHT SIGN}\ufe0f": ("Symbols", "copyright", ["law"]),
    "\N{WAVING HAND SIGN}\U0001f3fb": ("People & Body", "waving hand: light skin tone", ["hi"]),
    "\N{CHEQUERED FLAG}": ("Flags", "chequered flag", ["race"]),
    "\N{GHOST}": ("Smileys & Emotion", "Ghost", ["ghost", "13", "Boo_hoo "]),
    **{
        f"\N{ADULT}\u200d{chr(0x1F33E + k)}": ("People & Body", f"person farming {k}", ["work"])
        for k in range(30)
    },
    **{
        f"\N{MAN}\u200d{chr(0x1F33E + k)}": ("People & Body", f"man farming {k}", ["work"])
        for k in range(30)
    },
}


def number_of(sign):
    return "_".join(f"{ord(s):04x}" for s in sign if s != "\ufe0f")


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """What the three publishers have: a folder of PNGs with a transparent ground, two files."""
    folder = tmp_path_factory.mktemp("published")
    (folder / "128").mkdir()
    for k, sign in enumerate(KINDS):
        pixels = np.zeros((128, 128, 4), dtype=np.uint8)
        pixels[32:96, 32:96] = (200, 3 * k, 0, 255)
        Image.fromarray(pixels).save(folder / "128" / f"emoji_u{number_of(sign)}.png")
    names = {s: {"name": name, "group": group} for s, (group, name, _) in KINDS.items()}
    (folder / "names.json").write_text(json.dumps(names), encoding="utf-8")
    words = {s: words for s, (*_, words) in KINDS.items() if words}
    (folder / "keywords.json").write_text(json.dumps(words), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def prepared(published, tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared") / "emoji_names"
    emoji.prepare(published / "128", published / "names.json", published / "keywords.json", folder)
    return folder


def rows_of(folder):
    with (folder / "emoji.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_preparation_keeps_what_it_says(prepared):
    rows = {row["name"]: row for row in rows_of(prepared)}
    assert {"chequered flag", "waving hand: light skin tone"}.isdisjoint(rows)
    assert rows["copyright"]["id"] == "00a9"  # four digits at least, without fe0f
    assert rows["Dog face"]["keywords"] == "animal; pet; woof"  # the name is no keyword
    assert rows["red apple"]["keywords"] == ""
    assert rows["Ghost"]["keywords"] == "Boo hoo"  # nor is what has no letter


def shuffled(families, seed):
    """The people's, after the dog's and the cat's: groups are drawn by name."""
    generator = random.Random(seed)
    generator.shuffle(["dog", "cat"])
    generator.shuffle(families)


def test_families_are_drawn_whole_a_quarter_left_out_and_a_fifth_of_the_rest_held_out(prepared):
    """A group of one or two loses none: half of one is rounded off."""
    rows = {row["name"]: row for row in rows_of(prepared)}
    seen = [
        tuple(rows[name]["split"] if name in rows else None for name in pair)
        for pair in ((f"man farming {k}", f"person farming {k}") for k in range(30))
    ]
    assert all(man == person for man, person in seen)
    order = list(range(30))  # the publisher names persons first, whose ids stand in this order
    shuffled(order, 41)
    aside, kept = order[:8], sorted(order[8:])  # 16 of 60: the first to reach 15
    shuffled(kept, 42)
    expected = dict.fromkeys(aside) | dict.fromkeys(kept, "train") | dict.fromkeys(kept[:5], "val")
    assert [pair[0] for pair in seen] == [expected[k] for k in range(30)]
    assert len(rows) == len(KINDS) - 2 - 16


def test_a_drawing_keeps_its_name_its_words_and_its_ground(prepared):
    parts = emoji.load(24, root=prepared)
    rows = {row["id"]: row for row in rows_of(prepared)}
    assert sum(len(part.names) for part in parts.values()) == len(rows)
    order = {number_of(sign): k for k, sign in enumerate(KINDS)}
    for part in parts.values():
        assert part.images.dtype == torch.uint8
        assert part.images.shape[1:] == (3, 24, 24)
        for image, captions, name in zip(part.images, part.captions, part.names, strict=True):
            row = rows[name]
            (caption,) = captions
            assert caption == (row["name"] + " " + row["keywords"]).strip()
            assert (image[:, :2] > 245).all()  # laid on white
            centre = torch.tensor([200, 3 * order[name], 0])
            assert (image[:, 12, 12].int() - centre).abs().max() < 25


def test_held_out_rows_are_dealt_to_test_and_val(prepared):
    parts = emoji.load(8, root=prepared)
    held = sorted(row["id"] for row in rows_of(prepared) if row["split"] == "val")
    assert list(parts["test"].names) == [n for k, n in enumerate(held) if k % 5 < 3]
    assert list(parts["val"].names) == [n for k, n in enumerate(held) if k % 5 >= 3]


def damaged(prepared, tmp_path, old, new):
    folder = tmp_path / "set"
    shutil.copytree(prepared, folder)
    text = (folder / "emoji.csv").read_text(encoding="utf-8")
    assert old in text
    (folder / "emoji.csv").write_text(text.replace(old, new, 1), encoding="utf-8")
    return folder


def test_a_test_part_of_the_file_s_own_is_kept(prepared, tmp_path):
    rows = rows_of(prepared)
    held = [row for row in rows if row["split"] == "val"]
    line = f"{held[0]['id']},val"
    parts = emoji.load(8, root=damaged(prepared, tmp_path, line, line.replace("val", "test")))
    assert parts["test"].names == (held[0]["id"],)
    assert len(parts["val"].names) == len(held) - 1


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("1f431,", "1f436,", "'1f436' is there twice"),
        ("1f431,train", "1f431,dev2", "part of photo 1f431 is 'dev2'; allowed:"),
        (",red apple,", ", ,", "has a caption without words: ''"),
        (",\N{RED APPLE},red apple,", "", "has a caption without words: ''"),  # a line cut short
        ("1f34e,", "1f34f,", "1f34f is missing or cannot be read"),
        ("keywords\n", "words\n", r"emoji.csv has columns \['id', .* 'words'\]; expected"),
    ],
)
def test_bad_rows_are_errors_that_name_what_is_wrong(prepared, tmp_path, old, new, message):
    with pytest.raises(ValueError, match=message):
        emoji.load(8, root=damaged(prepared, tmp_path, old, new))


@pytest.mark.parametrize("cut", [0.0, 0.02, 0.5])
def test_a_drawing_that_is_cut_off_is_an_error(prepared, tmp_path, cut, cut_short):
    shutil.copytree(prepared, tmp_path / "set")
    with (
        zipfile.ZipFile(prepared / "images.zip") as old,
        zipfile.ZipFile(tmp_path / "set" / "images.zip", "w") as new,
    ):
        for name in old.namelist():
            new.writestr(name, cut_short(cut) if name == "1f34e.jpg" else old.read(name))
    with pytest.raises(ValueError, match="1f34e is missing or cannot be read"):
        emoji.load(8, root=tmp_path / "set")


def test_absent_or_broken_files_say_so(prepared, published, tmp_path, monkeypatch):
    monkeypatch.setenv("MMLIB_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"has no emoji.csv, images.zip\. Fetch the d"):
        emoji.load(8)
    shutil.copytree(prepared, tmp_path / "emoji_names")
    assert set(emoji.load(8)) == {"train", "val", "test"}
    whole = (tmp_path / "emoji_names" / "images.zip").read_bytes()
    (tmp_path / "emoji_names" / "images.zip").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"images.zip cannot be read"):
        emoji.load(8)


@pytest.mark.parametrize("cut", [None, 0.0, 0.5])
def test_a_drawing_that_is_missing_or_cut_off_stops_the_preparation(published, tmp_path, cut):
    shutil.copytree(published, tmp_path / "published")
    path = tmp_path / "published" / "128" / "emoji_u1f34e.png"
    whole = path.read_bytes()
    path.unlink() if cut is None else path.write_bytes(whole[: int(cut * len(whole))])
    with pytest.raises(ValueError, match="128 has no readable drawing of red apple"):
        emoji.prepare(
            path.parent, published / "names.json", published / "keywords.json", tmp_path / "set"
        )
    with pytest.raises(FileNotFoundError, match=r"has no emoji\.csv, images\.zip"):
        emoji.load(8, root=tmp_path / "set")


def test_texts_are_downloaded_and_the_set_is_compared(
    server, published, prepared, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("MMLIB_DATA", str(tmp_path))
    texts = {}
    for name, own in zip(emoji._TEXTS, ("names.json", "keywords.json"), strict=True):
        server.files[name] = content = (published / own).read_bytes()
        known = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        texts[name] = {"url": f"{server.url}/{name}", **known}
    monkeypatch.setattr(emoji, "_TEXTS", texts)
    emoji.main(published / "128")
    made = tmp_path / "emoji_names"
    for name in ("emoji.csv", "images.zip"):
        assert (made / name).read_bytes() == (prepared / name).read_bytes()
    assert capsys.readouterr().out.count("not the very one of records") == 2


def test_the_set_where_it_is():
    folder = data_root() / "emoji_names"
    if not folder.is_dir():
        pytest.skip("no emoji_names in MMLIB_DATA")
    parts = emoji.load(16)
    assert {name: len(part.images) for name, part in parts.items()} == {
        "train": 977, "val": 99, "test": 150,
    }  # fmt: skip
    leg = parts["train"].captions[parts["train"].names.index("1f357")]
    assert leg == ("poultry leg food; meat; drumstick; bird; chicken; turkey; bone",)
    assert {name: digest(folder / name) for name in emoji.RECORDED} == emoji.RECORDED
