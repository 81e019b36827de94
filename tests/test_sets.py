"""Every kind of set in one form: samples keep their parts, their labels and their sources."""

import pickle

import numpy as np
import pytest
import torch

from mmlib import sets
from mmlib.data import digits, multibench, triples, utterances
from mmlib.data.text import WordTokenizer

PARTS = ("train", "validation", "test")


def load(name, **options):
    return sets.load(name, **{"size": 8, "words": 12, "length": 6} | options)


def test_digits_are_the_image_table_set_unchanged():
    data, source = load("digits"), digits.load(8)
    assert [(m.name, m.kind, m.features) for m in data.modalities] == [
        ("image", "image", 8), ("table", "table", 17),
    ]  # fmt: skip
    assert data.modalities[0].upright  # a mirrored digit is another shape
    assert data.modalities[1].schema == source.schema
    assert torch.equal(data.modalities[1].marginals, source.train.table)
    for name in PARTS:
        part, original = getattr(data, name), getattr(source, name)
        assert torch.equal(part.inputs[0], original.images)
        assert torch.equal(part.inputs[1], original.table)
        assert torch.equal(part.labels, original.labels)
        assert len(part.units.unique()) == len(part)  # every sample is a unit of its own


def spoken(n, seed, video):
    generator = torch.Generator().manual_seed(seed)
    vectors = {
        kind: torch.randn(n, f, generator=generator)
        for kind, f in {"text": 4, "audio": 3, "video": 5}.items()
    }
    words = tuple(f"so {'good' if k % 2 else 'bad'} number{k}" for k in range(n))
    return utterances.Part(vectors, torch.arange(n) % 2, torch.tensor([video] * n), words)


@pytest.fixture
def reviews():
    return {"train": spoken(6, 0, 7), "validation": spoken(3, 1, 8), "test": spoken(4, 2, 9)}


def test_utterances_put_the_papers_pair_first_and_keep_their_videos(reviews):
    data = sets.of_utterances(reviews)
    assert [(m.name, m.features) for m in data.modalities] == [
        ("text", 4), ("video", 5), ("audio", 3),
    ]  # fmt: skip
    assert data.unit == "video"
    for name in PARTS:
        part, original = getattr(data, name), reviews[name]
        for modality, x in zip(data.modalities, part.inputs, strict=True):
            assert torch.equal(x, original.vectors[modality.name])
        assert torch.equal(part.units, original.videos)


def test_transcripts_take_the_place_of_the_text_vectors(reviews):
    data = sets.of_utterances(reviews, words=8, length=6)
    assert [m.name for m in data.modalities] == ["words", "video", "audio"]
    assert data.modalities[0].features == 8  # the five special tokens and the three most frequent
    tokenizer = WordTokenizer.fit(reviews["train"].transcripts, max_size=8)
    for name in PARTS:
        ids = getattr(data, name).inputs[0]
        assert torch.equal(ids, tokenizer.encode(reviews[name].transcripts, 6))
        assert torch.equal(getattr(data, name).inputs[1], reviews[name].vectors["video"])


def test_titles_are_coded_by_the_words_of_the_training_part_alone():
    images = digits.load(8)
    titles = {
        name: [f"the digit {images.classes[k]}" for k in getattr(images, name).labels]
        for name in PARTS
    }
    titles["test"] = [f"unseen {title}" for title in titles["test"]]
    data = sets.image_text(images, titles, words=30, length=8)
    tokenizer = WordTokenizer.fit(titles["train"], max_size=30)
    assert data.modalities[1].features == len(tokenizer) == 17
    assert tokenizer.decode(data.train.inputs[1][3]) == titles["train"][3]
    assert tokenizer.decode(data.test.inputs[1][5]) == f"<unknown> {titles['test'][5][7:]}"
    assert torch.equal(data.test.inputs[0], images.test.images)


def test_multibench_is_loaded_by_its_name(tmp_path, monkeypatch):
    generator = np.random.default_rng(0)
    content = {
        split: {
            **{
                kind: generator.normal(size=(n, 4, f)).astype(np.float32)
                for kind, f in {"text": 3, "vision": 2, "audio": 5}.items()
            },
            "labels": np.where(np.arange(n) % 3, -1.0, 1.0)[:, None],
            "id": np.arange(n),
        }
        for split, n in {"train": 7, "valid": 4, "test": 5}.items()
    }
    (tmp_path / "multibench").mkdir()
    (tmp_path / "multibench" / "sarcasm.pkl").write_bytes(pickle.dumps(content))
    monkeypatch.setenv("MMLIB_DATA", str(tmp_path))
    data = load("multibench_mustard")
    assert [m.name for m in data.modalities] == ["text", "vision", "audio"]
    assert {m.kind for m in data.modalities} == {"sequence"}
    assert [len(getattr(data, name)) for name in PARTS] == [7, 4, 5]
    assert torch.equal(data.validation.inputs[1], torch.from_numpy(content["valid"]["vision"]))
    assert data.test.labels.tolist() == [1, 0, 0, 1, 0]
    assert data.classes == multibench.CLASSES["mustard"]


def test_another_name_or_size_is_an_error():
    with pytest.raises(ValueError, match="name is 'mimic'; allowed: 'digits', 'products_table'"):
        load("mimic")
    with pytest.raises(ValueError, match="size is 4"):
        load("digits", size=4)


def test_triples_keep_their_tasks_their_images_and_what_is_learned_from():
    source = triples.load(16, renderings=(1, 1))
    data = sets.of_triples(source)
    assert [(m.name, m.kind, m.features) for m in data.modalities] == [
        (f"image{k}", "image", 16) for k in (1, 2, 3)
    ]
    for name in ("learn", *PARTS):
        part = getattr(data, name)
        assert all(torch.equal(x, y) for x, y in zip(part.inputs, source[name].inputs, strict=True))
        assert torch.equal(part.labels, source[name].tasks["R"])
        assert part.tasks == source[name].tasks
        assert torch.equal(part.units, source[name].combinations)  # three a sample
    assert data.learn.tasks["S123"].all()
    assert not data.train.tasks["S123"].all()
    assert load("digits").learn is None


def test_of_two_sets_of_triples_one_is_learned_from_triples_that_follow_no_relation(monkeypatch):
    monkeypatch.setitem(triples.load.__kwdefaults__, "renderings", (1, 1))
    for name, follows in (("triples", True), ("triples_free", False)):
        assert load(name, size=16).learn.tasks["S123"].all() == follows
