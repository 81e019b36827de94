"""Fashion products: a photo, a row of catalogue attributes, an article type.

Real, unbalanced and fine-grained, and so nearer to DVM-Car than the digits are. The set is
'Fashion Product Images (Small)' (P. Aggarwal, Kaggle 2019; shop photos and catalogue of Myntra,
about 44,000 articles of 60 x 80 pixels). It is not part of this project.
``python -m mmlib.data.products SOURCE`` prepares it from the publisher's folder, the one with
``styles.csv`` and ``images/``; what it writes to ``MMLIB_DATA/fashion_products`` is

* ``table.csv``: one row an article: ``id``, ``split`` (train or val), ``label``, ``articleType``,
  two coarser classes, the columns of :data:`CONTINUOUS` and :data:`CATEGORICAL`, and ``title``;
* ``classes.csv``: ``label``, ``articleType`` and how many articles are of it;
* ``images.zip``: a JPEG ``<id>.jpg`` for every row.

The articles and their split are those that the records were made with: 10,618 of 53 types, of a
copy of a third of the catalogue. Coarser classes follow from the article type, and titles mostly
name it, so neither is a column that is learned from.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from mmlib._checks import check_choice, check_distinct, check_range
from mmlib.data._photo import decoded, opened
from mmlib.data._prepared import comparison, write_photos
from mmlib.data._root import data_root, set_folder
from mmlib.data.image_table import ImageTable, split

CONTINUOUS = ("year", "title_chars")
CATEGORICAL = ("gender", "baseColour", "season", "usage", "brand_word")
RECORDED = {
    "table.csv": "17ab20811da6fcfdd967d2b5f8c2cf017bb282e1bcda919582700cda21e1fa58",
    "classes.csv": "c76805be6f021d51644c26d0cf0b0c97b6546c21c56b70efb71d2acc9caf6bb7",
    "images.zip": "98c3e4d985aa01703c725b684f40298a797180bdf8a9c1d9dce61464c2083c79",
}

_HOW = (
    "Fetch 'Fashion Product Images (Small)' from Kaggle "
    "(paramaggarwal/fashion-product-images-small), then run "
    "`python -m mmlib.data.products FOLDER` on the folder with its styles.csv"
)
_WIDTH, _HEIGHT = 60, 80  # of the publisher's photos
_ARTICLES = Path(__file__).with_name("products_articles.txt")  # ids of each part
_COLUMNS = (
    "id", "split", "label", "articleType", "subCategory", "masterCategory", "gender", "baseColour",
    "season", "year", "usage", "brand_word", "title_chars", "title",
)  # fmt: skip
_FEWEST_BRAND = 10  # articles of a brand, for it to have a code of its own


def load(size: int, *, root: Path | None = None, device: torch.device | str = "cpu") -> ImageTable:
    """All products at ``size`` x ``size`` pixels, padded with white to a square, resized bilinear.

    The set's ``val`` rows are the test part; of its ``train`` rows, in order of id, every fifth is
    for validation. ``root`` is the folder with the three files, by default ``fashion_products`` in
    ``MMLIB_DATA``. Empty attributes are a category of their own.

    Raises ``FileNotFoundError``, saying how to get it, where the set is absent; ``ValueError`` for
    a missing, unreadable or double article, an unknown split, a label without a class, a part
    without articles, and an archive that is damaged.
    """
    check_range("size", size, 8)
    folder, rows, rules = _rows(root)
    classes = pd.read_csv(folder / "classes.csv", keep_default_na=False).sort_values("label")
    _check(rows, classes)
    categories = {c: tuple(sorted(rows[c].astype(str).unique())) for c in CATEGORICAL}
    codes = [
        pd.Categorical(rows[c].astype(str), categories=names).codes
        for c, names in categories.items()
    ]
    table = np.column_stack([*(rows[c].astype(float) for c in CONTINUOUS), *codes])
    return split(
        _images(folder / "images.zip", rows["id"].tolist(), size),
        torch.tensor(table, dtype=torch.float32),
        torch.tensor(rows["label"].to_numpy(), dtype=torch.long),
        {name: torch.from_numpy(rule) for name, rule in rules.items()},
        columns=(*CONTINUOUS, *CATEGORICAL),
        categories=categories,
        classes=tuple(classes["articleType"]),
        device=device,
    )


def titles(*, root: Path | None = None) -> dict[str, tuple[str, ...]]:
    """The articles' titles in the order of :func:`load`: ``train``, ``validation`` and ``test``.

    Most titles name the article type. Raises ``FileNotFoundError`` where the set is absent.
    """
    _, rows, rules = _rows(root)
    return {name: tuple(rows["title"].astype(str)[rule]) for name, rule in rules.items()}


def _rows(root: Path | None) -> tuple[Path, pd.DataFrame, dict[str, np.ndarray]]:
    """The set's folder, its table by id, and which rows each part has."""
    files = ("table.csv", "classes.csv", "images.zip")
    folder = set_folder("fashion_products", files, _HOW, root)
    rows = pd.read_csv(folder / "table.csv", keep_default_na=False).sort_values("id")
    parts = rows["split"].to_numpy()
    fifth = np.zeros(len(rows), dtype=bool)
    fifth[np.flatnonzero(parts == "train")[4::5]] = True
    rules = {
        "train": (parts == "train") & ~fifth,
        "validation": fifth,
        "test": parts == "val",
    }
    return folder, rows, rules


