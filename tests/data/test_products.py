"""Files made in the exact format, good and bad, and the set itself where it is there."""

import io
import shutil
import zipfile

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from mmlib.data import products
from mmlib.data._prepared import digest
from mmlib.data._root import data_root

COLOURS = {"Belts": (250, 0, 0), "Caps": (0, 0, 250)}
YEARS = (2010, 2012, 2012)
THE_RECORDS = products._ARTICLES


def photo(number, colour):
    """A photo of one colour with a mark that differs from article to article."""
    pixels = np.full((80, 60, 3), 255, dtype=np.uint8)
    pixels[10:70, 5:55] = colour
    generator = np.random.default_rng(number)
    pixels[20:52, 14:46] = np.kron(generator.integers(0, 256, (4, 4, 1)), np.ones((8, 8, 3)))
    return Image.fromarray(pixels)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """The publisher's folder: 50 belts, 45 caps, and 3 that the records do not have."""
    folder = tmp_path_factory.mktemp("published")
    (folder / "images").mkdir()
    rows = []
    for k, name in enumerate(["Belts"] * 50 + ["Caps"] * 45 + ["Socks"] * 3):
        number = 2000 - k  # not in order
        brand = "Acme" if k % 2 else "Ten" if k < 20 else "Nine" if k < 38 else f"Rare{k}"
        rows.append(
            {
                "id": number, "gender": ("Men", "Women")[k % 2], "masterCategory": "All",
                "subCategory": name, "articleType": name, "baseColour": "" if k == 3 else "Red",
                "season": "Fall", "year": "" if k == 6 else YEARS[k % 3], "usage": "Casual",
                "productDisplayName": f"{brand} thing {k}",
            }
        )  # fmt: skip
        image = photo(number, COLOURS.get(name, (0, 250, 0)))
        image = image.resize((120, 160)) if k == 4 else image
        image.save(folder / "images" / f"{number}.jpg", quality=95)
    pd.DataFrame(rows).to_csv(folder / "styles.csv", index=False)
    with (folder / "styles.csv").open("a") as file:  # as in the publisher's: a comma in a title
        file.write("1,Men,All,Socks,Socks,Red,Fall,2010,Casual,Acme socks, a pair\n")
    return folder


