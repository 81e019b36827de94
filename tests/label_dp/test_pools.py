"""Draws near a query; those of pools are tested with the mechanisms that make them."""

import pytest
import torch

from mmlib.label_dp.pools import draw_near

from .chances import agrees, generator

LINE = torch.tensor([0.0, 1.0, 3.0, 4.5, 0.5, 2.0, 6.0])[:, None]
SIDES = torch.tensor([0, 0, 0, 0, 1, 1, 1])


@pytest.mark.parametrize(
    ("neighbours", "near"),
    [(2, ([2, 3], [4, 5])), (3, ([1, 2, 3], [4, 5, 6])), (9, (range(4), [4, 5, 6]))],
)
def test_each_of_the_nearest_of_the_drawn_class_comes_out_as_often(neighbours, near):
    """Of two classes of four and three; a class that has fewer is used whole."""
    drawn, queries = torch.arange(40_000) % 2, torch.full((40_000, 1), 3.2)
    shown = draw_near(drawn, queries, SIDES, LINE, 2, neighbours, generator=generator())
    for side, members in enumerate(near):
        chances = [(i in members) / len(members) for i in range(7)]
        assert agrees(shown[drawn == side].bincount(minlength=7), chances)


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