def _check(rows: pd.DataFrame, classes: pd.DataFrame) -> None:
    check_distinct("ids of table.csv", rows["id"])
    for name in rows["split"].unique():
        check_choice("split in table.csv", name, ("train", "val"))
    if classes["label"].tolist() != list(range(len(classes))):
        raise ValueError(f"classes.csv has not the labels 0 to {len(classes) - 1}, each once")
    unknown = rows[~rows["label"].isin(classes["label"])]
    if len(unknown):
        raise ValueError(
            f"article {unknown['id'].iloc[0]} has the label {unknown['label'].iloc[0]}; "
            f"allowed: 0 to {len(classes) - 1}"
        )


def _images(path: Path, ids: list[int], size: int) -> Tensor:
    """uint8 (N, 3, size, size), in the order of ``ids``."""
    images = np.empty((len(ids), size, size, 3), dtype=np.uint8)
    with opened(path) as archive:
        for row, number in enumerate(ids):
            photo = decoded(
                lambda number=number: archive.read(f"{number}.jpg"),
                f"article {number} has no readable photo",
            )
            side = max(photo.size)
            square = Image.new("RGB", (side, side), "white")
            square.paste(photo, ((side - photo.width) // 2, (side - photo.height) // 2))
            images[row] = square.resize((size, size), Image.Resampling.BILINEAR)
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()


def prepare(source: Path, target: Path) -> None:
    """Write the three files to ``target`` from the publisher's ``styles.csv`` and ``images/``.

    Raises ``ValueError`` for an article that is not in the table, or without readable photo.
    """
    source, target = Path(source), Path(target)
    parts = _parts()
    rows = pd.read_csv(source / "styles.csv", keep_default_na=False, on_bad_lines="skip")
    rows = rows.drop_duplicates("id").set_index("id")
    if absent := sorted(parts.keys() - set(rows.index)):
        raise ValueError(f"{source / 'styles.csv'} has not article {absent[0]}")
    rows = rows.loc[sorted(parts)].reset_index()
    title = rows["productDisplayName"].astype(str)
    words = title.str.split().str[0].fillna("").str.lower()
    common = {word for word, count in Counter(words).items() if count >= _FEWEST_BRAND}
    counts = rows["articleType"].value_counts().sort_index()
    rows["split"] = rows["id"].map(parts)
    rows["label"] = rows["articleType"].map({name: k for k, name in enumerate(counts.index)})
    rows["year"] = pd.to_numeric(rows["year"], errors="coerce")
    rows["year"] = rows["year"].fillna(rows["year"].median()).astype(int)
    rows["brand_word"] = [word if word in common else "other" for word in words]
    rows["title_chars"] = title.str.len()
    rows["title"] = title

    target.mkdir(parents=True, exist_ok=True)
    photos = ((str(number), _photo(source / "images", number)) for number in rows["id"])
    write_photos(target / "images.zip", photos, quality=82)
    rows[list(_COLUMNS)].to_csv(target / "table.csv", index=False)
    classes = pd.DataFrame({"label": range(len(counts)), "articleType": counts.index})
    classes.assign(n_shared=counts.to_numpy()).to_csv(target / "classes.csv", index=False)


def _parts() -> dict[int, str]:
    """The part of each article that the set has."""
    parts, part = {}, ""
    for word in _ARTICLES.read_text(encoding="utf-8").split():
        if word.isdigit():
            parts[int(word)] = part
        else:
            part = word
    return parts


def _photo(folder: Path, number: int) -> Image.Image:
    photo = decoded(folder / f"{number}.jpg", f"article {number} has no readable photo")
    if photo.size != (_WIDTH, _HEIGHT):
        photo = photo.resize((_WIDTH, _HEIGHT), Image.Resampling.BILINEAR)
    return photo


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("python -m mmlib.data.products FOLDER   the folder with styles.csv and images/")
    prepare(Path(sys.argv[1]), data_root() / "fashion_products")
    print(comparison(data_root() / "fashion_products", RECORDED))
