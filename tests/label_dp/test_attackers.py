"""Each attacker's guess, record by record, from the coins; and under which notion a bound holds."""

import math

import pytest
import torch

from mmlib.label_dp.attackers import ATTACKERS, Attackers
from mmlib.label_dp.attacks import advantage, advantage_bound
from mmlib.label_dp.conditions import conditions
from mmlib.label_dp.release import Ledger

K, N = 3, 300
ROWS = conditions(K, 2.0, grid=True)


def chances(seed):
    found = torch.rand(N, K, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    found = found**2 + 1e-3
    return found / found.sum(1, keepdim=True)


LABELS = torch.arange(N) % K
PRIOR = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
FOUND = Attackers(PRIOR, by_image=chances(1), by_row=chances(2))


def drawn(name, seed=0, labels=LABELS):
    near = {"features": torch.arange(float(N))[:, None]} if ROWS[name].nearest else {}
    generator = torch.Generator().manual_seed(seed)
    return Ledger(labels).release(ROWS[name].terms, generator=generator, **near)


def slow(condition, release):
    """Bayes' rule for each record and class, over the label's coin and the image's."""
    source = release.shown(torch.arange(N)).tolist()
    prior, image, row = (x.tolist() for x in (PRIOR, FOUND.by_image, FOUND.by_row))
    found = {who: [] for who in ("shown", "row", "known", "row and image")}
    for i, (j, told) in enumerate(zip(source, release.labels.tolist(), strict=True)):
        said = [
            (1 - condition.noise_label) * (c == told) + condition.noise_label / K for c in range(K)
        ]

        def seen(what, noise=condition.noise_image):
            """How likely what is shown is in each class: the own one, or any class's."""
            return [(1 - noise) * x + noise * sum(what) / K for x in what]

        of_image = [image[j][c] / prior[c] for c in range(K)]
        of_both = [of_image[c] * row[j][c] / prior[c] for c in range(K)]
        known = [image[i][c] * row[i][c] / prior[c] for c in range(K)]
        beside = (
            [p * x for p, x in zip(prior, seen(of_both), strict=True)]
            if condition.moves
            else [p * x for p, x in zip(row[i], seen(of_image), strict=True)]
        )
        for who, joint in (
            ("shown", [p * x for p, x in zip(prior, seen(of_image), strict=True)]),
            ("row", beside),
            ("known", known),
        ):
            joint = [x * y for x, y in zip(joint, said, strict=True)]
            found[who].append(joint.index(max(joint)))
        found["row and image"].append(known.index(max(known)))
    return found


@pytest.mark.parametrize(
    ("name", "differ"), [("none", 1), ("label_rr", 2), ("double_rr", 3), ("with_table", 3)]
)
def test_guesses_are_bayes_rule_and_their_rivals_know_what_the_notion_grants(name, differ):
    release = drawn(name)
    expected, found = slow(ROWS[name], release), FOUND.guesses(ROWS[name], release)
    assert {who: guess.tolist() for who, (guess, _) in found.items()} == {
        who: expected[who] for who in ATTACKERS
    }
    assert found["shown"][1].tolist() == found["row"][1].tolist() == [1] * N  # the most frequent
    assert found["known"][1].tolist() == expected["row and image"]
    assert len({tuple(guess.tolist()) for guess, _ in found.values()}) == differ


def test_a_row_that_boosting_is_too_sure_of_is_no_proof():
    """It gives the true class no chance at all; a label without noise tells it all the same."""
    wrong = torch.eye(K, dtype=torch.float64)[(LABELS + 1) % K]
    sure = Attackers(PRIOR, by_image=PRIOR.expand(N, K), by_row=wrong)
    found = sure.guesses(ROWS["none"], drawn("none"))
    assert torch.equal(found["known"][0], LABELS)
    assert torch.equal(found["known"][1], (LABELS + 1) % K)


def test_no_attacker_gains_more_than_epsilon_allows_under_its_notion_and_others_break_it():
    """Images and rows name the class outright; shares are equal, and each attack is the best."""
    labels = torch.arange(N) % K
    sure = torch.eye(K, dtype=torch.float64)[labels] + 1e-9
    even = torch.full((K,), 1 / K, dtype=torch.float64)
    bounded = 0
    for name in ("double_rr", "with_table", "label_rr"):
        found = Attackers(even, sure, sure).guesses(ROWS[name], drawn(name, seed=3))
        costs = ROWS[name].costs()
        for who, (_, notion) in ATTACKERS.items():
            gain = advantage(*found[who], labels, confidence=0.999)
            assert gain.low <= advantage_bound(costs[notion], gain.blind), (name, who)
            bounded += math.isfinite(costs[notion])
    assert bounded == 6
    stays = Attackers(even, sure, sure).guesses(ROWS["double_rr"], drawn("double_rr"))
    told = advantage(*stays["row"], labels, confidence=0.999)
    assert told.low > advantage_bound(ROWS["double_rr"].costs()["population"], told.blind)
