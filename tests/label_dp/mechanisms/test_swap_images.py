"""Images are swapped as Algorithm 1 prints it, at every draw and rule for self."""

import pytest
import torch

from mmlib.label_dp.mechanisms.swap_images import swap_images

from ..chances import agrees, generator

LABELS = torch.tensor([2, 0, 1, 0, 2, 1, 0, 2, 2])
DRAWS = 200_000


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


@pytest.mark.parametrize("include_self", [False, True])
@pytest.mark.parametrize("floor", [0.3, 1.0])
def test_floor_mixes_the_uniform_draw_in(floor, include_self):
    features = torch.randint(3, (9, 2), generator=generator()).float()
    record = 4
    source = swap_images(
        LABELS, 0.7, 3, features=features, neighbours=2, floor=floor,
        include_self=include_self, records=torch.full((DRAWS,), record), generator=generator(1),
    )  # fmt: skip
    chances = torch.zeros(9, dtype=torch.float64)
    chances[record] += 0.3
    for j in range(3):
        pool = [i for i in range(9) if LABELS[i] == j and (include_self or i != record)]
        near = sorted(pool, key=lambda i: ((features[i] - features[record]).square().sum(), i))[:2]
        for chosen, weight in ((pool, floor), (near, 1 - floor)):
            for i in chosen:
                chances[i] += 0.7 / 3 * weight / len(chosen)
    assert agrees(source.bincount(minlength=9), chances)


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


def test_a_pools_images_come_after_those_of_all_records_whoever_is_asked_for():
    pool = torch.tensor([0, 1, 1, 2])
    records = torch.full((DRAWS,), 4)
    source = swap_images(LABELS, 0.6, 3, pool_labels=pool, records=records, generator=generator())
    chances = torch.tensor([0.0] * 4 + [0.4] + [0.0] * 4 + [0.2, 0.1, 0.1, 0.2])
    assert agrees(source.bincount(minlength=13), chances)


def test_a_class_of_one_needs_self_in_its_pool():
    labels = torch.tensor([0, 0, 1])
    with pytest.raises(ValueError, match="class 1 has 1 records; allowed: at least 2 when"):
        swap_images(labels, 0.5, 2, generator=generator())
    swap_images(labels, 0.5, 2, include_self=True, generator=generator())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: swap_images(LABELS, 0.5, 3, floor=0.5, generator=generator()),
            r"floor is 0.5; allowed: \[0.0, 0.0\]",
        ),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
