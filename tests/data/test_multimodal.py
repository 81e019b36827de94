"""Samples of any modalities in one form, and what a linear classifier can read of them."""

import torch

from mmlib.data.multimodal import Modality, Multimodal, Part, as_vectors
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
