"""DVM-Car: photos of cars for sale and rows of their advertisements, 286 models.

The label-DP paper's data (Huang et al. 2022; Figshare 10.6084/m9.figshare.19586296, CC BY-NC 4.0,
some 14 GB). It is not part of this project, and nothing here fetches it. What is read, from
``MMLIB_DATA/dvm``, are the publisher's files as they are:

* ``tables_V2.0/``: ``Ad_table.csv``, ``Ad_table (extra).csv``, ``Price_table.csv`` and
  ``Image_table.csv``; headers carry stray blanks;
* ``resized_DVM/Maker/Model/Year/Colour/``: photos of 300 x 300 pixels, named
  ``Maker$$Model$$Year$$Colour$$Genmodel_ID$$ad$$image_N.jpg``.

Rows are selected as by the code that the paper builds on ("Best of both worlds", CVPR 2023): ads
that have a price of their model's year and a photo, the first one, any viewpoint; nothing missing;
models of 100 ads at least. That leaves 176,414 ads. Every identifier, file name and folder holds
the label, so none of them goes further than this file. ``python -m mmlib.data.dvm [FOLDER]`` counts
what each step leaves and reads every photo.
"""

from __future__ import annotations

import logging
import random
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from mmlib._checks import check_choice, check_distinct, check_range
from mmlib.data._photo import decoded
from mmlib.data._root import set_folder
from mmlib.data.image_table import ImageTable, split

DIMENSIONS = ("Wheelbase", "Height", "Width", "Length")
CONTINUOUS = (
    *DIMENSIONS, "Adv_year", "Adv_month", "Reg_year", "Runned_Miles", "Price", "Seat_num",
    "Door_num", "Entry_price", "Engine_size",
)  # fmt: skip
CATEGORICAL = ("Color", "Bodytype", "Gearbox", "Fuel_type")
SPLITS = {"released": 0.2, "text": 0.1}  # share of the half that is not for the test: validation
PUBLISHED = {"ads": 268_255, "with a price": 224_724, "of large models": 176_414}  # rows left
CLASSES = 286

_TABLES = {
    "Ad_table.csv": (
        "Maker", "Genmodel", "Genmodel_ID", "Adv_ID", "Adv_year", "Adv_month", "Color", "Reg_year",
        "Bodytype", "Runned_Miles", "Engin_size", "Gearbox", "Fuel_type", "Price", "Seat_num",
        "Door_num",
    ),
    "Ad_table (extra).csv": ("Genmodel_ID", "Adv_ID", *DIMENSIONS),
    "Price_table.csv": ("Genmodel_ID", "Year", "Entry_price"),
    "Image_table.csv": ("Image_ID", "Image_name", "Predicted_viewpoint"),
}  # fmt: skip
_HOW = (
    "Fetch DVM-Car's tables and resized images from https://deepvisualmarketing.github.io "
    "(non-commercial licence) and put tables_V2.0 and resized_DVM there"
)
_FEWEST = 100  # ads of a model, for it to be a class
_SIDE = 300  # pixels of a photo
_SEED = 2022  # of split and jitter
_JITTER = 50  # millimetres, both ways
_ALL_OF_MODEL = {("69_36", "Wheelbase"): 2612.0, ("29_20", "Wheelbase"): 2788.0}
_MISPRINTS = (  # model, column, printed, meant
    ("29_30", "Height", 805.0, 1805.0),
    ("59_29", "Wheelbase", 5246.0, 3106.0),
    ("43_9", "Wheelbase", 4065.0, 2580.0),
)
_log = logging.getLogger(__name__)


