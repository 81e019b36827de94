"""What terms draw costs what they say: each object's own draw, audited against its own cost."""

import pytest
import torch

from mmlib.label_dp.audit import audit
from mmlib.label_dp.mechanisms.anchored import Anchored
from mmlib.label_dp.mechanisms.coupled_rr import CoupledRR
from mmlib.label_dp.mechanisms.double_rr import DoubleRR
from mmlib.label_dp.mechanisms.laplace import Laplace
from mmlib.label_dp.mechanisms.noisy_query import NoisyQuery
from mmlib.label_dp.mechanisms.prior_rr import PriorRR
from mmlib.label_dp.mechanisms.randomized_response import LabelRR
from mmlib.label_dp.mechanisms.redrawn_rr import RedrawnRR
from mmlib.label_dp.mechanisms.two_stage_rr import TwoStageRR

from .chances import generator, labels_of

K, N = 3, 6  # the world: six images on a line, two of each class, which are the pools, too
POOL = torch.arange(K).repeat_interleave(2)
LINE = torch.arange(float(N))[:, None]
GIVEN = {"pool_labels": POOL}
PLACES = {**GIVEN, "pool_features": LINE}
COINS = {"n_classes": K, "noise_label": 0.5, "noise_image": 0.8, "divergence": 0.0}
NEAR = {"n_classes": K, "noise": 0.5, "neighbours": 1}
ANCHORS = {"anchors": LINE[[0, 2, 5]], **PLACES}
DOUBLE = DoubleRR(**COINS, pools="given")
REDRAWN = RedrawnRR(n_classes=K, noise_label=0.5, noise_image=0.8)
FLOOR = DoubleRR(**COINS, pools="given", neighbours=1, floor=0.5, largest_pool=2)
PRIOR = {"prior": torch.tensor([0.5, 0.4, 0.1])}


def found(mechanism, n_outcomes):
    g = generator(3)
    return audit(mechanism, range(2), n_outcomes, draws=200_000, confidence=0.99, generator=g)


@pytest.mark.parametrize(
    ("terms", "public", "notion", "loose"),
    [
        (LabelRR(n_classes=K, noise=0.5), {}, "standard", 0.05),
        (PriorRR(n_classes=K, epsilon=1.0), PRIOR, "standard", 0.05),
        (DOUBLE, GIVEN, "standard", 0.1),
        (DOUBLE, GIVEN, "population", 0.1),
        (FLOOR, PLACES, "standard", 0.1),
        (FLOOR, PLACES, "population", 0.5),  # its bound is for any world
        (CoupledRR(n_classes=K, noise=0.5, divergence=0.0), GIVEN, "population", 0.05),
        (REDRAWN, GIVEN, "standard", 0.1),
        (REDRAWN, GIVEN, "population", 0.1),
        (Anchored(**NEAR), ANCHORS, "standard", 0.05),
        (Anchored(**NEAR), ANCHORS, "population", 0.05),
        (NoisyQuery(**NEAR, clip=2.0, sigma=1.0), PLACES, "standard", 0.1),
    ],
    ids=lambda x: x if isinstance(x, str) else type(x).__name__,
)
def test_what_is_drawn_costs_what_is_said_and_not_much_less(terms, public, notion, loose):
    looks = terms is FLOOR or isinstance(terms, NoisyQuery)

    def mechanism(label, n, g):
        any_of_class = 2 * label + torch.randint(2, (n,), generator=g)
        own = any_of_class if notion == "population" else torch.full((n,), 3)  # known, whatever y
        sees = {"features": LINE[own]} if looks else {}
        released, source = terms.draw(torch.full((n,), label), g, **public, **sees)
        shown = own if source is None else torch.cat([own, torch.arange(N)])[source]
        return released * N + shown

    claim = terms.cost(notion).epsilon
    assert claim - loose < found(mechanism, K * N) <= claim


@pytest.mark.parametrize("stage", [0, 1])
def test_each_stage_of_two_costs_what_is_said(stage):
    terms = TwoStageRR(n_classes=K, epsilon=1.0)

    def mechanism(label, n, g):
        labels, first = torch.full((2 * n,), label), torch.arange(2 * n) < n
        labels[first if stage else ~first] = 0  # of other people

        def predict(released):
            return PRIOR["prior"].expand(n, K)

        released, _ = terms.draw(labels, g, first=first, predict=predict)
        return released[n:] if stage else released[:n]

    assert 0.95 < found(mechanism, K) <= 1.0


def test_laplace_noise_costs_what_is_said():
    """The event that tells most: one number above 1 and the other below 0."""
    terms = Laplace(n_classes=2, epsilon=1.0)

    def mechanism(label, n, g):
        noisy, _ = terms.draw(torch.full((n,), label), g)
        return ((noisy[:, 0] >= 1) & (noisy[:, 1] <= 0)).long()

    assert 0.9 < found(mechanism, 2) <= 1.0


@pytest.mark.parametrize("neighbours", [None, 2])
def test_pools_of_released_labels_follow_from_these_labels(neighbours):
    """Labels that are all noise: with the same coins everything comes out whatever they were."""
    terms = DoubleRR(
        n_classes=7, noise_label=1.0, noise_image=0.8, pools="released", neighbours=neighbours
    )
    sees = {"features": torch.randn(200, 3, generator=generator())} if neighbours else {}
    drawn = [terms.draw(labels_of(200, seed=seed), generator(5), **sees) for seed in (1, 2)]
    for one, other in zip(*drawn, strict=True):
        assert torch.equal(one, other)
    assert (drawn[0][1] != torch.arange(200)).double().mean() > 0.6
