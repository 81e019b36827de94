import pytest
import torch
from sklearn.preprocessing import OneHotEncoder

from mmlib.data.table import TableSchema

SCHEMA = TableSchema(n_continuous=2, cardinalities=(3, 5))


def rows(n=6):
    generator = torch.Generator().manual_seed(0)
    codes = [torch.randint(k, (n, 1), generator=generator).float() for k in SCHEMA.cardinalities]
    return torch.cat([torch.randn(n, 2, generator=generator), *codes], dim=1)


def test_one_hot_is_scikit_learns():
    encoder = OneHotEncoder(categories=[range(3), range(5)], sparse_output=False)
    expected = torch.from_numpy(encoder.fit_transform(rows()[:, 2:].numpy())).float()
    coded = SCHEMA.one_hot(rows())
    torch.testing.assert_close(coded[:, 2:], expected)
    torch.testing.assert_close(coded[:, :2], rows()[:, :2])
    assert (SCHEMA.n_columns, SCHEMA.n_features) == (4, 10)


def test_tables_with_one_kind_of_column():
    assert TableSchema(3).one_hot(torch.ones(2, 3)).shape == (2, 3)
    assert TableSchema(0, (4,)).one_hot(torch.tensor([[3.0]])).tolist() == [[0, 0, 0, 1]]


def test_errors_name_the_column_and_the_range():
    table = rows()
    table[3, 3] = 5
    with pytest.raises(ValueError, match=r"code in column 3 is 5; allowed: \[0, 4\]"):
        SCHEMA.one_hot(table)
    table[3, 3] = -1
    with pytest.raises(ValueError, match="code in column 3 is -1"):
        SCHEMA.one_hot(table)
    with pytest.raises(ValueError, match=r"rows has shape \(6, 3\); expected \(B, C=4\)"):
        SCHEMA.one_hot(table[:, :3])
    with pytest.raises(ValueError, match="number of columns is 0"):
        TableSchema(0)
