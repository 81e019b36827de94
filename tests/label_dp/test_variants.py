"""Variants of double RR: laws by enumeration and by drawing, bounds on random worlds."""

import itertools
import math
import sys

import pytest
import torch
from scipy import stats

from mmlib.label_dp.accounting import epsilon_of
from mmlib.label_dp.bounds import floor_epsilon, mismatch_cost, query_cost
from mmlib.label_dp.coins import SystemEntropy, normal, random
from mmlib.label_dp.exact import (
    class_images,
    double_rr_law,
    knn_draws,
    renyi_divergence,
    response_law,
)
from mmlib.label_dp.mechanisms import randomized_response, swap_images
from mmlib.label_dp.variants import coupled_rr, draw_near, privatised

from .chances import agrees

ORDERS = [1.0, 1.5, 2.0, 4.0, 8.0, 32.0, math.inf]
LABELS = torch.tensor([2, 0, 1, 0, 2, 1, 0, 2, 2])
DRAWS = 50_000


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def worst(law, order=math.inf):
    """Largest divergence over all pairs of true labels."""
    pairs = itertools.permutations(range(len(law)), 2)
    return max(renyi_divergence(law[a], law[b], order) for a, b in pairs)


def random_images(n_classes, n, g):
    images = torch.rand(n_classes, n, generator=g, dtype=torch.float64) ** 3 + 1e-3
    return images / images.sum(1, keepdim=True)


# --- one coin for both -------------------------------------------------------------------------


@pytest.mark.parametrize("record", [0, 3])
@pytest.mark.parametrize("include_self", [False, True])
def test_coupled_coin_keeps_both_or_draws_both(record, include_self):
    released, source = coupled_rr(
        LABELS, 0.6, 3, include_self=include_self, records=torch.full((DRAWS,), record),
        generator=generator(),
    )  # fmt: skip
    chances = torch.zeros(3, 9, dtype=torch.float64)
    chances[LABELS[record], record] += 0.4
    for j in range(3):
        pool = [i for i in range(9) if LABELS[i] == j and (include_self or i != record)]
        for i in pool:
            chances[j, i] += 0.2 / len(pool)
    assert agrees((released * 9 + source).bincount(minlength=27), chances.flatten())


def test_coupled_coin_costs_half_where_images_are_private_and_all_where_they_are_known():
    images = class_images(torch.arange(4).repeat_interleave(3), 4)
    law = response_law(0.5, 4)[:, :, None] * images  # A_y(j) p_j(x)
    assert worst(law) == pytest.approx(math.log(5), abs=1e-14)  # 1.6094, not 3.2189
    assert worst(double_rr_law(images, 0.5)) == pytest.approx(2 * math.log(5), abs=1e-14)
    for order in ORDERS:
        assert worst(law, order) == pytest.approx(epsilon_of(0.5, 4, order=order), abs=1e-13)
    # The image is known, and only its label is in question: the pools stay, record 0 in none.
    known = torch.zeros(4, 4, 13, dtype=torch.float64)  # last place: its own image
    for y in range(4):
        known[y, :, :12] += 0.5 / 4 * images
        known[y, y, 12] += 0.5
    assert worst(known) == math.inf


@pytest.mark.parametrize("seed", range(4))
def test_images_of_a_model_cost_no_more_than_the_mismatch_bound(seed):
    g = generator(seed)
    closest = 0.0
    for _ in range(125):  # 500 models in all
        n_classes = int(torch.randint(2, 6, (), generator=g))
        noise = 0.05 + 0.9 * torch.rand((), generator=g).item()
        real, model = (random_images(n_classes, 6, g) for _ in range(2))
        image = (1 - noise) * real + noise * model.mean(0)
        coupled = (1 - noise) * torch.diag_embed(real.T).permute(1, 2, 0)
        coupled = coupled + noise / n_classes * model  # keep (y, x ~ p_y), or (j, x ~ model_j)
        for order in (1.0, 1.5, 4.0, math.inf):
            far = max(renyi_divergence(p, q, order) for p, q in zip(real, model, strict=True))
            bound = mismatch_cost(noise, n_classes, far, order=order)
            cost = worst(image, order)
            assert cost <= bound + 1e-12
            closest = max(closest, cost / bound)
        assert worst(coupled) <= bound + 1e-12  # at infinite order the same number bounds it
    assert closest > 0.5


