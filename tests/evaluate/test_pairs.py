"""Scores of pairs, their intervals, and the choice on the validation pairs."""

import math
from dataclasses import replace

import pandas as pd
import pytest
import torch
from sklearn import metrics

from mmlib.data.trifeature import Pairs
from mmlib.evaluate.bootstrap import bootstrap
from mmlib.evaluate.pairs import MEASURES, Answers, averaged_parts, choose, redrawn


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def pairs():
    """Pairs of 20 images of 5 combinations, with any labels."""
    sides = torch.randint(20, (2, 120), generator=seeded())
    labels = {
        task: torch.randint(classes, (120,), generator=seeded(seed))
        for seed, (task, classes) in enumerate({"R": 2, "U1": 3, "U2": 3, "S": 2}.items())
    }
    return Pairs(*sides, labels, combinations=torch.arange(20) % 5)


def answers(pairs, seed, tasks=("R", "U1", "U2", "S"), lean=0.0):
    """Random scores, which lean to the labels."""
    draw = seeded(seed)
    return Answers(
        pairs,
        {
            task: torch.randn(len(pairs), int(pairs.labels[task].max()) + 1, generator=draw)
            + lean * torch.nn.functional.one_hot(pairs.labels[task])
            for task in tasks
        },
    )


def test_measures_are_scikit_learns_averaged_over_their_tasks(pairs):
    told, scores = answers(pairs, 0), {}
    places = torch.arange(0, len(pairs), 2)
    for task, labels in pairs.labels.items():
        said = told.logits[task][places].argmax(1)
        scores[task] = 100 * metrics.balanced_accuracy_score(labels[places], said)
    leaning = told.logits["S"][:, 1] - told.logits["S"][:, 0]
    expected = {
        "redundancy": scores["R"], "uniqueness1": scores["U1"], "uniqueness2": scores["U2"],
        "uniqueness": (scores["U1"] + scores["U2"]) / 2, "synergy": scores["S"],
        "synergy_auc": 100 * metrics.roc_auc_score(pairs.labels["S"][places], leaning[places]),
    }  # fmt: skip
    assert {m: told.score(m, places) for m in MEASURES} == pytest.approx(expected)
    assert len(set(expected.values())) == len(expected)
    positive = pairs.labels["S"].nonzero()[:, 0]
    assert math.isnan(told.score("synergy_auc", positive))
    assert told.score("synergy", positive) >= 0
    assert math.isnan(told.score("synergy", positive[:0]))
    with pytest.raises(ValueError, match="measure is 'S'"):
        told.score("S")


def test_of_a_task_that_both_answer_the_second_answers(pairs):
    free, follow = answers(pairs, 0), answers(pairs, 1, ("S",))
    merged = free | follow
    assert merged.score("redundancy") == free.score("redundancy")
    assert merged.score("synergy") == follow.score("synergy") != free.score("synergy")
    assert set(free.logits) == {"R", "U1", "U2", "S"}


def test_intervals_and_differences_draw_combinations_the_same_for_both(pairs):
    sides = [pairs.first, pairs.second]
    units = {"combination": [side % 5 for side in sides], "image": sides, "pair": []}
    one, other = answers(pairs, 0, lean=0.5), answers(pairs, 1)
    for by, drawn in units.items():
        assert one.interval("synergy_auc", repeats=60, seed=3, by=by) == bootstrap(
            lambda k: one.score("synergy_auc", k),
            len(pairs), repeats=60, generator=seeded(3), units=drawn,
        )  # fmt: skip
    unasked = one.interval("synergy_auc", repeats=60, seed=3)
    assert unasked == one.interval("synergy_auc", repeats=60, seed=3, by="combination")
    with pytest.raises(ValueError, match="by is 'images'; allowed: 'combination', 'image', 'pair'"):
        one.interval("synergy_auc", repeats=60, seed=3, by="images")
    gap, around = one.above(other, "synergy_auc", repeats=60, seed=3)
    assert gap == one.score("synergy_auc") - other.score("synergy_auc") > 0
    assert around == bootstrap(
        lambda k: one.score("synergy_auc", k) - other.score("synergy_auc", k),
        len(pairs), generator=seeded(3), units=units["combination"], repeats=60,
    )  # fmt: skip
    assert len(pairs) == redrawn(pairs, 60, 3)["n"]


