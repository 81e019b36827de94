import math
from itertools import product

import pytest
import torch

from mmlib.information import (
    DEFINITIONS,
    Decomposition,
    best_alignments,
    decompose,
    encode,
    encoders,
    entropy,
    mutual_information,
    uniform_over,
)

BITS = list(product((0, 1), repeat=2))
GATES = {
    "redundant": uniform_over([(a, a, a) for a in (0, 1)]),
    "unique": uniform_over([(a, b, a) for a, b in BITS]),
    "xor": uniform_over([(a, b, a ^ b) for a, b in BITS]),
    "and": uniform_over([(a, b, a & b) for a, b in BITS]),
    "copy": uniform_over([(a, b, (a, b)) for a, b in BITS]),
}
ONE_OF_AND = 3 / 4 * math.log2(4 / 3)  # what one input of AND says about it: 0.311278 bits


def random_joint(shape, seed, power=1):
    g = torch.Generator().manual_seed(seed)
    joint = torch.rand(shape, generator=g, dtype=torch.float64) ** power
    return joint / joint.sum()


def as_tuple(d: Decomposition):
    return (d.redundancy, d.unique1, d.unique2, d.synergy)


@pytest.mark.parametrize("definition", DEFINITIONS)
@pytest.mark.parametrize(
    ("gate", "known"),
    [
        ("redundant", (1, 0, 0, 0)),
        ("unique", (0, 1, 0, 0)),
        ("xor", (0, 0, 0, 1)),
        ("and", (ONE_OF_AND, 0, 0, 0.5)),
    ],
)
def test_known_values_on_which_the_definitions_agree(gate, known, definition):
    assert as_tuple(decompose(GATES[gate], definition)) == pytest.approx(known, abs=1e-7)


def test_known_values_on_which_the_definitions_differ():
    # Two independent bits copied: the same amount about Y (imin), though about different parts.
    assert as_tuple(decompose(GATES["copy"], "imin")) == pytest.approx((1, 0, 0, 1), abs=1e-7)
    assert as_tuple(decompose(GATES["copy"], "broja")) == pytest.approx((0, 1, 1, 0), abs=1e-7)


def test_imin_takes_the_smaller_of_both_for_each_value_of_the_label():
    # Each tells its own value of three apart: log 3 of that, log 3/2 of the others, a third each.
    joint = uniform_over([(y == 0, y == 2, y) for y in range(3)])
    assert decompose(joint, "imin").redundancy == pytest.approx(math.log2(1.5))
    joint = random_joint((3, 2, 4), 4, power=2)  # whose labels are not alike
    by_loops = 0.0
    for y, of_y in enumerate(joint.sum((0, 1)).tolist()):
        told = [
            sum(p[y] / of_y * (p[y] / p.sum() / of_y).log2() for p in pair)
            for pair in (joint.sum(1), joint.sum(0))
        ]
        by_loops += of_y * min(told).item()
    found = decompose(joint, "imin")
    assert found.redundancy == pytest.approx(by_loops)
    assert min(as_tuple(found)) > 1e-3  # no limit of what it can be was at work


@pytest.mark.parametrize("definition", DEFINITIONS)
@pytest.mark.parametrize("shape", [(2, 2, 2), (3, 2, 4), (1, 3, 3), (4, 4, 2)])
def test_identities_bounds_and_symmetry_on_random_distributions(shape, definition):
    for seed in range(4):
        joint = random_joint(shape, seed, power=1 + 5 * (seed % 2))
        d = decompose(joint, definition)
        one, two = mutual_information(joint.sum(1)), mutual_information(joint.sum(0))
        both = mutual_information(joint.flatten(0, 1))
        assert d.redundancy + d.unique1 == pytest.approx(one, abs=1e-9)
        assert d.redundancy + d.unique2 == pytest.approx(two, abs=1e-9)
        assert sum(as_tuple(d)) == pytest.approx(both, abs=1e-9)
        assert min(as_tuple(d)) >= -1e-12
        swapped = decompose(joint.transpose(0, 1), definition)
        assert swapped.redundancy == pytest.approx(d.redundancy, abs=1e-6)
        assert swapped.unique1 == pytest.approx(d.unique2, abs=1e-6)