def test_without_mismatch_its_bound_is_the_responses_own():
    for noise in (1e-6, 0.3, 0.962372, 1.0):
        assert mismatch_cost(noise, 286, 0.0) == pytest.approx(epsilon_of(noise, 286), rel=1e-12)
    assert mismatch_cost(0.0, 5, 0.0) == mismatch_cost(0.5, 5, math.inf, order=2) == math.inf


# --- nearest neighbours with a floor -----------------------------------------------------------


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


def test_golden_costs_of_the_floor():
    costs = [
        floor_epsilon(0.962372, 286, floor, k, 1980)
        for k, floor in ((10, 0.2), (10, 0.5), (50, 0.2), (10, 1.0), (1980, 0.2), (10, 0.0))
    ]
    assert [round(x, 2) for x in costs] == [9.24, 7.90, 7.87, 5.00, 5.00, math.inf]


def test_no_random_world_costs_more_than_the_floors_bound():
    closest = 0.0
    for seed in range(60):
        g = generator(seed)
        n_classes = int(torch.randint(2, 4, (), generator=g))
        labels = torch.cat([torch.arange(n_classes)] * 2 + [
            torch.randint(n_classes, (6,), generator=g)
        ])  # fmt: skip
        features = torch.randn(len(labels), 2, generator=g) + labels[:, None]
        images = class_images(labels, n_classes)
        largest = int(labels.bincount().max())
        whole = knn_draws(labels, features, largest, n_classes)
        near = {k: knn_draws(labels, features, k, n_classes) for k in (1, 2, 5)}
        for k, floor, noise in itertools.product(near, (0.1, 0.6), (0.3, 0.95)):
            draws = floor * whole + (1 - floor) * near[k]
            cost = worst(double_rr_law(images, noise, draws))
            bound = floor_epsilon(noise, n_classes, floor, k, largest)
            assert cost <= bound + 1e-12
            closest = max(closest, cost / bound)
    assert closest > 0.9


def test_the_line_of_the_chapter_with_a_floor():
    features = torch.tensor([0.0, 1, 2, 3, 10, 11, 12, 13])[:, None]
    labels = torch.arange(2).repeat_interleave(4)
    draws = 0.2 * knn_draws(labels, features, 4, 2) + 0.8 * knn_draws(labels, features, 1, 2)
    law = double_rr_law(class_images(labels, 2), 0.5, draws)
    assert worst(law) == pytest.approx(math.log(15) + math.log(3))
    # (0.125 + 0.0125 + 0.05) / 0.0125 = 15; the bound takes 27, the worst that a draw could do
    assert floor_epsilon(0.5, 2, 0.2, 1, 4) == pytest.approx(math.log(27) + math.log(3))


# --- queries that owe nothing to the image, or little -------------------------------------------


LINE = torch.tensor([0.0, 1.0, 3.0, 4.5, 0.5, 2.0, 6.0])[:, None]
SIDES = torch.tensor([0, 0, 0, 0, 1, 1, 1])


def test_an_anchor_of_the_released_label_costs_that_response_alone():
    anchors = torch.tensor([[3.2], [1.0]])
    near = torch.zeros(2, 7, dtype=torch.float64)  # q_j: the two nearest of class j
    near[0, [2, 3]] = near[1, [4, 5]] = 0.5
    law = response_law(0.6, 2)[:, :, None] * near  # released label and image; no own image
    assert worst(law) == pytest.approx(epsilon_of(0.6, 2), abs=1e-14)
    released = randomized_response(
        torch.zeros(DRAWS, dtype=torch.long), 0.6, 2, generator=generator()
    )
    shown = draw_near(released, anchors[released], SIDES, LINE, 2, 2, generator=generator(1))
    assert agrees((released * 7 + shown).bincount(minlength=14), law[0].flatten())


