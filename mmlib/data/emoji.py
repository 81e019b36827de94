"""Emoji: a drawing, its Unicode name and keywords, in the layout of captioned photos.

Small, permissively licensed and much simpler than photos with sentences: good for a quick check of
an image-text method on drawings that nobody made for it, and no evidence on photos. It is not part
of this project. ``python -m mmlib.data.emoji DRAWINGS NAMES KEYWORDS`` prepares it from

* ``DRAWINGS``: the folder ``png/128`` of googlefonts/noto-emoji (Apache-2.0 and OFL-1.1);
* ``NAMES``: ``data-by-emoji.json`` of muan/unicode-emoji-json (MIT);
* ``KEYWORDS``: ``dist/emoji-en-US.json`` of muan/emojilib (MIT);

what it writes to ``MMLIB_DATA/emoji_names`` is

* ``emoji.csv``: ``id`` (code points in hexadecimal, joined by ``_``, without the variation selector
  fe0f), ``split``, ``group``, ``emoji``, ``name``, ``keywords`` (separated by ``; ``);
* ``images.zip``: a JPEG ``<id>.jpg`` of 72 x 72 pixels on white for every row.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import sys
import zipfile
from pathlib import Path

from PIL import Image

from mmlib._checks import check_range
from mmlib.data._root import data_root, set_folder
from mmlib.data.captioned import Captioned, Row, read_archive

COLUMNS = ("id", "split", "group", "emoji", "name", "keywords")

_HOW = (
    "Fetch googlefonts/noto-emoji, muan/unicode-emoji-json and muan/emojilib from GitHub, then run "
    "`python -m mmlib.data.emoji DRAWINGS NAMES KEYWORDS`, which says what they are"
)
_SIZE = 72  # of the drawings, in pixels
_PEOPLE = re.compile(r"\b(?:man|men|woman|women|person|people|boy|girl|male|female)\b")
_SKIN = range(0x1F3FB, 0x1F400)


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
    check_range("size", size, 8)
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


def prepare(drawings: Path, names: Path, keywords: Path, target: Path) -> None:
    """Write ``emoji.csv`` and ``images.zip`` to ``target`` from the publishers' files.

    Kept are emoji with a drawing, without skin tones and flags. Names that differ in man, woman,
    person and the like alone are one family, and a quarter of the families, by a hash of what they
    share, become ``val``: no family is on both sides, and no draw is involved.
    """
    told = json.loads(Path(names).read_text(encoding="utf-8"))
    known = json.loads(Path(keywords).read_text(encoding="utf-8"))
    rows = []
    for emoji, about in told.items():
        points = [ord(sign) for sign in emoji if ord(sign) != 0xFE0F]
        number = "_".join(f"{point:04x}" for point in points)
        drawn = (Path(drawings) / f"emoji_u{number}.png").is_file()
        if about["group"] == "Flags" or any(point in _SKIN for point in points) or not drawn:
            continue
        name = about["name"].lower()
        words = (word.replace("_", " ") for word in known.get(emoji, ()))
        words = dict.fromkeys(word for word in words if word != name)
        split = "val" if _quarter(_PEOPLE.sub("", name)) else "train"
        rows.append((number, split, about["group"], emoji, name, "; ".join(words)))
    if not rows:
        raise ValueError(f"{drawings} has no drawing emoji_u<code points>.png of these names")
    target.mkdir(parents=True, exist_ok=True)
    with (target / "emoji.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        table.writerows(sorted(rows))
    with zipfile.ZipFile(target / "images.zip", "w") as archive:
        for number, *_ in sorted(rows):
            with Image.open(Path(drawings) / f"emoji_u{number}.png") as image:
                drawing = image.convert("RGBA")
            page = Image.new("RGBA", drawing.size, "white")
            page.alpha_composite(drawing)
            page = page.convert("RGB").resize((_SIZE, _SIZE), Image.Resampling.LANCZOS)
            data = io.BytesIO()
            page.save(data, "JPEG", quality=85)
            archive.writestr(f"{number}.jpg", data.getvalue())


def _quarter(family: str) -> bool:
    words = " ".join(family.split())
    return hashlib.sha256(words.encode()).digest()[0] % 4 == 0


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    prepare(*map(Path, sys.argv[1:]), data_root() / "emoji_names")
