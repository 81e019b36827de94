from statistics import fmean, stdev

import pytest
import torch

from mmlib.evaluate.retrieval import random_retrieval
from mmlib.mem.scores import (
    alignment,
    headroom,
    protection_left,
    rank_ratio,
    safest,
    weakest,
    worse_headroom,
)


def test_protection_left_is_0_as_clean_1_as_guessing_and_a_half_between():
    guessing = random_retrieval(200, 5)
    clean = {"median_rank.i2t": 8.0, "median_rank.t2i": 4.0}
    assert protection_left(clean, clean, guessing) == 0
    assert protection_left(guessing, clean, guessing) == pytest.approx(1)
    half = {key: (clean[key] * guessing[key]) ** 0.5 for key in clean}
    assert protection_left(half, clean, guessing) == pytest.approx(0.5)
    one_way = {**clean, "median_rank.t2i": guessing["median_rank.t2i"]}
    assert protection_left(one_way, clean, guessing) == pytest.approx(0.5)
    assert protection_left({k: v / 2 for k, v in clean.items()}, clean, guessing) < 0
    no_room = dict.fromkeys(clean, 3.0)  # guessing is better than clean training
    assert protection_left(half, clean, no_room) == 0


def test_headroom_is_the_clean_rank_over_guessings_in_each_direction():
    guessing = random_retrieval(100, 5)
    clean = {
        f"median_rank.{d}": guessing[f"median_rank.{d}"] / k for d, k in (("i2t", 4), ("t2i", 2))
    }
    assert headroom(clean, guessing) == {"i2t": 0.25, "t2i": 0.5}


def test_the_rank_ratio_is_over_clean_training_in_both_directions():
    clean = {"median_rank.i2t": 8.0, "median_rank.t2i": 2.0}
    assert rank_ratio(clean, clean) == 1
    result = {"median_rank.i2t": 16.0, "median_rank.t2i": 9.0}
    assert rank_ratio(result, clean) == 3
    assert rank_ratio(clean, result) == pytest.approx(1 / 3)


def test_the_owner_chooses_by_the_worst_case_and_not_by_the_mean():
    left = {
        "fragile": {"none": 1.0, "drop": 0.9, "crop": 0.1},
        "steady": {"none": 0.4, "drop": 0.3, "crop": 0.2},
        "also steady": {"none": 0.2, "drop": 0.4, "crop": 0.4},
    }
    assert safest(left) == "steady"
    assert [weakest(of) for of in left.values()] == ["crop", "crop", "none"]


def test_recorded_headroom_is_the_mean_of_the_worse_direction():
    runs = [{"headroom.i2t": a, "headroom.t2i": b} for a, b in ((0.1, 0.3), (0.6, 0.3), (0.1, 0.3))]
    assert worse_headroom(runs) == pytest.approx(0.3)


def test_alignment_is_of_own_captions_against_others():
    g = torch.Generator().manual_seed(0)
    z, texts = (torch.randn(6, 4, generator=g) for _ in range(2))
    cosines = [[torch.cosine_similarity(a, b, dim=0).item() for b in texts] for a in z]
    own = [cosines[k][k] for k in range(6)]
    others = [cosines[i][k] for i in range(6) for k in range(6) if i != k]
    expected = (fmean(own) - fmean(others)) / stdev(others)
    assert alignment(z, texts) == pytest.approx(expected, rel=1e-4)
    assert alignment(3 * z, texts) == pytest.approx(expected, rel=1e-4)
