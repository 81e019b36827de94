"""What labels tell of groups is Bayes' rule, label by label and hint by hint."""

import itertools
import math

import pytest
import torch
from scipy import stats

from mmlib.label_dp.attacks import label_posterior
from mmlib.label_dp.exact import response_law
from mmlib.label_dp.groups import (
    group_posterior,
    linked_posterior,
    names_given_once,
    oracle_accuracy,
)
from mmlib.label_dp.learning import shown_law
from mmlib.label_dp.mechanisms.randomized_response import randomized_response

from .chances import generator

HALVES, PAIR = torch.tensor([0.5, 0.5]), torch.tensor([0, 1])


def slow_group_posterior(groups, released, law, prior):
    """Bayes' rule with products of chances, group by group and label by label."""
    rows = []
    for group in range(max(groups) + 1):
        chances = list(prior)
        for g, told in zip(groups, released, strict=True):
            if g == group:
                chances = [c * row[told] for c, row in zip(chances, law, strict=True)]
        rows.append([c / sum(chances) for c in chances])
    return rows


def test_a_groups_posterior_is_bayes_rule_label_by_label():
    groups = torch.randint(4, (30,), generator=generator())
    groups[groups == 2] = 0  # nothing is known of group 2, and its prior remains
    released = torch.randint(3, (30,), generator=generator(1))
    law = shown_law(0.6, 0.4, torch.tensor([0.5, 0.3, 0.2]))  # not symmetric
    prior = torch.tensor([0.2, 0.7, 0.1], dtype=torch.float64)
    ours = group_posterior(groups, released, law, prior)
    arguments = (x.tolist() for x in (groups, released, law, prior))
    torch.testing.assert_close(ours, torch.tensor(slow_group_posterior(*arguments)).double())
    torch.testing.assert_close(ours[2], prior)


def test_a_group_of_one_is_a_record():
    released, prior = torch.arange(4), torch.tensor([0.4, 0.3, 0.2, 0.1]).double()
    ours = group_posterior(torch.arange(4), released, response_law(0.6, 4), prior)
    torch.testing.assert_close(ours, label_posterior(released, 0.6, prior))


def test_the_posterior_of_groups_is_calibrated():
    """Of the groups whose class it says with chance 70 to 80 %, about three in four are so."""
    n_groups, size, law = 20_000, 6, response_law(0.8, 5)
    truth = torch.randint(5, (n_groups,), generator=generator())
    groups = torch.arange(n_groups).repeat_interleave(size)
    released = randomized_response(truth[groups], 0.8, 5, generator=generator(1))
    chances, guess = group_posterior(groups, released, law, torch.full((5,), 0.2)).max(dim=1)
    sure = (chances > 0.7) & (chances < 0.8)
    right = (guess[sure] == truth[sure]).double().mean().item()
    assert sure.sum() > 500
    assert right == pytest.approx(chances[sure].mean().item(), abs=0.05)


def test_rows_that_stay_name_the_groups_of_images():
    """Of many records, by formulas of their own: each kind of coin counts where it was thrown."""
    shares = torch.tensor([0.6, 0.3, 0.1]).double()
    truth = shares.multinomial(30_000, replacement=True, generator=generator())
    noise, misread, mixed = 0.9, 0.5, torch.tensor([2, 0, 1])
    shown = randomized_response(truth, noise, 3, generator=generator(1))
    read = randomized_response(truth, misread, 3, generator=generator(2))
    labels = randomized_response(truth, noise, 3, generator=generator(3))
    few = slice(0, 60)  # of images; the rows of all are named rightly
    first = torch.cat([mixed[shown[few]], torch.full((len(truth) - 60,), 3)])  # 3: of no group
    found = linked_posterior(first, mixed[read], labels, noise, misread, shares)[:3]

    # P(row r, class y | image x), where an image and a row are own or drawn uniformly.
    own = (1 - noise) * torch.eye(3) + noise / 3
    right = (1 - misread) * torch.eye(3) + misread / 3
    law = (shares[:, None, None] * own[:, :, None] * right[:, None, :]).sum(0)
    law = (law / law.sum(1, keepdim=True)).log()
    for group, name in enumerate(mixed.argsort().tolist()):
        seen = read[few][shown[few] == name].bincount(minlength=3).double()
        expected = (law @ seen + shares.log()).softmax(0)
        torch.testing.assert_close(found[group], expected, atol=1e-6, rtol=1e-6)


def test_sizes_and_names_given_once_settle_what_labels_leave_open():
    """Slowly: the likeliest of all matchings of names and groups, of three that differ clearly."""
    prior = torch.tensor([0.6, 0.3, 0.1]).double()
    expected = torch.tensor([60.0, 30.0, 10.0]).double()
    told = torch.tensor([[0.90, 0.09, 0.01], [0.86, 0.13, 0.01], [0.5, 0.3, 0.2]]).double()
    for sizes in ([31, 58, 11], [58, 31, 11], [10, 31, 60]):
        sizes = torch.tensor(sizes)

        def fit(names, sizes=sizes):
            return sum(
                math.log(told[g, k] / prior[k]) + stats.poisson.logpmf(int(sizes[g]), expected[k])
                for g, k in enumerate(names)
            )

        best = max(itertools.permutations(range(3)), key=fit)
        assert names_given_once(told, sizes, expected, prior).tolist() == list(best)
    assert told.argmax(1).tolist() == [0, 0, 0]  # one name for all, without the hints


def test_groups_of_no_evidence_get_the_priors_likeliest_name():
    prior, even = torch.tensor([0.3, 0.7]).double(), torch.full((2,), 5.0).double()
    found = names_given_once(prior.expand(2, 2), torch.tensor([5, 5]), even, prior)
    assert found.tolist() == [1, 1]


def test_a_wrong_name_costs_the_share_of_its_group():
    shares = torch.tensor([0.5, 0.3, 0.2]).double()
    assert oracle_accuracy(torch.tensor([0, 2, 1]), shares) == pytest.approx(50)
    assert oracle_accuracy(torch.tensor([1, 1, 2]), shares) == pytest.approx(50)
    assert oracle_accuracy(torch.arange(3), shares) == pytest.approx(100)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: group_posterior(
                torch.tensor([0, -1]), torch.tensor([0, 1]), torch.full((2, 2), 0.5), HALVES
            ),
            "smallest group is -1",
        ),
        (
            lambda: group_posterior(torch.tensor([0]), torch.tensor([0]), torch.eye(2), HALVES),
            "smallest chance in law is 0.0",
        ),
        (
            lambda: group_posterior(
                torch.tensor([0]), torch.tensor([0, 1]), torch.full((2, 2), 0.5), HALVES
            ),
            r"groups has shape \(1,\); expected \(N=2\)",
        ),
        (lambda: linked_posterior(PAIR, PAIR, PAIR, 1.0, 0.0, HALVES), "same row for every class"),
        (lambda: linked_posterior(PAIR, PAIR, PAIR, 0.5, 1.0, HALVES), "same row for every class"),
        (lambda: linked_posterior(PAIR, PAIR, PAIR, 0.0, 0.0, HALVES), "in law is 0.0"),
        (
            lambda: names_given_once(torch.ones(2, 2) / 2, torch.ones(1), torch.ones(2), HALVES),
            r"sizes has shape \(1,\); expected \(K=2\)",
        ),
        (
            lambda: oracle_accuracy(torch.tensor([0]), HALVES),
            r"names has shape \(1,\); expected \(K=2\)",
        ),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
