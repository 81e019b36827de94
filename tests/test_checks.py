"""Messages name the wrong value and the allowed ones."""

import math

import pytest
import torch

from mmlib._checks import check_range, check_shape


def test_range_refuses_nan_and_open_ends():
    assert check_range("p", 0.0, 0, 1) == 0.0
    with pytest.raises(ValueError, match=r"p is nan; allowed: \[0, 1\]"):
        check_range("p", math.nan, 0, 1)
    with pytest.raises(ValueError, match=r"p is 1; allowed: \[0, 1\)"):
        check_range("p", 1, 0, 1, open_high=True)


def test_shape_letters_agree_with_each_other_and_numbers_are_fixed():
    x = torch.zeros(2, 3, 4, 4)
    assert check_shape("x", x, "B 3 H H") == {"B": 2, "H": 4}
    with pytest.raises(ValueError, match=r"x has shape \(2, 3, 4, 4\); expected \(B, 1, H, W\)"):
        check_shape("x", x, "B 1 H W")
    with pytest.raises(ValueError, match="expected"):
        check_shape("x", x, "B B H W")
