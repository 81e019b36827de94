"""Small worlds written down: the theorem's bound is reached, kept, or void, as derived."""

import math

import pytest
import torch

from mmlib.label_dp.accounting import epsilon_of
from mmlib.label_dp.exact import (
    approximate_divergence,
    class_images,
    double_rr_law,
    knn_draws,
    pairs_law,
    renyi_divergence,
    response_law,
)
from mmlib.label_dp.mechanisms.double_rr import DoubleRR
from mmlib.label_dp.mechanisms.redrawn_rr import RedrawnRR

ORDERS = [1.0, 1.5, 2.0, 4.0, 8.0, 32.0, math.inf]


def slow_law(images, noise):
    """Algorithm 1 followed step by step, over all its coins and draws."""
    n_classes, n = images.shape
    law = torch.zeros(n_classes, n_classes, n, dtype=torch.float64)
    for y in range(n_classes):
        for x in range(n):
            for label in range(n_classes):
                label_chance = noise / n_classes + (1 - noise) * (label == y)
                law[y, label, x] += images[y, x] * label_chance * (1 - noise)
                for drawn in range(n_classes):
                    for new in range(n):
                        chance = noise / n_classes * images[drawn, new]
                        law[y, label, new] += images[y, x] * label_chance * chance
    return law


@pytest.mark.parametrize(("n_classes", "support", "noise"), [(4, 3, 0.5), (5, 2, 0.9), (3, 1, 0.2)])
def test_classes_without_common_images_reach_twice_the_cost_of_one_response(
    n_classes, support, noise
):
    images = class_images(torch.arange(n_classes).repeat_interleave(support), n_classes)
    law = double_rr_law(images, noise)
    torch.testing.assert_close(law, slow_law(images, noise), rtol=0, atol=1e-15)
    for order in ORDERS:
        bound = epsilon_of(noise, n_classes, responses=2, order=order)
        for y in range(1, n_classes):
            assert renyi_divergence(law[0], law[y], order) == pytest.approx(bound, abs=1e-13)


def test_golden_costs_of_the_smallest_of_these_worlds():
    law = double_rr_law(class_images(torch.arange(4).repeat_interleave(3), 4), 0.5)
    costs = [round(renyi_divergence(law[0], law[1], order), 4) for order in ORDERS]
    assert costs == [1.6094, 2.1306, 2.4476, 2.9077, 3.0846, 3.1886, 3.2189]


def test_a_delta_cuts_off_the_worst_output_and_none_leaves_the_pure_epsilon():
    """Of two responses, of label and image: both name the own class, or one does, or none."""
    k, noise = 5, 0.8
    law = response_law(noise, k)
    p, q = (torch.outer(row, row) for row in law[:2])
    keep, other = 1 - noise + noise / k, noise / k
    pure = epsilon_of(noise, k, responses=2)
    assert approximate_divergence(p, q, 0.0) == pytest.approx(pure)
    for epsilon in (0.3 * pure, 0.8 * pure):
        factor = math.exp(epsilon)
        gaps = [(keep**2 - factor * other**2, 1), (keep * other - factor * other**2, 2 * (k - 2))]
        delta = sum(times * max(0.0, gap) for gap, times in gaps)
        assert approximate_divergence(p, q, delta) == pytest.approx(epsilon, abs=1e-9)
    apart = (p - q).clamp(min=0).sum().item()
    assert approximate_divergence(p, q, 0.9 * apart) > 0
    assert approximate_divergence(p, q, 1.1 * apart) == 0
    line = torch.tensor([0.5, 0.4, 0.1]), torch.tensor([0.25, 0.75, 0.0])
    assert approximate_divergence(*line, 0.0) == approximate_divergence(*line, 0.05) == math.inf
    assert approximate_divergence(*line, 0.2) == pytest.approx(math.log(0.4 / 0.25))
    assert approximate_divergence(*line, 0.4) == approximate_divergence(*line, 1.0) == 0
    for delta in (1e-300, 1e-18):  # less than what the sum over outputs is rounded by
        assert approximate_divergence(p, q, delta) == pytest.approx(pure)


