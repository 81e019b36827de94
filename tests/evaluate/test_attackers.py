"""Each attacker's guess, record by record, from the coins; and under which notion a bound holds."""

import math

import pytest
import torch
from sklearn.linear_model import LogisticRegression

from mmlib.data.table import TableSchema
from mmlib.evaluate.attackers import ATTACKERS, Attackers, by_features, by_rows, shares
from mmlib.label_dp.advantage import advantage, advantage_bound
from mmlib.label_dp.conditions import conditions
from mmlib.label_dp.ledger import Ledger

K, N = 3, 300
ROWS = conditions(K, 2.0, grid=True)


def chances(seed):
    found = torch.rand(N, K, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    found = found**2 + 1e-3
    return found / found.sum(1, keepdim=True)


LABELS = torch.arange(N) % K
PRIOR = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
FOUND = Attackers(PRIOR, by_image=chances(1), by_row=chances(2))


def test_every_class_has_a_share_though_no_known_record_has_it():
    found = shares(torch.tensor([3] * 8 + [1] * 2), 5)
    assert found.tolist() == pytest.approx([x / 15 for x in (1, 3, 1, 9, 1)])


def test_rows_are_read_by_the_columns_that_are_asked_for_and_their_codes_have_no_order():
    """A number tells one class, a code of sixty tells which of two others; a third column all."""
    draw = torch.Generator().manual_seed(0)
    labels = torch.randint(3, (3_000,), generator=draw)
    codes = 2 * torch.randint(30, (3_000,), generator=draw) + (labels == 1)
    codes = torch.randperm(60, generator=draw)[codes]
    table = torch.stack([(labels == 0).float(), labels.float(), codes.float()], dim=1)
    schema = TableSchema(2, (60,))

    def right(*columns):
        own = table[1_500:]
        given = table[:1_500], labels[:1_500], own, schema, 4
        found = by_rows(*given, columns=columns, seed=0)
        torch.testing.assert_close(found.sum(1), torch.ones(1_500, dtype=torch.float64))
        assert found[:, 3].max() == 0  # nobody known is of it
        return (found.argmax(1) == labels[1_500:]).double().mean().item()

    assert right(0) == pytest.approx(2 / 3, abs=0.04)
    assert right(1) == 1
    assert right(0, 2) > 0.99


def test_features_are_read_by_a_logistic_regression_of_known_ones():
    draw = torch.Generator().manual_seed(0)
    labels = torch.randint(K, (900,), generator=draw)
    x = 10.0 ** torch.arange(-1, 2) * (torch.randn(900, 3, generator=draw) + torch.eye(3)[labels])
    found = by_features(x[:400], labels[:400], x[400:], K)
    known = x[:400].double()
    sd, mean = known.std(0, correction=0), known.mean(0)
    theirs = LogisticRegression(C=0.1, tol=1e-8, max_iter=1_000)
    theirs.fit(((known - mean) / sd).numpy(), labels[:400].numpy())
    expected = theirs.predict_proba(((x[400:] - mean) / sd).numpy())
    torch.testing.assert_close(found, torch.from_numpy(expected), atol=1e-3, rtol=0)


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
