"""Masking takes words, never special tokens, each with the same probability."""

import pytest
import torch

from mmlib.augment.text import MaskTokens
from mmlib.data.text import END, MASK, PAD, START, UNKNOWN


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def test_words_are_masked_independently_and_special_tokens_stay(generator):
    row = torch.tensor([START, 5, 6, UNKNOWN, MASK, 900, 5, END, PAD, PAD])
    batch = row.expand(20000, -1)
    out = MaskTokens(0.15)(batch, generator)
    special = row < 5
    assert torch.equal(out[:, special], batch[:, special])
    hit = (out != batch)[:, ~special]
    assert (out[:, ~special][hit] == MASK).all()
    error = 4 * (0.15 * 0.85 / len(batch)) ** 0.5
    assert (hit.double().mean(0) - 0.15).abs().max() < error
    assert (torch.corrcoef(hit.double().T) - torch.eye(4)).abs().max() < 0.04
    assert out.dtype == torch.long
    assert (row == batch).all()  # the input stays


def test_limits_and_the_generator(generator):
    batch = torch.randint(5, 50, (30, 12), generator=generator)
    assert torch.equal(MaskTokens(0.0)(batch, generator), batch)
    assert (MaskTokens(1.0)(batch, generator) == MASK).all()
    first, second = (MaskTokens()(batch, torch.Generator().manual_seed(s)) for s in (1, 1))
    assert torch.equal(first, second)
    assert not torch.equal(first, MaskTokens()(batch, generator))


def test_bad_probability():
    with pytest.raises(ValueError, match=r"p is 1.5; allowed: \[0, 1\]"):
        MaskTokens(1.5)
