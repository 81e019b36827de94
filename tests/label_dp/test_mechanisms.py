"""The mechanisms have the law that Algorithm 1 prints, at every coin, draw and rule for self."""

import pytest
import torch

from mmlib.label_dp.exact import class_images, double_rr_law
from mmlib.label_dp.mechanisms import double_rr, randomized_response, swap_images

from .chances import agrees

LABELS = torch.tensor([2, 0, 1, 0, 2, 1, 0, 2, 2])
DRAWS = 200_000


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def law_of_source(record, noise, n_classes, *, include_self, features=None, neighbours=None):
    """Step 3 of Algorithm 1 for one record, by plain loops: chance of each image."""
    chance = [0.0] * len(LABELS)
    chance[record] += 1 - noise
    for drawn in range(n_classes):
        pool = [i for i, y in enumerate(LABELS.tolist()) if y == drawn]
        if not include_self:
            pool = [i for i in pool if i != record]
        if features is not None:
            pool.sort(key=lambda i: ((features[i] - features[record]).square().sum().item(), i))
            pool = pool[:neighbours]
        for i in pool:
            chance[i] += noise / n_classes / len(pool)
    return chance


@pytest.mark.parametrize("noise", [0.05, 0.5, 0.97])
@pytest.mark.parametrize("n_classes", [2, 7])
def test_randomized_response_keeps_or_draws_with_the_own_class_among_all(noise, n_classes):
    released = randomized_response(torch.full((DRAWS,), 1), noise, n_classes, generator=generator())
    chances = [noise / n_classes] * n_classes
    chances[1] += 1 - noise
    assert agrees(released.bincount(minlength=n_classes), chances)


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


@pytest.mark.parametrize("record", [0, 3, 8])
@pytest.mark.parametrize("include_self", [False, True])
@pytest.mark.parametrize("neighbours", [None, 1, 2, 50])
def test_images_are_drawn_as_algorithm_1_says(record, include_self, neighbours):
    options = {}
    if neighbours is not None:
        features = torch.randint(3, (9, 2), generator=generator()).float()  # with ties
        options = {"features": features, "neighbours": neighbours}
    source = swap_images(
        LABELS,
        0.7,
        3,
        include_self=include_self,
        records=torch.full((DRAWS,), record),
        generator=generator(),
        **options,
    )
    expected = law_of_source(record, 0.7, 3, include_self=include_self, **options)
    assert agrees(source.bincount(minlength=9), expected)


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


def test_records_are_independent_of_each_other():
    released = randomized_response(
        torch.zeros(DRAWS, dtype=torch.long), 0.8, 2, generator=generator()
    )
    pairs = (released[::2] * 2 + released[1::2]).bincount(minlength=4)
    assert agrees(pairs, [0.36, 0.24, 0.24, 0.16])


@pytest.mark.parametrize("neighbours", [None, 3])
def test_by_default_no_record_stands_in_for_itself_and_its_label_has_no_say(neighbours):
    labels = torch.arange(10).repeat(100)
    options = {}
    if neighbours:
        features = torch.randn(1000, 5, generator=generator())
        options = {"features": features, "neighbours": neighbours}
    source = swap_images(labels, 1.0, 10, generator=generator(), **options)
    assert (source != torch.arange(1000)).all()
    # Record 0 moves to another class, all else equal: the same random numbers, the same image.
    moved = labels.clone()
    moved[0] = 7
    records = torch.zeros(DRAWS, dtype=torch.long)
    before, after = (
        swap_images(x, 0.5, 10, records=records, generator=generator(), **options)
        for x in (labels, moved)
    )
    assert torch.equal(before, after)


def test_nearest_images_come_from_a_thousand_records_as_from_a_loop():
    labels = torch.randint(7, (1000,), generator=generator())
    features = torch.randn(1000, 16, generator=generator(1))
    source = swap_images(labels, 0.9, 7, features=features, neighbours=1, generator=generator(2))
    distance = torch.cdist(features.double(), features.double())
    distance.fill_diagonal_(torch.inf)
    swapped = (source != torch.arange(1000)).nonzero().squeeze(1)
    assert len(swapped) > 850
    for i in swapped.tolist():
        pool = (labels == labels[source[i]]).nonzero().squeeze(1)
        assert source[i] == pool[distance[i, pool].argmin()]


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


def test_a_class_of_one_needs_self_in_its_pool():
    labels = torch.tensor([0, 0, 1])
    with pytest.raises(ValueError, match="class 1 has 1 records; allowed: at least 2 when"):
        swap_images(labels, 0.5, 2, generator=generator())
    swap_images(labels, 0.5, 2, include_self=True, generator=generator())
