"""Double RR: its law, its coins, and what its terms promise and refuse."""

import dataclasses
import math

import pytest
import torch

from mmlib.label_dp.exact import class_images, double_rr_law, renyi_divergence
from mmlib.label_dp.ledger import Ledger
from mmlib.label_dp.mechanisms.double_rr import DoubleRR, double_rr
from mmlib.label_dp.mechanisms.randomized_response import randomized_response
from mmlib.label_dp.mechanisms.swap_images import swap_images

from ..chances import agrees, generator, labels_of

LABELS = torch.tensor([2, 0, 1, 0, 2, 1, 0, 2, 2])
DRAWS = 200_000


def test_label_and_image_follow_the_exact_joint_law_so_their_coins_are_independent():
    images = class_images(LABELS, 3)
    for y in range(3):
        members = (y == LABELS).nonzero().squeeze(1)
        records = members[torch.randint(len(members), (DRAWS,), generator=generator(1))]
        released, source = double_rr(
            LABELS, 0.6, 3, include_self=True, records=records, generator=generator(2)
        )
        counts = (released * 9 + source).bincount(minlength=27)
        assert agrees(counts, double_rr_law(images, 0.6)[y].flatten())


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_no_noise_changes_nothing_and_full_noise_leaves_nothing(dtype):
    labels = (torch.arange(DRAWS) % 3).to(dtype)
    assert torch.equal(randomized_response(labels, 0.0, 3, generator=generator()), labels)
    released = randomized_response(labels, 1.0, 3, generator=generator())
    assert released.dtype == dtype
    joint = (labels.long() * 3 + released.long()).bincount(minlength=9)
    assert agrees(joint, [1 / 9] * 9)
    features = torch.randn(9, 2, generator=generator())
    for options in ({}, {"features": features, "neighbours": 2}):
        source = swap_images(LABELS.to(dtype), 0.0, 3, generator=generator(), **options)
        assert source.tolist() == list(range(9))


def test_narrow_integers_hold_their_classes_and_index_records_as_wide_ones_do():
    """A class beyond 255 would come out of uint8 as another one; uint8 indices would be a mask."""
    labels = torch.arange(300, dtype=torch.int16) % 3
    released = randomized_response(labels, 1.0, 300, generator=generator())
    assert released.dtype == torch.int16
    assert released.max() > 255
    with pytest.raises(ValueError, match=r"n_classes is 300; allowed: \[2, 256\]"):
        randomized_response(labels.to(torch.uint8), 1.0, 300, generator=generator())
    for records in (torch.tensor([0, 1, 0, 2], dtype=torch.uint8), torch.tensor([7, 7, 7])):
        narrow, wide = (
            double_rr(labels, 0.9, 3, records=r, generator=generator())
            for r in (records, records.long())
        )
        assert all(map(torch.equal, narrow, wide))


def test_only_the_given_generator_is_used_and_it_decides_everything():
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = double_rr(LABELS, 0.5, 3, generator=generator(5))
    again = double_rr(LABELS, 0.5, 3, generator=generator(5))
    other = double_rr(LABELS.repeat(20), 0.5, 3, generator=generator(6))
    same = double_rr(LABELS.repeat(20), 0.5, 3, generator=generator(5))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(other[0], same[0])
    assert torch.equal(torch.get_rng_state(), state)


def test_the_theorem_holds_for_pools_that_are_the_classes_and_for_no_smaller_ones():
    """In a world of two classes of two images: the laws themselves, not a bound."""
    images = class_images(torch.tensor([0, 0, 1, 1]), 2)
    smaller = torch.eye(4, dtype=torch.float64)[[1, 3]]  # a public image of each class
    terms = DoubleRR(n_classes=2, noise_label=0.5, noise_image=0.5, pools="given")
    for draws, divergence in ((images, 0.0), (smaller, math.inf)):
        law = double_rr_law(images, 0.5, draws[:, None].expand(-1, 4, -1))
        for order in (2.0, math.inf):
            exact = renyi_divergence(law[0], law[1], order)
            cost = dataclasses.replace(terms, divergence=divergence).cost("population", order)
            assert cost.epsilon == pytest.approx(exact), (divergence, order)
    assert terms.cost("population").epsilon == math.inf  # unless it is said, no pool is a class


def test_given_pools_do_not_look_at_labels():
    def draw(labels):
        return Ledger(labels).release(
            DoubleRR(n_classes=7, noise_label=0.5, noise_image=0.5, pools="given"),
            generator=torch.Generator().manual_seed(5), pool_labels=labels_of(80, seed=1),
        )  # fmt: skip

    assert torch.equal(draw(labels_of()).source, draw(labels_of(seed=9)).source)


def test_a_pool_larger_than_the_terms_say_is_refused():
    terms = DoubleRR(n_classes=7, noise_label=0.5, noise_image=0.5, pools="records", neighbours=3,
                     floor=0.2, largest_pool=50)  # fmt: skip
    with pytest.raises(ValueError, match="size of the largest pool is 1"):
        Ledger(labels_of()).release(terms, features=torch.zeros(1000, 2))
    with pytest.raises(ValueError, match="pool_labels go with 'given'"):
        Ledger(labels_of()).release(terms, pool_labels=labels_of())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise": 1.2}, r"noise is 1.2; allowed: \[0.0, 1.0\]"),
        ({"n_classes": 2}, r"largest label is 2; allowed: \[0, 1\]"),
        ({"labels": LABELS - 1}, r"smallest label is -1; allowed"),
        ({"labels": LABELS.float()}, "labels have dtype torch.float32; allowed: integers"),
        ({"labels": LABELS[None]}, r"labels has shape \(1, 9\); expected \(N\)"),
        ({"records": torch.tensor([0, -1])}, r"smallest record is -1; allowed: \[0, 8\]"),
        ({"records": torch.tensor([0, 9])}, r"largest record is 9; allowed"),
        ({"n_classes": 4}, r"class 3 has 0 records; allowed: at least 2"),
        ({"neighbours": 1}, "features go with neighbours"),
        ({"features": torch.zeros(9, 2)}, "features go with neighbours"),
        (
            {"features": torch.zeros(8, 2), "neighbours": 1},
            r"features has shape \(8, 2\); expected \(N=9, D\)",
        ),
        ({"features": torch.zeros(9, 2), "neighbours": 0}, "neighbours is 0; allowed"),
    ],
)
def test_wrong_arguments_are_named(options, message):
    options = {"labels": LABELS, "noise": 0.5, "n_classes": 3} | options
    with pytest.raises(ValueError, match=message):
        double_rr(generator=generator(), **options)
