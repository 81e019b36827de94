"""What all image-table sets share: standardised by training rows, and undone by mean and sd."""

import pytest
import torch

from mmlib.data.image_table import split


def test_standardised_columns_are_undone_also_where_training_rows_are_alike():
    table = torch.tensor([[1.0, 5.0, 0.0], [3.0, 5.0, 1.0], [7.0, 6.0, 0.0], [9.0, 8.0, 1.0]])
    train, validation, test = torch.eye(4).bool()[[0, 2, 3]]
    data = split(
        torch.zeros(4, 3, 8, 8, dtype=torch.uint8), table, torch.arange(4),
        {"train": train | torch.tensor([False, True, False, False]), "validation": validation,
         "test": test},
        columns=("a", "b", "code"), categories={"code": ("no", "yes")}, classes=("0", "1"),
        device="cpu",
    )  # fmt: skip
    assert not data.train.table[:, 1].any()
    for part, rows in ((data.train, [0, 1]), (data.validation, [2]), (data.test, [3])):
        torch.testing.assert_close(part.table[:, :2] * data.sd + data.mean, table[rows, :2])
        assert torch.equal(part.table[:, 2], table[rows, 2])
        assert part.labels.tolist() == rows


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ((0, 2, 2), r"rows of part 'train' is 0; allowed: \[2, inf\)"),
        ((1, 2, 1), "rows of part 'train' is 1"),  # a deviation that is nan
        ((2, 0, 2), "rows of part 'validation' is 0"),
        ((2, 2, 0), "rows of part 'test' is 0"),
    ],
)
def test_a_part_without_rows_is_named(counts, message):
    of = torch.arange(3).repeat_interleave(torch.tensor(counts))
    rules = {name: of == k for k, name in enumerate(("train", "validation", "test"))}
    with pytest.raises(ValueError, match=message):
        split(
            torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.zeros(4, 1), torch.arange(4), rules,
            columns=("a",), categories={}, classes=("0", "1"), device="cpu",
        )  # fmt: skip
