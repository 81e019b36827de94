"""Corruption touches int(rate * C) columns and draws each value from that column's marginal."""

import pytest
import torch
from scipy import stats

from mmlib.augment.table import Corrupt


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def distinct(n, c):
    """A table in which no value occurs twice and a value tells its column."""
    return torch.arange(n * c, dtype=torch.float32).view(c, n).T.contiguous()


@pytest.mark.parametrize(
    ("rate", "c", "count"), [(0.3, 17, 5), (0.0, 4, 0), (0.24, 4, 0), (1.0, 4, 4)]
)
def test_number_of_corrupted_columns_is_exact_in_every_row(rate, c, count, generator):
    batch = torch.full((2000, c), -1.0)
    out = Corrupt(rate, distinct(50, c))(batch, generator)
    assert ((out != -1).sum(1) == count).all()


def test_every_column_and_pair_of_columns_is_corrupted_equally_often(generator):
    n, c, k = 20000, 6, 3
    hit = (Corrupt(0.5, distinct(50, c))(torch.full((n, c), -1.0), generator) != -1).double()
    share = k / c
    assert (hit.mean(0) - share).abs().max() < 4 * (share * (1 - share) / n) ** 0.5
    pair = k * (k - 1) / (c * (c - 1))  # without replacement: less than share ** 2
    together = (hit.T @ hit / n)[~torch.eye(c, dtype=torch.bool)]
    assert (together - pair).abs().max() < 4 * (pair * (1 - pair) / n) ** 0.5


def test_values_come_from_the_columns_own_marginal(generator):
    marginals = torch.stack([torch.tensor([0.0, 0, 0, 1]), torch.tensor([5.0, 6, 7, 8])], dim=1)
    out = Corrupt(1.0, marginals)(torch.full((8000, 2), -1.0), generator)
    counts = out[:, 0].long().bincount()
    assert stats.chisquare(counts.numpy(), [6000, 2000]).pvalue > 1e-3
    counts = (out[:, 1] - 5).long().bincount()
    assert stats.chisquare(counts.numpy(), [2000] * 4).pvalue > 1e-3


def test_columns_and_rows_are_drawn_independently(generator):
    """Columns of a row that are corrupted together come from different rows of the table."""
    marginals = torch.arange(100.0)[:, None].expand(-1, 3).contiguous()
    out = Corrupt(1.0, marginals)(torch.zeros(20000, 3), generator)
    correlation = torch.corrcoef(out.T) - torch.eye(3)
    assert correlation.abs().max() < 0.03
    assert torch.corrcoef(torch.stack([out[:-1, 0], out[1:, 0]]))[0, 1].abs() < 0.03


def test_input_stays_and_the_generator_decides(generator):
    table = distinct(50, 5)
    before = table.clone()
    corrupt = Corrupt(0.4, table)
    first = corrupt(table, generator)
    assert torch.equal(table, before)
    assert torch.equal(first, corrupt(table, torch.Generator().manual_seed(0)))
    assert not torch.equal(first, corrupt(table, generator))


def test_bad_input_names_what_is_wrong(generator):
    with pytest.raises(ValueError, match=r"rate is 1.2; allowed: \[0, 1\]"):
        Corrupt(1.2, distinct(3, 2))
    with pytest.raises(ValueError, match=r"batch has shape \(4, 3\); expected \(B, C=2\)"):
        Corrupt(0.5, distinct(3, 2))(torch.zeros(4, 3), generator)
