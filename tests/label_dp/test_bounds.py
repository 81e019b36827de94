"""Bounds on costs hold in worlds small enough to write down, and some come close."""

import itertools
import math

import pytest
import torch

from mmlib.label_dp.accounting import epsilon_of
from mmlib.label_dp.bounds import floor_epsilon, mismatch_cost, query_cost
from mmlib.label_dp.exact import class_images, double_rr_law, knn_draws, renyi_divergence

from .chances import generator, worst


def random_images(n_classes, n, g):
    images = torch.rand(n_classes, n, generator=g, dtype=torch.float64) ** 3 + 1e-3
    return images / images.sum(1, keepdim=True)


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
    near_one = [mismatch_cost(0.3, 5, 0.7, order=order) for order in (1.0, 1 + 1e-6)]
    assert near_one[0] == pytest.approx(near_one[1], rel=1e-5)
    assert mismatch_cost(0.0, 5, 0.0) == mismatch_cost(0.5, 5, math.inf, order=2) == math.inf


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
    image = floor_epsilon(0.5, 2, 0.2, 1, 4, noise_label=1.0)  # a label that tells nothing
    assert image == pytest.approx(math.log(27))


def test_no_noise_of_a_query_and_no_finite_order_have_no_finite_cost():
    assert query_cost(1.0, 1.0, math.inf) == query_cost(1.0, 0.0, 2.0) == math.inf
    assert query_cost(1e-200, 1.0, math.inf) == math.inf  # of no order times infinity


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: floor_epsilon(0.5, 3, 1.5, 1, 5), "floor is 1.5; allowed"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
