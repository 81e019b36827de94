"""A condition costs what its coins cost, swaps what it says, and the grid has every row once."""

import math
from dataclasses import replace

import pytest
import torch

from mmlib.label_dp.accounting import epsilon_of, keep_probability
from mmlib.label_dp.conditions import Condition, conditions, same_pairs
from mmlib.label_dp.ledger import Ledger
from mmlib.label_dp.mechanisms.double_rr import DoubleRR
from mmlib.label_dp.mechanisms.randomized_response import LabelRR, randomized_response
from mmlib.label_dp.mechanisms.swap_images import swap_images

from .chances import generator

K = 286
GRID = conditions(K, 5.0, grid=True)


def swapped(label, image, n_classes=4, **other):
    terms = {"noise_label": label, "noise_image": image, "pools": "records", "table": "stays"}
    return Condition("", DoubleRR(n_classes=n_classes, **{**terms, **other}))


def draw(row, labels, features, seed=0):
    near = {"features": features} if row.nearest else {}
    return Ledger(labels).release(row.terms, generator=generator(seed), **near)


def test_golden_noise_of_both_readings():
    for name, row in GRID.items():
        expected = {"population": 0.962372, "standard": 0.659878, "": 0.0}[row.reading]
        for noise in (row.noise_label, row.noise_image):
            assert noise in (0.0, pytest.approx(expected, abs=1e-6)), name
        if "; λ of " in row.title:
            assert ("two logs" in row.title) == (row.reading == "population"), name
            assert ("table moves" in row.title, "nearest" in row.title) == (row.moves, row.nearest)


def test_the_grid_is_the_product_and_has_each_row_once():
    contents = [
        (r.reading, r.noise_label > 0, r.noise_image > 0, r.nearest, r.moves)
        for name, r in GRID.items()
        if name != "released_pools"
    ]
    assert len(set(contents)) == len(contents) == 1 + 2 * (1 + 2 * 4)
    for reading in ("population", "standard"):
        assert (reading, True, False, False, False) in contents  # the label alone
        for label in (False, True):
            for near in (False, True):
                for moves in (False, True):
                    assert (reading, label, True, near, moves) in contents
    assert len({r.title for r in GRID.values()}) == len(GRID)


def test_the_grid_adds_to_the_core_and_changes_nothing_of_it():
    core = conditions(K, 5.0)
    assert core.items() <= GRID.items()
    assert conditions(K, 5.0, epsilons=(5.0,)) == core


def test_rows_at_other_epsilons_and_of_other_neighbours_are_what_their_names_say():
    rows = conditions(K, 5.0, epsilons=(2.5, 10.0), more_neighbours=(3,), grid=True)
    for e, end in ((2.5, ".eps2.5"), (5.0, ""), (10.0, ".eps10")):
        assert rows[f"label_rr{end}"].costs()["standard"] == pytest.approx(e)
        assert rows[f"double_rr{end}"].costs()["population"] == pytest.approx(e)
        assert rows[f"one_log{end}"].costs()["population"] == pytest.approx(2 * e)
    assert GRID.items() <= rows.items()  # also where 2.5 by one response is the noise of 5 by two
    assert [rows[name].terms.neighbours for name in ("nearest", "nearest.k3")] == [10, 3]


def test_costs_by_hand():
    one, both = GRID["label_rr"].costs(), GRID["double_rr"].costs()
    assert one == {
        "population": math.inf,
        "population, table too": math.inf,
        "population, as run": math.inf,
        "standard": pytest.approx(5.0),
        "standard, as run": pytest.approx(5.0),
    }
    assert both["population"] == pytest.approx(5.0)
    assert both["standard"] == pytest.approx(2.5)
    assert both["population, table too"] == both["standard, as run"] == math.inf
    assert GRID["with_table"].costs()["population, table too"] == pytest.approx(5.0)
    assert GRID["released_pools"].costs()["standard, as run"] == pytest.approx(2.5)
    assert GRID["one_log"].costs()["population"] == pytest.approx(10.0)
    assert GRID["nearest"].costs()["population"] == math.inf
    unequal = swapped(0.5, 0.9).costs()["population"]
    assert unequal == pytest.approx(epsilon_of(0.5, 4) + epsilon_of(0.9, 4))