def test_pairs_of_hard_combinations_make_an_interval_wide_that_draws_these():
    """Half of the combinations are answered wrongly, with all of their many images."""
    images, combinations = torch.arange(80), torch.arange(80) % 8
    labels = images // 8 % 2
    pairs = Pairs(images, images, {"S": labels}, combinations)
    said = torch.where(combinations < 4, labels, 1 - labels)
    told = Answers(pairs, {"S": torch.nn.functional.one_hot(said).double()})
    spread = {
        by: told.interval("synergy", repeats=200, seed=0, by=by).deviation
        for by in ("combination", "image", "pair")
    }
    assert spread["combination"] > 2 * max(spread["image"], spread["pair"])


def test_scores_of_other_pairs_are_compared_over_the_combinations_of_both(pairs):
    few = replace(
        pairs, first=pairs.first[:40], second=pairs.second[:40],
        labels={"S": pairs.labels["S"][:40]},
    )  # fmt: skip
    whole = answers(pairs, 0)
    part = Answers(few, {"S": whole.logits["S"][:40]})
    gap, around = part.above(whole, "synergy", repeats=60, seed=0)
    assert gap == part.score("synergy") - whole.score("synergy") != 0
    assert around.low < around.high
    sides = ((few.first, pairs.first), (few.second, pairs.second))
    both = [torch.cat(side) % 5 for side in sides]
    assert around == bootstrap(
        lambda k: part.score("synergy", k[k < 40]) - whole.score("synergy", k[k >= 40] - 40),
        40 + len(pairs), units=both, repeats=60, generator=seeded(),
    )  # fmt: skip
    positive = pairs.labels["S"].nonzero()[:, 0]
    one_class = replace(
        pairs, first=pairs.first[positive], second=pairs.second[positive],
        labels={"S": pairs.labels["S"][positive]},
    )  # fmt: skip
    undefined = Answers(one_class, {"S": whole.logits["S"][positive]})
    for gap, around in (
        undefined.above(whole, "synergy_auc", repeats=5, seed=0),
        whole.above(undefined, "synergy_auc", repeats=5, seed=0),
    ):
        assert math.isnan(gap)
        assert math.isnan(around.low)
        assert around.side() == 0


def test_a_setting_is_chosen_by_validation_pairs_by_the_mean_of_three_parts(pairs):

    def telling(**leans):  # answers that are right about the tasks that it leans to
        logits = {
            task: leans.get(task, 0.0) * torch.nn.functional.one_hot(labels).double()
            for task, labels in pairs.labels.items()
        }
        return Answers(pairs, logits)

    everything = telling(R=1, U1=1, U2=1, S=1)
    tried = {
        "none": {"val": everything, "test": everything},
        "best on the test": {"val": telling(R=1), "test": everything},
        "best in synergy": {"val": telling(S=1), "test": telling()},
        "best": {"val": telling(R=1, U1=1, U2=1), "test": telling()},
        "half of uniqueness": {"val": telling(R=1, U1=1), "test": telling()},
    }
    chosen, merits = choose(tried, [row for row in tried if row != "none"])
    assert chosen == "best"
    assert merits.keys() == tried.keys()
    for row, answered in tried.items():
        parts = {p: answered["val"].score(p) for p in ("redundancy", "uniqueness", "synergy")}
        assert merits[row] == parts | {"mean": sum(parts.values()) / 3}
    assert choose(dict.fromkeys("ab", tried["best"]), "ba")[0] == "b"  # the first of equals


def test_curves_of_tasks_become_parts_and_their_mean():
    points = pd.DataFrame(
        [(curve, method, step, seed, value + step + 100 * seed)
         for curve, value in {"R": 9.0, "U1": 1.0, "U2": 5.0, "S": 6.0}.items()
         for method, step, seed in [("CoMM", 1, 0), ("CoMM", 1, 1), ("CoMM", 2, 0)]]
        + [("R", "Cross", 1, 0, 7.0)],
        columns=["curve", "method", "step", "seed", "value"],
    )  # fmt: skip
    found = averaged_parts(points).set_index(["method", "step", "seed"])
    assert found.loc[("CoMM", 1, 0)].to_dict() == {"R": 10, "S": 7, "U": 4, "mean": 7}
    assert found.loc[("CoMM", 2, 0), "mean"] == 8
    assert found.loc[("CoMM", 1, 1), "U"] == 104
    assert found.loc[("Cross", 1, 0), "R"] == 7
    assert math.isnan(found.loc[("Cross", 1, 0), "mean"])
