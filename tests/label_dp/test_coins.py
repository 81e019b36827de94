"""Coins are what they say, of the system and of a seed."""

import sys

import pytest
import torch
from scipy import stats

from mmlib.label_dp.coins import SystemEntropy, normal, random, uniform
from mmlib.label_dp.mechanisms.randomized_response import randomized_response

from .chances import generator


@pytest.mark.parametrize("source", [SystemEntropy(), generator()], ids=["system", "seeded"])
def test_coins_are_uniform_and_normal(source):
    like = torch.zeros(50_000)
    u, x = random(like, source), normal(like, source)
    assert stats.kstest(u.numpy(), "uniform").pvalue > 1e-6
    assert stats.kstest(x.numpy(), "norm").pvalue > 1e-6
    assert (u >= 0).all()
    assert (u < 1).all()
    assert (u * 2**53 == (u * 2**53).floor()).all()
    dice = uniform(6, like.long(), source).bincount(minlength=6)
    assert stats.chisquare(dice.numpy()).pvalue > 1e-6


def test_the_systems_coins_use_53_bits_each(monkeypatch):
    words = b"".join((1 << k).to_bytes(8, sys.byteorder) for k in range(64))  # one bit in each
    monkeypatch.setattr("mmlib.label_dp.coins.os.urandom", lambda n: words.ljust(n, b"\0"))
    expected = [2.0 ** (k - 53) for k in range(53)] + [0.0] * 11
    assert random(torch.zeros(64), SystemEntropy()).tolist() == expected


def test_normal_numbers_reach_as_far_as_53_bits_do(monkeypatch):
    u = torch.tensor([0.0, 0.25, 0.5, 0.75], dtype=torch.float64)
    monkeypatch.setattr("mmlib.label_dp.coins.random", lambda like, generator: u)
    far, middle = stats.norm.isf([2.0**-54, 0.25])
    assert normal(u, generator()).tolist() == pytest.approx([-far, -middle, far, middle])


def test_the_systems_coins_never_repeat():
    labels = torch.zeros(1000, dtype=torch.long)
    first, second = (
        randomized_response(labels, 1.0, 286, generator=SystemEntropy()) for _ in range(2)
    )
    assert not torch.equal(first, second)