def least_information_by_grid(joint):
    """Slow reference for binary X1, X2, Y: one free number for each y, refined grids over both."""
    one, two, label = joint.sum(1), joint.sum(0), joint.sum((0, 1))
    low = (one[0] + two[0] - label).clamp(min=0)
    high = torch.minimum(one[0], two[0])
    left, right = low.clone(), high.clone()
    for _ in range(12):
        steps = torch.linspace(0, 1, 41, dtype=torch.float64)
        corner = left + (right - left) * torch.cartesian_prod(steps, steps)  # q(0, 0, y)
        q = torch.stack(
            [corner, one[0] - corner, two[0] - corner, label - one[0] - two[0] + corner], dim=1
        ).clamp(min=0)  # (grid, cells, Y)
        total = torch.special.entr(q.sum(2)).sum(1) - torch.special.entr(q).sum((1, 2))
        best, width = corner[total.argmin()], (right - left) / 20
        left, right = torch.maximum(low, best - width), torch.minimum(high, best + width)
    return entropy(label) + total.min().item() / math.log(2)


@pytest.mark.parametrize("seed", range(12))
def test_broja_agrees_with_a_search_over_all_distributions(seed):
    joint = random_joint((2, 2, 2), seed, power=1 + 2 * (seed % 4))
    d = decompose(joint)
    assert sum(as_tuple(d)) - d.synergy == pytest.approx(least_information_by_grid(joint), abs=1e-7)


STALLED = {  # samples on which a solver that starts on the bounds stops before the optimum
    16: [[[1, 0], [0, 1], [0, 1]], [[2, 2], [0, 2], [1, 0]], [[0, 2], [2, 1], [1, 0]]],
    32: [[[2, 0], [2, 0], [1, 3]], [[2, 2], [2, 3], [4, 1]], [[1, 1], [2, 1], [3, 2]]],
}


@pytest.mark.parametrize("size", STALLED)
def test_broja_finds_its_optimum_from_another_start(size):
    joint = torch.tensor(STALLED[size], dtype=torch.float64) / size
    d, swapped = decompose(joint), decompose(joint.transpose(0, 1))
    assert swapped.redundancy == pytest.approx(d.redundancy, abs=1e-6)
    assert swapped.unique1 == pytest.approx(d.unique2, abs=1e-6)


def test_unique_information_depends_only_on_the_pairs():
    # Move mass so that (X1, Y) and (X2, Y) stay: only the synergy may change.
    joint = random_joint((2, 2, 2), 3)
    moved = joint.clone()
    moved[:, :, 0] += 0.5 * joint[:, :, 0].min() * torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    before, after = decompose(joint), decompose(moved)
    assert as_tuple(after)[:3] == pytest.approx(as_tuple(before)[:3], abs=1e-6)
    assert abs(after.synergy - before.synergy) > 1e-3


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_an_attribute_that_has_nothing_to_do_with_the_label_changes_nothing(definition):
    plain = uniform_over([(s, s, s) for s in range(3)])
    noisy = uniform_over([((s, a), (s, b), s) for s, a, b in product(range(3), repeat=3)])
    expected = pytest.approx((math.log2(3), 0, 0, 0), abs=1e-7)
    assert as_tuple(decompose(plain, definition)) == expected
    assert as_tuple(decompose(noisy, definition)) == expected


def test_a_map_of_two_independent_attributes_is_pure_synergy():
    pair_in_map = uniform_over([(t, c, t == c) for t, c in product(range(10), repeat=2)])
    label = -0.1 * math.log2(0.1) - 0.9 * math.log2(0.9)
    assert as_tuple(decompose(pair_in_map)) == pytest.approx((0, 0, 0, label), abs=1e-7)