def test_no_pool_of_the_records_keeps_the_population_bound():
    """Released labels sort them, but the images that turn up elsewhere are private."""
    assert {row.costs()["population, as run"] for row in GRID.values()} == {math.inf}
    assert GRID["released_pools"].costs()["population"] == pytest.approx(5.0)  # were they given
    given = swapped(0.5, 0.5, pools="given", divergence=0.0).costs()
    assert given["population, as run"] == given["population"] < math.inf
    assert given["population, table too"] == math.inf  # the row stays


@pytest.mark.parametrize("name", [n for n in GRID if n.startswith("image")] + ["none"])
def test_a_label_that_is_released_as_it_is_has_no_finite_epsilon(name):
    assert set(GRID[name].costs().values()) == {math.inf}


def test_a_release_carries_what_its_condition_says_that_it_costs():
    """The ledger and the table speak of the same terms; one release costs them once."""
    labels = torch.arange(5).repeat(40)
    for row in conditions(5, 3.0, neighbours=3, grid=True).values():
        release = draw(row, labels, torch.randn(200, 2, generator=generator(1)))
        assert release.total("standard").epsilon == row.costs()["standard, as run"]
        assert release.terms is row.terms
        assert release.teaching


def test_draws_are_the_plain_mechanisms_in_this_order():
    """What was recorded before conditions were releases stays what is drawn."""
    labels, features = torch.arange(5).repeat(40), torch.randn(200, 2, generator=generator(1))
    for name, row in conditions(5, 3.0, neighbours=3, grid=True).items():
        found, g = draw(row, labels, features, seed=7), generator(7)
        answers = randomized_response(labels, row.noise_label, 5, generator=g)
        near = {"features": features, "neighbours": 3} if row.nearest else {}
        pools = answers if name == "released_pools" else labels
        source = swap_images(pools, row.noise_image, 5, generator=g, **near)
        assert torch.equal(found.labels, answers), name
        assert torch.equal(found.shown(torch.arange(200)), source), name


def test_draws_as_often_as_it_says():
    labels = torch.arange(4).repeat(5_000)
    label_only = Condition("", LabelRR(n_classes=4, noise=0.6))
    for row in (swapped(0.6, 0.3), swapped(0.0, 0.3), label_only):
        found = draw(row, labels, None)
        kept = (found.labels == labels).double().mean().item()
        assert kept == pytest.approx(keep_probability(row.noise_label, 4), abs=0.015)
        shown = found.shown(torch.arange(len(labels)))
        stayed = (shown == torch.arange(len(labels))).double().mean().item()
        assert stayed == pytest.approx(1 - row.noise_image, abs=0.015)


def test_the_same_noise_and_coins_swap_the_same_images_whatever_the_label_does():
    labels, features = torch.arange(5).repeat(40), torch.randn(200, 2, generator=generator(1))
    shown = {
        name: draw(row, labels, features).shown(torch.arange(200))
        for name, row in conditions(5, 3.0, neighbours=3, grid=True).items()
    }
    assert torch.equal(shown["image.population"], shown["double_rr"])
    assert torch.equal(shown["image_nearest.standard"], shown["both_nearest.standard"])
    assert torch.equal(shown["label_rr"], shown["none"])
    assert not torch.equal(shown["nearest"], shown["double_rr"])
    assert not torch.equal(shown["one_log"], shown["double_rr"])


def test_nearest_draws_are_near():
    labels = torch.arange(2).repeat(100)
    features = torch.arange(200.0)[:, None]
    near, far = swapped(0.0, 1.0, 2, neighbours=2), swapped(0.0, 1.0, 2)
    gap = [(draw(r, labels, features).source - torch.arange(200)).abs() for r in (near, far)]
    assert gap[0].max() <= 4
    assert gap[1].double().mean() > 30


def test_pairs_are_the_same_only_if_images_and_rows_are():
    stays, moves = swapped(0.0, 0.5), swapped(0.0, 0.5, table="moves")
    labels = torch.arange(4).repeat(3)
    other = draw(stays, labels, None)
    own, untouched = replace(other, source=torch.arange(12)), replace(other, source=None)
    assert same_pairs(stays, own) == same_pairs(moves, own) == same_pairs(stays, untouched)
    assert same_pairs(stays, other) != same_pairs(moves, other)
    assert same_pairs(stays, own) != same_pairs(stays, other)


def test_wrong_readings_are_named():
    with pytest.raises(ValueError, match="reading is 'both'"):
        Condition("", LabelRR(n_classes=4, noise=0.5), "both")