def test_a_class_without_images_and_no_neighbours_are_named():
    labels, features = torch.tensor([0, 2]), torch.zeros(2, 1)
    for call in (lambda: class_images(labels, 3), lambda: knn_draws(labels, features, 1, 3)):
        with pytest.raises(ValueError, match="class 1 has 0 records"):
            call()
    with pytest.raises(ValueError, match="neighbours is 0; allowed"):
        knn_draws(labels // 2, features, 0, 2)


@pytest.mark.parametrize("seed", range(20))
def test_common_images_only_help(seed):
    g = torch.Generator().manual_seed(seed)
    images = torch.rand(4, 6, generator=g, dtype=torch.float64)
    images /= images.sum(1, keepdim=True)
    law = double_rr_law(images, 0.5)
    torch.testing.assert_close(law.sum((1, 2)), torch.ones(4, dtype=torch.float64))
    for order in ORDERS:
        cost = renyi_divergence(law[0], law[1], order)
        assert epsilon_of(0.5, 4, order=order) <= cost  # the label half alone
        assert cost < epsilon_of(0.5, 4, responses=2, order=order)


def test_a_draw_among_the_nearest_has_no_finite_epsilon_until_it_takes_the_whole_class():
    features = torch.tensor([0.0, 1, 2, 3, 10, 11, 12, 13])[:, None]
    labels = torch.arange(2).repeat_interleave(4)
    images = class_images(labels, 2)

    def cost(neighbours):
        law = double_rr_law(images, 0.5, knn_draws(labels, features, neighbours, 2))
        return renyi_divergence(law[0], law[1], math.inf)

    assert [cost(k) for k in (1, 2, 3)] == [math.inf] * 3
    assert cost(4) == cost(100) == pytest.approx(2 * math.log(3), rel=1e-12)  # 2.197


def test_random_worlds_have_no_finite_epsilon_either():
    infinite = 0
    for seed in range(100):
        g = torch.Generator().manual_seed(seed)
        labels = torch.arange(3).repeat_interleave(5)
        features = torch.randn(15, 2, generator=g) + 2 * labels[:, None]
        law = double_rr_law(class_images(labels, 3), 0.9, knn_draws(labels, features, 2, 3))
        pairs = [(a, b) for a in range(3) for b in range(3) if a != b]
        infinite += max(renyi_divergence(law[a], law[b], math.inf) for a, b in pairs) == math.inf
    assert infinite == 100


def test_draws_among_the_nearest_are_uniform_over_the_nearest():
    features = torch.tensor([0.0, 1, 2, 10, 11])[:, None]
    draws = knn_draws(torch.tensor([0, 0, 0, 1, 1]), features, 2, 2)
    assert draws[0, 4].tolist() == [0, 0.5, 0.5, 0, 0]
    assert draws[0, 0].tolist() == [0.5, 0.5, 0, 0, 0]  # itself among them
    assert draws[1, 0].tolist() == [0, 0, 0, 0.5, 0.5]


def test_divergence_between_plain_distributions():
    p, q = torch.tensor([0.5, 0.5, 0.0]), torch.tensor([0.25, 0.5, 0.25])
    assert renyi_divergence(p, q, 1) == pytest.approx(0.5 * math.log(2))
    assert renyi_divergence(p, q, 2) == pytest.approx(math.log(1.5))
    assert renyi_divergence(p, q, math.inf) == pytest.approx(math.log(2))
    assert renyi_divergence(q, p, 1) == renyi_divergence(q, p, 2) == math.inf
    assert renyi_divergence(p, p, 3) == 0
    assert renyi_divergence(p, q, 1 + 1e-7) == pytest.approx(0.5 * math.log(2), abs=1e-6)
    with pytest.raises(ValueError, match=r"order is 0.5; allowed: \[1.0"):
        renyi_divergence(p, q, 0.5)


CLASSES = torch.tensor([0, 0, 1, 1, 1])
NOISY = {"n_classes": 2, "noise_label": 0.1, "noise_image": 0.6}


def slow_pairs_law(joint, terms):
    """Both mechanisms step by step: every record, its coin, every class, every record drawn."""
    law, n_classes = torch.zeros_like(joint), terms.n_classes
    mass = [joint[y == CLASSES].sum() for y in range(n_classes)]
    redrawn = isinstance(terms, RedrawnRR)
    for a in range(5):
        for b in range(3):
            keeps = (1 - terms.noise_image) * joint[a, b]
            if not redrawn:
                law[a, b] += keeps
            for new in range(5):
                for its_row in range(3):
                    y = CLASSES[new]
                    chance = joint[a, b] * terms.noise_image / n_classes
                    chance += keeps * (redrawn and y == CLASSES[a])
                    row = its_row if terms.table == "moves" else b
                    law[new, row] += chance * joint[new, its_row] / mass[y]
    return law


@pytest.mark.parametrize(
    "terms",
    [
        DoubleRR(**NOISY, pools="records", table="stays"),
        DoubleRR(**NOISY, pools="records", table="moves"),
        RedrawnRR(**NOISY, table="stays"),
    ],
    ids=["double_rr", "moves", "redrawn"],
)
def test_pairs_after_a_release_are_those_of_its_steps(terms):
    joint = torch.rand(5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    joint /= joint.sum()
    torch.testing.assert_close(pairs_law(joint, CLASSES, terms), slow_pairs_law(joint, terms))


def test_of_equal_classes_it_does_not_matter_which_label_is_private():
    """A swapped image is any image, whatever names the class that it is drawn from."""
    joint = torch.eye(6, dtype=torch.float64) / 6
    terms = DoubleRR(n_classes=2, noise_label=0.5, noise_image=0.5, pools="records", table="stays")
    one, other = torch.arange(6) // 3, torch.arange(6) % 2
    torch.testing.assert_close(pairs_law(joint, one, terms), pairs_law(joint, other, terms))
    torch.testing.assert_close(pairs_law(joint, one, terms), 0.5 * joint + 0.5 / 36)