def test_values_that_never_occur_change_nothing():
    padded = torch.zeros(3, 4, 3, dtype=torch.float64)
    padded[1:, 1:3, :2] = GATES["and"]
    for definition in DEFINITIONS:
        known = as_tuple(decompose(GATES["and"], definition))
        assert as_tuple(decompose(padded, definition)) == pytest.approx(known, abs=1e-7)


def test_entropy_and_information_have_their_closed_forms():
    p = 0.11
    flip = torch.tensor([[1 - p, p], [p, 1 - p]]) / 2
    noise = -p * math.log2(p) - (1 - p) * math.log2(1 - p)
    assert mutual_information(flip) == pytest.approx(1 - noise, abs=1e-6)
    assert entropy(torch.full((3, 5), 1 / 15)) == pytest.approx(math.log2(15), abs=1e-6)
    independent = torch.outer(torch.tensor([0.2, 0.8]), torch.tensor([0.5, 0.1, 0.4]))
    assert mutual_information(independent) == pytest.approx(0, abs=1e-6)


def test_uniform_over_counts_outcomes():
    joint = uniform_over([("x", 7, True), ("y", 7, True), ("x", 8, False), ("x", 7, True)])
    assert joint.shape == (2, 2, 2)
    assert joint[0, 0, 0] == 0.5
    assert joint[1, 0, 0] == joint[0, 1, 1] == 0.25


def test_encoders_are_all_partitions_each_once():
    bell = [1, 2, 5, 15, 52]
    for values, count in enumerate(bell, start=1):
        codes = encoders(values)
        groups = {tuple(map(tuple, (c[:, None] == c).int().tolist())) for c in codes}
        assert len(groups) == len(codes) == count


def test_encoding_loses_information_unless_it_keeps_values_apart():
    joint = random_joint((4, 5), 0)
    whole = mutual_information(joint)
    for code in encoders(4):
        kept = mutual_information(encode(joint, code))
        assert (kept == pytest.approx(whole)) == (code.unique().numel() == 4)
        assert kept <= whole + 1e-12
    merged = encode(joint, None, torch.zeros(5, dtype=torch.long))
    torch.testing.assert_close(merged, joint.sum(1, keepdim=True))


@pytest.mark.parametrize("shape", [(3, 3), (2, 4)])
def test_aligning_all_that_is_shared_keeps_sufficient_statistics(shape):
    pair = random_joint(shape, 1)
    information, optima = best_alignments(pair)
    assert information == pytest.approx(mutual_information(pair))
    assert len(optima) == 1  # in general position nothing can be merged
    assert [code.unique().numel() for code in optima[0]] == list(shape)
    merged = torch.cat([pair, pair[:1]]) / (1 + pair[:1].sum())  # a value with the same partners
    information, optima = best_alignments(merged)
    assert information == pytest.approx(mutual_information(merged))
    assert {tuple(f[[0, -1]].tolist()) for f, _ in optima} == {(0, 0), (0, shape[0])}


def test_two_views_share_their_encoder():
    views = random_joint((4, 4), 2)
    information, optima = best_alignments(views, shared=True)
    assert information == pytest.approx(mutual_information(views))
    assert all(f is g for f, g in optima)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"joint sums to 2, least 0\.25; allowed: sum 1, least 0"):
        decompose(torch.full((2, 2, 2), 0.25))
    with pytest.raises(ValueError, match=r"least -0\.5"):
        entropy(torch.tensor([-0.5, 1.5]))
    with pytest.raises(ValueError, match="definition is 'mmi'; allowed: 'broja', 'imin'"):
        decompose(GATES["xor"], "mmi")
    with pytest.raises(ValueError, match=r"joint has shape \(2, 2\); expected \(A, B, Y\)"):
        decompose(torch.eye(2) / 2)


def test_a_solution_without_certificate_is_refused(monkeypatch):
    import scipy.optimize

    def stay(_, start, **__):
        return scipy.optimize.OptimizeResult(x=start)

    monkeypatch.setattr(scipy.optimize, "minimize", stay)
    with pytest.raises(RuntimeError, match="not certified"):
        decompose(random_joint((3, 3, 3), 0))