def load(
    size: int,
    *,
    parts: str = "released",
    root: Path | None = None,
    device: torch.device | str = "cpu",
) -> ImageTable:
    """All selected ads at ``size`` x ``size`` pixels, resized bilinear, with 17 columns.

    Args:
        size: side in pixels, at least 8. At 128, as large as the reference's views, photos are
            8.7 GB, and loading holds them twice. The reference cuts its views from whole photos, of
            300 pixels and 48 GB: a crop of what is stored smaller shows less detail.
        parts: "released" splits 40 / 10 / 50 %, as the reference's code and its published lists;
            "text" 45 / 5 / 50 %, as the label-DP paper's text reads. Both by the reference's rule
            and seed; its second draw is stratified by labels in another order than the ads', so
            only the test half is stratified.
        root: the folder with the two subfolders, by default ``dvm`` in ``MMLIB_DATA``.
        device: where the parts lie.

    Continuous columns are standardised by the training rows, where the reference takes all rows,
    and for dimensions each part's own. Dimensions carry its jitter of up to 50 mm.

    Raises ``FileNotFoundError``, saying how to get it, where a table is absent; ``ValueError`` for
    a missing column, an ad that comes twice, an engine size that is none, dimensions that no ad of
    the model has, and a photo that is absent, truncated or of another size.
    """
    check_range("size", size, 8)
    check_choice("parts", parts, SPLITS)
    folder, rows, categories, _ = _selected(root)
    codes = {c: pd.Categorical(rows[c], categories=names).codes for c, names in categories.items()}
    table = np.column_stack([*(rows[c].astype(float) for c in CONTINUOUS), *codes.values()])
    labels, models = pd.factorize(rows["Genmodel_ID"])  # running numbers
    return split(
        _photos(folder / "resized_DVM", rows, size),
        torch.tensor(table, dtype=torch.float32),
        torch.tensor(labels, dtype=torch.long),
        _rules(labels, SPLITS[parts]),
        columns=(*CONTINUOUS, *CATEGORICAL),
        categories=categories,
        classes=tuple(models),
        device=device,
    )


def _selected(
    root: Path | None,
) -> tuple[Path, pd.DataFrame, dict[str, tuple[str, ...]], dict[str, int]]:
    """The set's folder, its rows, the names behind the codes, and how many rows each step left."""
    folder = set_folder("dvm", [f"tables_V2.0/{name}" for name in _TABLES], _HOW, root)
    ads, extra, prices, photos = (_read(folder / "tables_V2.0" / name) for name in _TABLES)
    kept = {"ads": len(ads)}
    rows = ads.merge(
        prices.rename(columns={"Year": "Reg_year"}), on=["Genmodel_ID", "Reg_year"], how="inner"
    )
    kept["with a price"] = len(rows)
    photos["Adv_ID"] = photos.pop("Image_ID").str.split("$$", regex=False).str[:2].str.join("$$")
    rows = rows.merge(photos.drop_duplicates("Adv_ID"), on="Adv_ID", how="inner")
    check_distinct("ads of Ad_table.csv with prices", rows["Adv_ID"])
    kept["with a photo"] = len(rows)

    rows = rows.dropna()
    size = rows["Engin_size"].astype(str)
    litres = pd.to_numeric(size.str[:-1], errors="coerce")
    wrong = litres.isna() | ~size.str.endswith("L")
    if wrong.any():
        ad = rows.loc[wrong, "Adv_ID"].iloc[0]
        raise ValueError(f"ad {ad} has the engine size {size[wrong].iloc[0]!r}; expected as '1.6L'")
    rows = rows.assign(Engine_size=litres)
    names = {c: sorted(rows[c].astype(str).unique()) for c in CATEGORICAL}  # before rows go
    for column in ("Runned_Miles", "Price"):
        rows[column] = pd.to_numeric(rows[column], errors="coerce")
    rows = rows.dropna()
    kept["nothing missing"] = len(rows)
    rows = rows[rows.groupby("Genmodel_ID")["Adv_ID"].transform("size") >= _FEWEST]
    kept["of large models"] = len(rows)
    if rows.empty:
        raise ValueError(f"{folder} has no model of {_FEWEST} ads; left by step: {kept}")

    rows = rows.merge(_dimensions(extra), on="Adv_ID", how="left").reset_index(drop=True)
    check_distinct("ads of Ad_table (extra).csv", rows["Adv_ID"])
    lacking = rows[list(DIMENSIONS)].isna().any(axis=1)
    if lacking.any():
        ad = rows.loc[lacking, "Adv_ID"].iloc[0]
        raise ValueError(f"ad {ad} lacks dimensions, and so do all ads of its model")
    categories = {}
    for column in CATEGORICAL:
        rows[column] = rows[column].astype(str)
        last = max(map(names[column].index, rows[column].unique()))
        categories[column] = tuple(names[column][: last + 1])
    _log.info("rows left by step: %s", kept)
    return folder, rows, categories, kept


