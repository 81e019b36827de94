"""Draws near a query; those of pools are tested with the mechanisms that make them."""

import pytest
import torch

from mmlib.label_dp.pools import draw_near

from .chances import generator

LINE = torch.tensor([0.0, 1.0, 3.0, 4.5, 0.5, 2.0, 6.0])[:, None]
SIDES = torch.tensor([0, 0, 0, 0, 1, 1, 1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: draw_near(SIDES, LINE, SIDES, LINE, 2, 0, generator=generator()),
            "neighbours is 0; allowed",
        ),
        (
            lambda: draw_near(SIDES, LINE[:, [0, 0]], SIDES, LINE, 2, 1, generator=generator()),
            r"pool_features has shape \(7, 1\); expected",
        ),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
