"""A ledger draws once unless asked again, by coins of the system, and counts whatever was seen."""

import dataclasses
import math

import pytest
import torch

from mmlib.label_dp.accounting import epsilon_of
from mmlib.label_dp.ledger import Ledger
from mmlib.label_dp.mechanisms.anchored import Anchored
from mmlib.label_dp.mechanisms.coupled_rr import CoupledRR
from mmlib.label_dp.mechanisms.double_rr import DoubleRR
from mmlib.label_dp.mechanisms.laplace import Laplace
from mmlib.label_dp.mechanisms.noisy_query import NoisyQuery
from mmlib.label_dp.mechanisms.prior_rr import PriorRR
from mmlib.label_dp.mechanisms.randomized_response import LabelRR
from mmlib.label_dp.mechanisms.redrawn_rr import RedrawnRR
from mmlib.label_dp.mechanisms.two_stage_rr import TwoStageRR
from mmlib.label_dp.release import TEACHING
from mmlib.label_dp.terms import NOTIONS

from .chances import labels_of


def test_a_second_release_must_be_asked_for_and_adds():
    ledger = Ledger(labels_of())
    terms = LabelRR(n_classes=7, noise=0.5)
    first = ledger.release(terms)
    with pytest.raises(ValueError, match="released already, 1 time; to pay"):
        ledger.release(terms)
    assert ledger.total("standard") == first.total("standard")  # nothing drawn, nothing paid
    second = ledger.release(dataclasses.replace(terms, noise=0.9), again=True)
    third = ledger.release(terms, again=True)
    for order in (1.0, 2.0, math.inf):
        costs = [epsilon_of(noise, 7, order=order) for noise in (0.5, 0.9, 0.5)]
        for release, n in ((first, 1), (second, 2), (third, 3)):
            assert release.total("standard", order=order).epsilon == pytest.approx(sum(costs[:n]))
            assert release.cost("standard", order).epsilon == pytest.approx(costs[n - 1])
    assert not torch.equal(first.labels, third.labels)
    assert third.earlier == (first.terms, second.terms)
    assert ledger.total("standard") == third.total("standard")
    assert ledger.total("population").epsilon == math.inf


@pytest.mark.parametrize("spent", [{}, {"order": 2.0}, {"delta": 1e-5}])
def test_what_nobody_has_seen_has_cost_nothing(spent):
    for notion in NOTIONS:
        assert Ledger(labels_of()).total(notion, **spent).epsilon == 0
    with pytest.raises(ValueError, match="notion is 'local'"):
        Ledger(labels_of()).total("local")


def test_what_a_failing_second_stage_saw_of_the_first_is_paid_for():
    def curious(released):
        seen.append(released)
        raise RuntimeError("after a look")

    seen, ledger, terms = [], Ledger(labels_of()), TwoStageRR(n_classes=7, epsilon=1.0)
    with pytest.raises(RuntimeError, match="after a look"):
        ledger.release(terms, first=torch.arange(1000) < 500, predict=curious)
    assert len(seen[0]) == 500
    assert ledger.total("standard").epsilon == 1.0
    with pytest.raises(ValueError, match="released already, 1 time"):
        ledger.release(terms, first=torch.arange(1000) < 500, predict=curious)


def test_coins_of_the_system_or_of_a_seed_which_says_it_is_no_release():
    terms = LabelRR(n_classes=7, noise=0.8)

    def draw(generator=None):
        return Ledger(labels_of()).release(terms, generator=generator)

    seeded = [draw(torch.Generator().manual_seed(3)) for _ in range(2)]
    real = [draw() for _ in range(2)]
    assert torch.equal(seeded[0].labels, seeded[1].labels)
    assert not torch.equal(real[0].labels, real[1].labels)
    assert [r.teaching for r in seeded + real] == [True, True, False, False]
    assert seeded[0].card()["teaching"] == TEACHING
    kept = (real[0].labels == labels_of()).double().mean().item()
    assert kept == pytest.approx(0.2 + 0.8 / 7, abs=0.07)


def test_labels_changed_outside_change_no_release():
    labels = labels_of()
    ledger = Ledger(labels)
    labels.zero_()
    assert ledger.release(LabelRR(n_classes=7, noise=1e-9)).labels.unique().numel() == 7


def test_every_mechanism_draws_through_the_ledger():
    g = torch.Generator().manual_seed(0)
    labels, features = labels_of(300), torch.randn(300, 4, generator=g)
    pool, places = labels_of(80, seed=1), torch.randn(80, 4, generator=g)
    public = {"pool_labels": pool, "pool_features": places}
    two = {"n_classes": 7, "noise_label": 0.5, "noise_image": 0.5}
    knn = {"neighbours": 3, "largest_pool": 80}
    for terms, options in (
        (LabelRR(n_classes=7, noise=0.5), {}),
        (DoubleRR(**two, pools="records"), {}),
        (DoubleRR(**two, pools="released"), {}),
        (DoubleRR(**two, pools="given"), {"pool_labels": pool}),
        (DoubleRR(**two, pools="given", floor=0.3, **knn), {"features": features, **public}),
        (CoupledRR(n_classes=7, noise=0.5), {"pool_labels": pool}),
        (RedrawnRR(**two), {"pool_labels": pool}),
        (
            Anchored(n_classes=7, noise=0.5, neighbours=2),
            {"anchors": torch.randn(7, 4, generator=g), **public},
        ),
        (
            NoisyQuery(n_classes=7, noise=0.5, neighbours=2, clip=1.0, sigma=1.0),
            {"features": features, **public},
        ),
        (PriorRR(n_classes=7, epsilon=2.0), {"prior": torch.ones(7) / 7}),
        (
            TwoStageRR(n_classes=7, epsilon=2.0),
            {"first": torch.arange(300) < 200, "predict": lambda r: torch.ones(100, 7) / 7},
        ),
        (Laplace(n_classes=7, epsilon=2.0), {}),
    ):
        release = Ledger(labels).release(terms, generator=g, **options)
        assert len(release.labels) == 300
        assert release.labels.shape[1:] == ((7,) if isinstance(terms, Laplace) else ())
        pooled = "pool_labels" in options
        if release.source is None:
            assert not pooled
            continue
        assert release.source.min() >= 0
        assert release.source.max() < 300 + 80 * pooled
        own = release.source < 300
        assert torch.equal(release.source[own], torch.arange(300)[own]) == pooled
        if pooled:
            shown = release.shown(features, places)
            assert torch.equal(shown[own], features[own])
            assert torch.equal(shown[~own], places[release.source[~own] - 300])
            classes = pool[release.source[~own] - 300]
            if isinstance(terms, DoubleRR | RedrawnRR):  # every class comes, whatever is released
                assert classes.bincount(minlength=7).min() > 5
            else:
                assert torch.equal(classes, release.labels[~own])
        else:
            assert torch.equal(release.shown(features), features[release.source])