def _read(path: Path) -> pd.DataFrame:
    """The columns of a table that are used."""
    table = pd.read_csv(path, skipinitialspace=True, low_memory=False)
    table.columns = table.columns.str.strip()
    for column in _TABLES[path.name]:
        if column not in table:
            raise ValueError(f"{path.name} has no column {column!r}; it has {list(table.columns)}")
    return table[list(_TABLES[path.name])]


def _dimensions(extra: pd.DataFrame) -> pd.DataFrame:
    """Corrected dimensions in mm by ad; a missing or zero one is the model's first; jittered."""
    model, found = extra["Genmodel_ID"], extra[["Adv_ID"]].copy()
    draws = random.Random(_SEED)
    for column in ("Wheelbase", "Length", "Width", "Height"):  # the order of the jitter's draws
        values = pd.to_numeric(extra[column], errors="coerce")
        for of, where, printed, meant in _MISPRINTS:
            if where == column:
                values = values.mask((model == of) & (values == printed), meant)
        for (of, where), value in _ALL_OF_MODEL.items():
            if where == column:
                values = values.mask(model == of, value)
        values = values.where(values > 0)
        values = values.fillna(values.groupby(model).transform("first"))
        found[column] = values + [draws.randint(-_JITTER, _JITTER) for _ in range(len(values))]
    return found


def _rules(labels: np.ndarray, share: float) -> dict[str, Tensor]:
    """The reference's two draws: half for the test, ``share`` of the rest for validation."""
    from sklearn.model_selection import train_test_split

    every = np.arange(len(labels))
    rest, test = train_test_split(every, test_size=0.5, random_state=_SEED, stratify=labels)
    train, validation = train_test_split(
        rest, test_size=share, random_state=_SEED, stratify=labels[np.sort(rest)]
    )
    return {
        name: torch.from_numpy(np.isin(every, chosen))
        for name, chosen in (("train", train), ("validation", validation), ("test", test))
    }


def _photos(folder: Path, rows: pd.DataFrame, size: int) -> Tensor:
    """uint8 (N, 3, size, size), in the order of ``rows``."""
    images = np.empty((len(rows), 3, size, size), dtype=np.uint8)
    ads, names = rows["Adv_ID"].tolist(), rows["Image_name"].tolist()

    def read(row: int) -> None:
        path = folder.joinpath(*names[row].split("$$")[:4], names[row])
        photo = decoded(path, f"ad {ads[row]} has no readable photo")
        if photo.size != (_SIDE, _SIDE):
            raise ValueError(f"{path} is {photo.size}; expected {(_SIDE, _SIDE)}")
        resized = photo.resize((size, size), Image.Resampling.BILINEAR)
        images[row] = np.asarray(resized).transpose(2, 0, 1)

    with ThreadPoolExecutor() as pool:  # decoding leaves Python's lock
        for _ in pool.map(read, range(len(rows))):
            pass
    return torch.from_numpy(images)


def main() -> None:
    root = Path(sys.argv[1]) if sys.argv[1:] else None
    folder, rows, _, kept = _selected(root)
    for step, count in kept.items():
        published = f" (published: {PUBLISHED[step]:,})" if step in PUBLISHED else ""
        print(f"{step}: {count:,}{published}")
    print(f"models: {rows['Genmodel_ID'].nunique()} (published: {CLASSES})")
    _photos(folder / "resized_DVM", rows, 8)
    print(f"photos: {len(rows):,}, all readable")


if __name__ == "__main__":
    main()
