"""Samples of any modalities in one form, and what a linear classifier can read of them."""

import pytest
import torch

from mmlib.data.multimodal import (
    Modality,
    Multimodal,
    Part,
    as_vectors,
    redrawn,
    with_entry,
)
from mmlib.data.table import TableSchema
from mmlib.data.text import WordTokenizer


def test_raw_features_of_each_kind():
    image = torch.full((2, 3, 8, 8), 51, dtype=torch.uint8)
    assert torch.allclose(as_vectors(Modality("i", "image", 8), image), torch.full((2, 192), 0.2))
    fine = torch.randint(256, (2, 3, 64, 64), generator=torch.Generator().manual_seed(0))
    coarse = fine.double().unflatten(2, (32, 2)).unflatten(4, (32, 2)).mean(dim=(3, 5)) / 255
    found = as_vectors(Modality("i", "image", 64), fine.byte())
    assert torch.allclose(found, coarse.flatten(1).float(), atol=1e-6)
    rows = torch.tensor([[0.5, 2.0]])
    table = Modality("t", "table", 2, TableSchema(1, (3,)))
    assert as_vectors(table, rows).tolist() == [[0.5, 0.0, 0.0, 1.0]]
    steps = torch.tensor([[[1.0, 2.0], [3.0, 6.0]]])
    assert as_vectors(Modality("s", "sequence", 2), steps).tolist() == [[2.0, 4.0]]
    vector = torch.randn(3, 4)
    assert torch.equal(as_vectors(Modality("v", "vector", 4), vector), vector)
    tokenizer = WordTokenizer(["red", "car"])
    ids = tokenizer.encode(["car red car", "blue"], 7)
    text = Modality("x", "text", len(tokenizer), length=7)
    assert as_vectors(text, ids).tolist() == [[1.0, 2.0], [0.0, 0.0]]  # red, car


def test_a_part_knows_its_length():
    part = Part((torch.zeros(3, 2),), torch.zeros(3), torch.arange(3))
    assert len(part) == 3
    assert Multimodal((), part, part, part, ()).unit == "sample"


def numbered(first, last):
    """Samples whose only input is their number, which is also their label."""
    numbers = torch.arange(first, last)
    return Part.of_independent((numbers[:, None].float(),), numbers)


def test_parts_drawn_anew_share_no_sample_and_come_from_everywhere():
    data = Multimodal((), numbered(0, 60), numbered(60, 80), numbered(80, 100), ())
    sizes = {"a": 40, "b": 30, "c": 20}
    parts = redrawn(data, sizes, generator=torch.Generator().manual_seed(0))
    assert {name: len(part) for name, part in parts.items()} == sizes
    everyone = torch.cat([part.labels for part in parts.values()])
    assert len(everyone.unique()) == 90
    for part in parts.values():
        assert torch.equal(part.inputs[0][:, 0].long(), part.labels)
        assert part.labels.min() < 60 <= part.labels.max()
        assert len(part.units.unique()) == len(part)
    with pytest.raises(ValueError, match="samples asked for is 101"):
        redrawn(data, {"a": 101}, generator=torch.Generator())


def test_an_entry_is_read_exactly_and_the_rest_stays():
    codes = torch.tensor([2, 0, 1])
    rows = torch.tensor([[0.5, 1.0], [0.1, 0.0], [0.2, 1.0]])
    table = Modality("t", "table", 2, TableSchema(1, (2,)), marginals=rows)
    tokenizer = WordTokenizer(["red", "car"])
    ids = tokenizer.encode(["car red car", "blue", "car car car car car car"], 6)
    text = Modality("x", "text", len(tokenizer), length=6)
    vector = Modality("v", "vector", 2)
    for modality, batch in ((table, rows), (text, ids), (vector, rows)):
        grown, found = with_entry(modality, batch, codes, 3)
        before, after = as_vectors(modality, batch), as_vectors(grown, found)
        assert torch.equal(after[:, :-3], before)
        assert torch.equal(after[:, -3:].argmax(1), codes)
        assert (after[:, -3:].sum(1) == 1).all()
        assert grown.name == modality.name
    assert with_entry(text, ids, codes, 3)[0].length == with_entry(text, ids, codes, 3)[1].shape[1]
    assert with_entry(table, rows, codes, 3)[0].marginals is None  # they have no such column
    with pytest.raises(ValueError, match="kind is 'image'"):
        with_entry(Modality("i", "image", 8), rows, codes, 3)
