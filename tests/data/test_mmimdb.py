"""Small sets in the publisher's exact layout, good and bad."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from mmlib import sets
from mmlib.data import mmimdb
from mmlib.data.mmimdb import GENRES
from mmlib.data.text import WordTokenizer

FILMS = {"train": ["0000005", "0000008", "0000010"], "dev": ["0000012"], "test": ["0000091", "7"]}
PARTS = {"train": "train", "validation": "dev", "test": "test"}
ALL = [film for films in FILMS.values() for film in films]
TOLD = {
    film: {
        "title": f"Film {k}",
        "plot": ["Short one.", f"A much longer plot about the number {k}.", "Middle plot."],
        "genres": [GENRES[k], "News", GENRES[20]],
    }
    for k, film in enumerate(ALL)
}


def poster(k, width=40, height=60):
    """A grey poster whose middle square is of another grey."""
    picture = np.full((height, width, 3), 20 * k, dtype=np.uint8)
    side = min(width, height)
    top, left = (height - side) // 2, (width - side) // 2
    picture[top : top + side, left : left + side] += 100
    return Image.fromarray(picture)


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "mmimdb"
    (made / "dataset").mkdir(parents=True)
    (made / "split.json").write_text(json.dumps(FILMS))
    for k, film in enumerate(ALL):
        (made / "dataset" / f"{film}.json").write_text(json.dumps(TOLD[film]))
        shape = (40, 60) if k % 2 else (60, 40)
        poster(k, *shape).save(made / "dataset" / f"{film}.jpeg", quality=95)
    return made


def test_films_are_read_as_they_lie(folder):
    data = mmimdb.load(20, root=folder)
    for part, published in PARTS.items():
        assert len(data[part]) == len(FILMS[published])
        for row, film in enumerate(FILMS[published]):
            k = ALL.index(film)
            assert data[part].plots[row] == f"A much longer plot about the number {k}."
            named = [GENRES[g] for g in data[part].genres[row].nonzero()[:, 0]]
            assert named == sorted({GENRES[k], GENRES[20]})  # News is none of the 23
            inner = data[part].posters[row, :, 2:-2, 2:-2].int()
            assert (inner - (20 * k + 100)).abs().max() <= 3  # the middle square, and no border


def test_there_are_23_genres():
    assert len(set(GENRES)) == 23
    assert list(GENRES) == sorted(GENRES)


def test_a_poster_in_grey_has_three_channels(folder):
    poster(2).convert("L").save(folder / "dataset" / "7.jpeg")
    found = mmimdb.load(8, root=folder)["test"].posters[1]
    assert found.shape == (3, 8, 8)
    assert torch.equal(found[0], found[2])


def test_films_are_a_set_of_poster_and_plot(folder, monkeypatch):
    monkeypatch.setenv("MMLIB_DATA", str(folder.parent))
    data = sets.load("mmimdb", size=16, words=12, length=8)
    assert [(m.name, m.kind, m.features, m.length) for m in data.modalities] == [
        ("image", "image", 16, 0), ("plot", "text", 12, 8),
    ]  # fmt: skip
    assert data.modalities[0].blurred
    assert data.target == "labels"
    assert data.classes == GENRES
    assert data.test.labels.shape == (2, 23)
    own = mmimdb.load(16)
    assert torch.equal(data.validation.inputs[0], own["validation"].posters)
    assert torch.equal(data.validation.labels, own["validation"].genres)
    assert data.train.inputs[1].shape == (3, 8)
    told = {
        k: replace(part, plots=tuple(f"{k} {p}" for p in part.plots)) for k, part in own.items()
    }
    data = sets.of_films(told, words=30, length=9)
    tokenizer = WordTokenizer.fit(told["train"].plots)  # a word of another part alone is unknown
    assert data.modalities[1].features == len(tokenizer) < 30
    for name in PARTS:
        assert torch.equal(getattr(data, name).inputs[1], tokenizer.encode(told[name].plots, 9))


def rewritten(film, change):
    def do(folder):
        content = json.loads(json.dumps(TOLD[film]))
        change(content)
        (folder / "dataset" / f"{film}.json").write_text(json.dumps(content))

    return do


def cut(name, keep):
    def do(folder):
        path = folder / name
        path.write_bytes(path.read_bytes()[:keep])

    return do


def split(**changes):
    return lambda folder: (folder / "split.json").write_text(json.dumps(FILMS | changes))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (cut("dataset/7.jpeg", -60), r"7\.jpeg is no whole poster \(image file is truncated"),
        (cut("dataset/7.jpeg", 0), r"7\.jpeg is no whole poster"),
        (lambda f: (f / "dataset/0000008.jpeg").unlink(), r"0000008\.jpeg is no whole poster"),
        (cut("dataset/0000008.json", 30), r"0000008\.json cannot be read"),
        (lambda f: (f / "dataset/0000008.json").unlink(), r"0000008\.json cannot be read"),
        (rewritten("7", lambda c: c.pop("plot")), r"7\.json has no list of texts 'plot'"),
        (rewritten("7", lambda c: c.update(plot="A")), r"7\.json has no list of texts 'plot'"),
        (rewritten("7", lambda c: c.update(genres=[1])), r"7\.json has no list of texts 'genres'"),
        (rewritten("7", lambda c: c.update(plot=["..."])), r"7\.json has no plot with words"),
        (rewritten("7", lambda c: c.update(plot=[])), r"7\.json has no plot with words"),
        (split(dev=[]), "has no list of films 'dev'"),
        (split(test="7"), "has no list of films 'test'"),
        (split(dev=["0000005"]), "'0000005' is there twice"),
        (cut("split.json", 10), r"split\.json cannot be read"),
    ],
)
def test_a_bad_set_is_an_error_that_names_the_file(folder, spoil, message):
    spoil(folder)
    with pytest.raises(ValueError, match=message):
        mmimdb.load(8, root=folder)


def test_an_absent_set_says_how_to_get_it(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"has no split\.json\. Fetch https://\S+/mmimdb\.tar\.gz"
    ):
        mmimdb.load(8, root=tmp_path)
