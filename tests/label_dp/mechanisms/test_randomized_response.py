"""Randomized response has the law that Algorithm 1 prints."""

import pytest
import torch

from mmlib.label_dp.mechanisms.randomized_response import randomized_response

from ..chances import agrees, generator

DRAWS = 200_000


@pytest.mark.parametrize("noise", [0.05, 0.5, 0.97])
@pytest.mark.parametrize("n_classes", [2, 7])
def test_randomized_response_keeps_or_draws_with_the_own_class_among_all(noise, n_classes):
    released = randomized_response(torch.full((DRAWS,), 1), noise, n_classes, generator=generator())
    chances = [noise / n_classes] * n_classes
    chances[1] += 1 - noise
    assert agrees(released.bincount(minlength=n_classes), chances)


def test_records_are_independent_of_each_other():
    released = randomized_response(
        torch.zeros(DRAWS, dtype=torch.long), 0.8, 2, generator=generator()
    )
    pairs = (released[::2] * 2 + released[1::2]).bincount(minlength=4)
    assert agrees(pairs, [0.36, 0.24, 0.24, 0.16])
