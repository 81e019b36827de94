"""Emoji: a drawing, its Unicode name and keywords, in the layout of captioned photos.

Small, permissively licensed and much simpler than photos with sentences: good for a quick check of
an image-text method on drawings that nobody made for it, and no evidence on photos. It is not part
of this project. ``python -m mmlib.data.emoji DRAWINGS`` prepares it from

* ``DRAWINGS``: the folder ``png/128`` of googlefonts/noto-emoji (Apache-2.0 and OFL-1.1), as it was
  with Emoji 16, such as release v2.047;
* names and groups of unicode-emoji-json 0.8.0 and keywords of emojilib 4.0.3 (muan, both MIT),
  which it downloads;

what it writes to ``MMLIB_DATA/emoji_names`` is

* ``emoji.csv``: ``id`` (code points in hexadecimal, joined by ``_``, without the variation selector
  fe0f), ``split``, ``group``, ``emoji``, ``name``, ``keywords`` (separated by ``; ``);
* ``images.zip``: a JPEG ``<id>.jpg`` of 72 x 72 pixels on white for every row.

The rows and their split are those that the records were made with.
"""

from __future__ import annotations

import csv
import json
import random
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from mmlib.data._photo import decoded
from mmlib.data._prepared import comparison, write_photos
from mmlib.data._root import data_root, set_folder
from mmlib.data.captioned import Captioned, Row, read_archive
from mmlib.data.download import download

COLUMNS = ("id", "split", "group", "emoji", "name", "keywords")

RECORDED = {
    "emoji.csv": "f608d7a723d2a8cf760b333934b5cfaac501d8b6375e84bcd2b3cf2afcbd7147",
    "images.zip": "b8e9a92fa0c50a7cbd9c7507b81f2208df55063bb4eb68e3d48afb018ded3b69",
}

# A CDN of npm packages as they are; size and sha256 are those of the files in the packages.
_TEXTS = {
    "data-by-emoji.json": {
        "url": "https://cdn.jsdelivr.net/npm/unicode-emoji-json@0.8.0/data-by-emoji.json",
        "size": 385_566,
        "sha256": "482fd00f3c24687e428dcda89c619bdf7dda25e51cdf7a064c75862671c4ba31",
    },
    "emoji-en-US.json": {
        "url": "https://cdn.jsdelivr.net/npm/emojilib@4.0.3/dist/emoji-en-US.json",
        "size": 264_699,
        "sha256": "7974e9162e1505aa1b02d07a04e4eefa5c51864d6c32e477121c635201e2eca2",
    },
}
_HOW = (
    "Fetch the drawings, `git clone --depth 1 --branch v2.047 "
    "https://github.com/googlefonts/noto-emoji`, then run "
    "`python -m mmlib.data.emoji noto-emoji/png/128`"
)
_SIZE = 72  # of the drawings, in pixels
_PEOPLE = {"man", "woman", "person", "men", "women", "people", "boy", "girl"}
_SKIN = range(0x1F3FB, 0x1F400)
_ASIDE = 0.25, 41  # share of the emoji that is in no part of the set, and the seed that draws it
_VAL = 0.2, 42  # of the others


def load(size: int, *, root: Path | None = None) -> dict[str, Captioned]:
    """The parts ``train``, ``val`` and ``test``, drawings of ``size`` x ``size`` pixels.

    An emoji has one caption, its name and then its keywords: several would share the name, and so
    rank together, where guessing ranks them apart.

    Where the file has no ``test`` rows, its ``val`` rows, in order of id, are dealt to both: of
    five in turn three to ``test`` and two to ``val``. ``root`` is by default ``emoji_names`` in
    ``MMLIB_DATA``.

    Raises ``FileNotFoundError``, saying how to get it, where the set is absent; ``ValueError`` for
    other columns, and naming the emoji for one that is listed twice, has an unknown split, no words
    in its name, or no readable drawing.
    """
    folder = set_folder("emoji_names", ("emoji.csv", "images.zip"), _HOW, root)
    with (folder / "emoji.csv").open(newline="", encoding="utf-8") as file:
        table = csv.DictReader(file)
        if tuple(table.fieldnames or ()) != COLUMNS:
            raise ValueError(f"emoji.csv has columns {table.fieldnames}; expected {list(COLUMNS)}")
        found = sorted(table, key=lambda row: row["id"])
    if all(row["split"] != "test" for row in found):
        held_out = [row for row in found if row["split"] == "val"]
        for number, row in enumerate(held_out):
            row["split"] = "test" if number % 5 < 3 else "val"
    rows = [
        # What a line that is cut short lacks is None: no word of a caption.
        Row(row["id"], row["split"], (f"{row['name'] or ''} {row['keywords'] or ''}".strip(),))
        for row in found
    ]
    return read_archive(rows, folder / "images.zip", size, captions=1)