@pytest.fixture(scope="module", autouse=True)
def articles(tmp_path_factory):
    """Every fifth of the belts and caps is in ``val``."""
    path = tmp_path_factory.mktemp("articles") / "articles.txt"
    parts = {
        name: [2000 - k for k in range(95) if (k % 5 == 0) == (name == "val")]
        for name in ("train", "val")
    }
    lines = [word for part, ids in parts.items() for word in (part, " ".join(map(str, ids)))]
    path.write_text("\n".join(lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(products, "_ARTICLES", path)
        yield


@pytest.fixture(scope="module")
def prepared(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    products.prepare(source, folder)
    return folder


def test_preparation_keeps_what_it_says(prepared):
    rows = pd.read_csv(prepared / "table.csv", keep_default_na=False)
    assert rows["id"].tolist() == sorted(2000 - k for k in range(95))
    assert (rows["articleType"] == np.where(rows["id"] > 1950, "Belts", "Caps")).all()
    assert ((rows["split"] == "val") == (rows["id"] % 5 == 0)).all()
    assert set(rows["brand_word"]) == {"acme", "ten", "other"}
    assert (rows["title_chars"] == rows["title"].str.len()).all()
    years = rows.set_index("id")["year"]
    assert years[1994] == years.drop(1994).median() == 2012  # it had none; the mean is 2011
    classes = pd.read_csv(prepared / "classes.csv")
    assert classes.values.tolist() == [[0, "Belts", 50], [1, "Caps", 45]]


def test_every_fifth_of_the_training_rows_by_id_is_for_validation(prepared, tmp_path):
    shutil.copytree(prepared, tmp_path / "set")
    rows = pd.read_csv(tmp_path / "set" / "table.csv", keep_default_na=False)
    rows.sample(frac=1, random_state=0).to_csv(tmp_path / "set" / "table.csv", index=False)
    train = rows[rows["split"] == "train"].sort_values("id")["title"].tolist()
    found = products.titles(root=tmp_path / "set")
    assert list(found["validation"]) == train[4::5]
    assert list(found["train"]) == [title for title in train if title not in train[4::5]]


def test_an_article_keeps_its_photo_its_row_and_its_class(prepared):
    data = products.load(20, root=prepared)
    rows = pd.read_csv(prepared / "table.csv", keep_default_na=False).sort_values("id")
    assert data.columns == (*products.CONTINUOUS, *products.CATEGORICAL)
    assert not {"masterCategory", "subCategory"} & set(data.columns)  # they tell the class
    assert data.classes == ("Belts", "Caps")
    assert [len(data.train) + len(data.validation), len(data.test)] == [
        (rows["split"] == name).sum() for name in ("train", "val")
    ]
    assert abs(len(data.validation) - len(data.train) / 4) < 2
    part, mine = data.test, rows[rows["split"] == "val"]
    assert part.labels.tolist() == mine["label"].tolist()
    years = part.table[:, 0] * data.sd[0] + data.mean[0]
    assert years.round().long().tolist() == mine["year"].tolist()
    gender = [data.categories["gender"][int(code)] for code in part.table[:, 2]]
    assert gender == mine["gender"].tolist()
    assert part.images.shape[1:] == (3, 20, 20)
    sides = part.images[..., [0, 1, 2, 17, 18, 19]]
    assert sides.min() > 230  # 60 x 80 is padded with white left and right, as much
    body = part.images[:, :, 4, 5].float()  # beside the mark: the colour of the class
    expected = torch.tensor([COLOURS[data.classes[k]] for k in part.labels.tolist()]).float()
    assert (body - expected).abs().max() < 40
    assert data.schema.one_hot(data.train.table).shape == (len(data.train), data.schema.n_features)
    assert "" in data.categories["baseColour"]  # unknown is a category


def test_titles_stand_in_the_order_of_the_parts(prepared):
    data, titles = products.load(16, root=prepared), products.titles(root=prepared)
    places = 1  # the column of the length of a title
    for name in ("train", "validation", "test"):
        table = getattr(data, name).table[:, places] * data.sd[places] + data.mean[places]
        assert table.round().long().tolist() == [len(title) for title in titles[name]]
    with pytest.raises(FileNotFoundError, match=r"mmlib\.data\.products FOLDER"):
        products.titles(root=prepared / "nowhere")


def damaged(prepared, tmp_path, change):
    folder = tmp_path / "set"
    shutil.copytree(prepared, folder)
    rows = pd.read_csv(folder / "table.csv", keep_default_na=False)
    change(rows, folder).to_csv(folder / "table.csv", index=False)
    return folder


def again(prepared, folder, replaced):
    """images.zip with the one photo left out (None) or cut off."""
    with (
        zipfile.ZipFile(prepared / "images.zip") as old,
        zipfile.ZipFile(folder / "images.zip", "w") as new,
    ):
        for name in old.namelist():
            data = old.read(name)
            if name == "1999.jpg":
                if replaced is None:
                    continue
                data = data[: len(data) // 2]
            new.writestr(name, data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows, _: pd.concat([rows, rows.tail(1)]), "twice"),
        (lambda rows, _: rows.assign(split="dev"), "split in table.csv is 'dev'"),
        (lambda rows, _: rows.assign(label=rows["label"] + 1), "has the label 2; allowed: 0 to 1"),
        (lambda rows, _: rows.assign(split="train"), "rows of part 'test' is 0"),
    ],
)
def test_a_bad_table_is_an_error(prepared, tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        products.load(16, root=damaged(prepared, tmp_path, change))


@pytest.mark.parametrize("replaced", [None, "cut"])
def test_a_bad_photo_is_an_error(prepared, tmp_path, replaced):
    folder = damaged(prepared, tmp_path, lambda rows, _: rows)
    again(prepared, folder, replaced)
    with pytest.raises(ValueError, match="article 1999 has no readable photo"):
        products.load(16, root=folder)


def test_a_damaged_archive_is_an_error_that_names_it(prepared, tmp_path):
    folder = damaged(prepared, tmp_path, lambda rows, _: rows)
    whole = (prepared / "images.zip").read_bytes()
    changed = bytearray(whole)
    changed[whole.index(b"\xff\xd8") + 100] ^= 1
    for data, message in ((whole[: len(whole) // 2], "not a zip file"), (changed, "Bad CRC-32")):
        (folder / "images.zip").write_bytes(data)
        with pytest.raises(ValueError, match=rf"images\.zip cannot be read .*{message}"):
            products.load(16, root=folder)


def test_an_absent_set_says_how_to_get_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"classes.csv.*mmlib.data.products FOLDER"):
        products.load(16, root=tmp_path)


def test_the_set_itself():
    if not (data_root() / "fashion_products").is_dir():
        pytest.skip("the fashion products are not on this machine (MMLIB_DATA)")
    data = products.load(16)
    labels = torch.cat([data.train.labels, data.validation.labels, data.test.labels])
    assert labels.bincount().min() >= 10
    assert len(data.classes) == labels.max() + 1
    # An article's photo says more of its class than chance, so rows and photos belong together.
    flat = [part.images.flatten(1).float() for part in (data.train, data.test)]
    nearest = torch.cdist(flat[1][:300], flat[0]).argmin(dim=1)
    right = (data.train.labels[nearest] == data.test.labels[:300]).float().mean()
    assert right > 0.5
    folder = data_root() / "fashion_products"
    assert {name: digest(folder / name) for name in products.RECORDED} == products.RECORDED


def test_the_articles_of_the_records(monkeypatch):
    monkeypatch.setattr(products, "_ARTICLES", THE_RECORDS)
    parts = list(products._parts().values())
    assert (parts.count("train"), parts.count("val")) == (8495, 2123)


@pytest.mark.parametrize("damage", ["no row", "no photo", "cut"])
def test_an_article_that_is_missing_stops_the_preparation(source, tmp_path, damage):
    shutil.copytree(source, tmp_path / "published")
    path = tmp_path / "published" / "images" / "1960.jpg"
    message = "article 1960 has no readable photo"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:900])
    elif damage == "no photo":
        path.unlink()
    else:
        message = r"styles\.csv has not article 1960"
        table = tmp_path / "published" / "styles.csv"
        lines = table.read_text().splitlines(keepends=True)
        table.write_text("".join(line for line in lines if not line.startswith("1960,")))
    with pytest.raises(ValueError, match=message):
        products.prepare(tmp_path / "published", tmp_path / "set")


def test_bytes_of_the_zip_are_jpegs(prepared):
    with zipfile.ZipFile(prepared / "images.zip") as archive:
        assert archive.namelist() == [f"{k}.jpg" for k in range(1906, 2001)]
        for name in archive.namelist():
            with Image.open(io.BytesIO(archive.read(name))) as image:
                assert (image.format, image.size) == ("JPEG", (60, 80))
