"""A condition costs what its coins cost, swaps what it says, and the grid has every row once."""

import math

import pytest
import torch

from mmlib.label_dp.accounting import epsilon_of, keep_probability
from mmlib.label_dp.conditions import Condition, conditions, same_pairs

K = 286
GRID = conditions(K, 5.0, grid=True)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_golden_noise_of_both_readings():
    for name, row in GRID.items():
        expected = {"population": 0.962372, "standard": 0.659878, "": 0.0}[row.reading]
        for noise in (row.noise_label, row.noise_image):
            assert noise in (0.0, pytest.approx(expected, abs=1e-6)), name


def test_the_grid_is_the_product_and_has_each_row_once():
    contents = [
        (r.reading, r.noise_label > 0, r.noise_image > 0, r.neighbours, r.moves)
        for r in GRID.values()
        if r.pools == "true"
    ]
    assert len(set(contents)) == len(contents) == 1 + 2 * (1 + 2 * 4)
    for reading in ("population", "standard"):
        assert (reading, True, False, None, False) in contents  # the label alone
        for label in (False, True):
            for k in (None, 10):
                for moves in (False, True):
                    assert (reading, label, True, k, moves) in contents
    assert len({r.title for r in GRID.values()}) == len(GRID)


def test_the_grid_adds_to_the_core_and_changes_nothing_of_it():
    core = conditions(K, 5.0)
    assert core.items() <= GRID.items()
    assert conditions(K, 5.0, epsilons=(5.0,)) == core


def test_costs_by_hand():
    one, both = GRID["label_rr"].costs(K), GRID["double_rr"].costs(K)
    assert one == {
        "population": math.inf,
        "population, table too": math.inf,
        "standard": pytest.approx(5.0),
        "standard, as run": pytest.approx(5.0),
    }
    assert both["population"] == pytest.approx(5.0)
    assert both["standard"] == pytest.approx(2.5)
    assert both["population, table too"] == both["standard, as run"] == math.inf
    assert GRID["with_table"].costs(K)["population, table too"] == pytest.approx(5.0)
    assert GRID["released_pools"].costs(K)["standard, as run"] == pytest.approx(2.5)
    assert GRID["one_log"].costs(K)["population"] == pytest.approx(10.0)
    assert GRID["nearest"].costs(K)["population"] == math.inf
    unequal = Condition("", 0.5, 0.9).costs(4)["population"]
    assert unequal == pytest.approx(epsilon_of(0.5, 4) + epsilon_of(0.9, 4))


@pytest.mark.parametrize("name", [n for n in GRID if n.startswith("image")] + ["none"])
def test_a_label_that_is_released_as_it_is_has_no_finite_epsilon(name):
    assert set(GRID[name].costs(K).values()) == {math.inf}


def test_draws_as_often_as_it_says():
    labels = torch.arange(4).repeat(5_000)
    features = torch.randn(len(labels), 2, generator=generator(1))
    for row in (Condition("", 0.6, 0.3), Condition("", 0.0, 0.3), Condition("", 0.6, 0.0)):
        released, source = row.draw(labels, 4, features=features, generator=generator())
        kept = (released == labels).double().mean().item()
        assert kept == pytest.approx(keep_probability(row.noise_label, 4), abs=0.015)
        stayed = (source == torch.arange(len(labels))).double().mean().item()
        assert stayed == pytest.approx(1 - row.noise_image, abs=0.015)


def test_the_same_noise_and_coins_swap_the_same_images_whatever_the_label_does():
    labels, features = torch.arange(5).repeat(40), torch.randn(200, 2, generator=generator(1))
    draws = {
        name: row.draw(labels, 5, features=features, generator=generator())[1]
        for name, row in conditions(5, 3.0, neighbours=3, grid=True).items()
    }
    assert torch.equal(draws["image.population"], draws["double_rr"])
    assert torch.equal(draws["image_nearest.standard"], draws["both_nearest.standard"])
    assert torch.equal(draws["label_rr"], draws["none"])
    assert not torch.equal(draws["nearest"], draws["double_rr"])
    assert not torch.equal(draws["one_log"], draws["double_rr"])


def test_nearest_draws_are_near():
    labels = torch.arange(2).repeat(100)
    features = torch.arange(200.0)[:, None]
    near, far = Condition("", 0.0, 1.0, neighbours=2), Condition("", 0.0, 1.0)
    gap = [
        (row.draw(labels, 2, features=features, generator=generator())[1] - torch.arange(200)).abs()
        for row in (near, far)
    ]
    assert gap[0].max() <= 4
    assert gap[1].double().mean() > 30


def test_pairs_are_the_same_only_if_images_and_rows_are():
    stays, moves = Condition("", noise_image=0.5), Condition("", noise_image=0.5, moves=True)
    own, other = torch.arange(4), torch.tensor([1, 0, 2, 3])
    assert same_pairs(stays, own) == same_pairs(moves, own)  # nothing moved
    assert same_pairs(stays, other) != same_pairs(moves, other)
    assert same_pairs(stays, own) != same_pairs(stays, other)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise_label": 1.5}, "noise_label is 1.5"),
        ({"pools": "public"}, "pools is 'public'; allowed: 'true', 'released'"),
        ({"reading": "both"}, "reading is 'both'"),
        ({"neighbours": 0}, "neighbours is 0"),
    ],
)
def test_wrong_conditions_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        Condition("", **options)