class _Emoji(NamedTuple):
    id: str
    group: str
    emoji: str
    name: str
    keywords: str


def prepare(drawings: Path, names: Path, keywords: Path, target: Path) -> None:
    """Write ``emoji.csv`` and ``images.zip`` to ``target`` from the publishers' files.

    All emoji but skin tones and flags. Names that differ in man, woman, person and the like alone
    are one family. Of the families of each group a quarter is drawn and left out, and of the others
    a fifth becomes ``val``; so no family is on both sides. A keyword that is the name itself, or
    has no letter, is none.

    Raises ``ValueError`` for an emoji without a drawing.
    """
    told = json.loads(Path(names).read_text(encoding="utf-8"))
    known = json.loads(Path(keywords).read_text(encoding="utf-8"))
    found = []
    for emoji, about in told.items():
        points = [ord(sign) for sign in emoji if ord(sign) != 0xFE0F]
        if about["group"] != "Flags" and not any(point in _SKIN for point in points):
            number, name = "_".join(f"{point:04x}" for point in points), about["name"]
            words = "; ".join(_words(name, known.get(emoji, ())))
            found.append(_Emoji(number, about["group"], emoji, name, words))
    aside = _drawn(found, *_ASIDE)
    kept = [row for row in found if row.id not in aside]
    val = _drawn(kept, *_VAL)
    kept.sort()
    target.mkdir(parents=True, exist_ok=True)
    photos = ((row.id, _drawing(Path(drawings), row)) for row in kept)
    write_photos(target / "images.zip", photos, quality=85)
    with (target / "emoji.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        table.writerows((row.id, "val" if row.id in val else "train", *row[1:]) for row in kept)


def _words(name: str, keywords: list[str]) -> Iterator[str]:
    for word in dict.fromkeys(word.replace("_", " ").strip() for word in keywords):
        if _letters(word) != _letters(name) and re.search("[a-z]", word, re.IGNORECASE):
            yield word


def _letters(text: str) -> list[str]:
    return re.findall("[a-z0-9]+", text.lower())


def _drawn(rows: list[_Emoji], share: float, seed: int) -> set[str]:
    """The ids of about ``share`` of the rows of each group, whole families."""
    generator = random.Random(seed)
    drawn = set()
    for group in sorted({row.group for row in rows}):
        families = defaultdict(list)
        for row in rows:
            if row.group == group:
                shared = [word for word in row.name.split() if word not in _PEOPLE]
                families[" ".join(shared) or row.name].append(row.id)
        order = sorted(families.values())  # by the id of the first in the publisher's order
        generator.shuffle(order)
        wanted, chosen = round(share * sum(map(len, order))), []
        while len(chosen) < wanted:
            chosen += order.pop(0)
        drawn.update(chosen)
    return drawn


def _drawing(folder: Path, row: _Emoji) -> Image.Image:
    """An emoji of 72 x 72 pixels on white."""
    file = folder / f"emoji_u{row.id}.png"
    drawing = decoded(file, f"{folder} has no readable drawing of {row.name}", "RGBA")
    page = Image.new("RGBA", drawing.size, "white")
    page.alpha_composite(drawing)
    return page.convert("RGB").resize((_SIZE, _SIZE), Image.Resampling.LANCZOS)


def main(drawings: Path) -> None:
    """Download the texts, prepare the set, and say whether it is the records'."""
    folder = data_root() / "emoji_names"
    texts = [download(path=folder / name, **file) for name, file in _TEXTS.items()]
    prepare(drawings, *texts, folder)
    print(comparison(folder, RECORDED))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("python -m mmlib.data.emoji FOLDER   the folder png/128 of noto-emoji")
    main(Path(sys.argv[1]))
