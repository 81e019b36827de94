"""Each caption takes a word of its own: what a change costs, and how many may be made at once."""

import pytest
import torch

from mmlib import losses
from mmlib.mem.hotflip import _each_its_own, clip_swapped


@pytest.mark.parametrize("scale", [1.0, 14.3, 100.0])
def test_swapped_losses_are_the_losses_of_swapped_batches(scale):
    g = torch.Generator().manual_seed(0)
    images, texts = torch.randn(2, 6, 4, generator=g, dtype=torch.float64)
    options = torch.randn(6, 3, 4, generator=g, dtype=torch.float64)
    options[2, 1] = images[2]  # a perfect match: sums of exponentials must not cancel
    found = clip_swapped(images, texts, options, scale=scale)
    for i in range(6):
        for j in range(3):
            changed = texts.clone()
            changed[i] = options[i, j]
            expected = losses.clip(images, changed, scale=scale)
            assert float(found[i, j]) == pytest.approx(float(expected), rel=1e-9, abs=1e-12)


def test_swapped_losses_keep_their_digits_at_a_large_scale():
    images = torch.eye(8)
    texts, options = images.clone(), images[:, None] + 0.01 * torch.randn(8, 4, 8)
    found = clip_swapped(images, texts, options, scale=100.0)
    exact = clip_swapped(images.double(), texts.double(), options.double(), scale=100.0)
    assert torch.allclose(found.double(), exact, atol=1e-6)


def test_who_has_no_better_word_keeps_the_present_one():
    """Though the loss would fall, too, if all took theirs."""
    features, goal = torch.zeros(8, 1), torch.tensor([[1.0]] * 5 + [[0.4]] * 3)

    def loss(rows):
        return (rows - goal).square().sum()

    def alone(rows, options):
        return loss(rows) - (rows - goal).square() + (options[..., 0] - goal).square()

    assert loss(torch.ones(8, 1)) < loss(features)
    change = _each_its_own(features, torch.ones(1, 8, 1), loss(features), loss, alone)
    assert change.tolist() == [0] * 5 + [-1] * 3


def test_changes_that_help_alone_and_hurt_together_are_cut_down():
    """A row that moves from 0 to 1 brings the sum to its goal of 1; all of them overshoot it."""
    features, tried = torch.zeros(8, 1), torch.ones(2, 8, 1)
    tried[0] = 0.5

    def loss(rows):
        return (rows.sum() - 1).square()

    def alone(rows, options):
        return (rows.sum() - rows[:, None, 0] + options[..., 0] - 1).square()

    present = loss(features)
    change = _each_its_own(features, tried, present, loss, alone)
    assert change.tolist().count(1) == 1  # eight, four and two overshoot or reach no less
    assert set(change.tolist()) == {-1, 1}
    done = torch.zeros(8, 1)
    done[0] = 1
    assert (_each_its_own(done, tried, loss(done), loss, alone) == -1).all()