def nearest_law(x, noise, sigma, clip):
    """Law (2, 7) of label 0 or 1's response and the nearest image of that class to a noisy x."""
    law = torch.zeros(2, 7, dtype=torch.float64)
    x = max(-clip, min(clip, x))
    for j in range(2):
        members = [i for i in range(7) if SIDES[i] == j]
        places = [LINE[i].item() for i in members]
        edges = [-math.inf, *[(a + b) / 2 for a, b in itertools.pairwise(places)], math.inf]
        for i, (low, high) in zip(members, itertools.pairwise(edges), strict=True):
            law[j, i] = stats.norm.cdf(high, x, sigma) - stats.norm.cdf(low, x, sigma)
    return law * response_law(noise, 2)[0][:, None], law * response_law(noise, 2)[1][:, None]


@pytest.mark.parametrize("sigma", [1.0, 3.0])
@pytest.mark.parametrize("noise", [0.3, 0.9])
def test_a_noisy_query_costs_at_most_the_response_and_the_noise(noise, sigma):
    clip = 3.0
    here, _ = nearest_law(-5.0, noise, sigma, clip)  # label 0 with an image on one side,
    _, there = nearest_law(4.0, noise, sigma, clip)  # label 1 with one on the other
    for order in (1.5, 2.0, 8.0):
        response = epsilon_of(noise, 2, order=order)
        cost = renyi_divergence(here, there, order)
        assert response < cost <= response + query_cost(clip, sigma, order)
    released = randomized_response(
        torch.zeros(DRAWS, dtype=torch.long), noise, 2, generator=generator()
    )
    queries = privatised(torch.full((DRAWS, 1), -5.0), clip, sigma, generator=generator(1))
    shown = draw_near(released, queries, SIDES, LINE, 2, 1, generator=generator(2))
    assert agrees((released * 7 + shown).bincount(minlength=14), here.flatten())


def test_no_noise_of_a_query_and_no_finite_order_have_no_finite_cost():
    assert query_cost(1.0, 1.0, math.inf) == query_cost(1.0, 0.0, 2.0) == math.inf


# --- coins ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [SystemEntropy(), generator()], ids=["system", "seeded"])
def test_coins_are_uniform_and_normal(source):
    like = torch.zeros(50_000)
    u, x = random(like, source), normal(like, source)
    assert stats.kstest(u.numpy(), "uniform").pvalue > 1e-6
    assert stats.kstest(x.numpy(), "norm").pvalue > 1e-6
    assert (u >= 0).all()
    assert (u < 1).all()
    assert (u * 2**53 == (u * 2**53).floor()).all()


def test_the_systems_coins_use_53_bits_each(monkeypatch):
    words = b"".join((1 << k).to_bytes(8, sys.byteorder) for k in range(64))  # one bit in each
    monkeypatch.setattr("mmlib.label_dp.coins.os.urandom", lambda n: words.ljust(n, b"\0"))
    expected = [2.0 ** (k - 53) for k in range(53)] + [0.0] * 11
    assert random(torch.zeros(64), SystemEntropy()).tolist() == expected


def test_the_systems_coins_never_repeat():
    labels = torch.zeros(1000, dtype=torch.long)
    first, second = (
        randomized_response(labels, 1.0, 286, generator=SystemEntropy()) for _ in range(2)
    )
    assert not torch.equal(first, second)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: coupled_rr(LABELS, 1.5, 3, generator=generator()), "noise is 1.5; allowed"),
        (lambda: coupled_rr(LABELS, 0.5, 4, generator=generator()), "class 3 has 0 records"),
        (
            lambda: draw_near(SIDES, LINE, SIDES, LINE, 2, 0, generator=generator()),
            "neighbours is 0; allowed",
        ),
        (
            lambda: draw_near(SIDES, LINE[:, [0, 0]], SIDES, LINE, 2, 1, generator=generator()),
            r"pool_features has shape \(7, 1\); expected",
        ),
        (
            lambda: swap_images(LABELS, 0.5, 3, floor=0.5, generator=generator()),
            r"floor is 0.5; allowed: \[0.0, 0.0\]",
        ),
        (lambda: privatised(LINE, 0.0, 1.0, generator=generator()), "clip is 0.0; allowed"),
        (lambda: floor_epsilon(0.5, 3, 1.5, 1, 5), "floor is 1.5; allowed"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
