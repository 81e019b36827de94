"""Exact neighbours: against a plain sort, where rounding and ties make it hard."""

import pytest
import torch

from mmlib.label_dp import neighbours
from mmlib.label_dp.neighbours import nearest


def slow_nearest(queries, pool, k, own):
    marks = torch.zeros(len(queries), len(pool), dtype=torch.bool)
    for i, query in enumerate(queries.double()):
        distances = (pool.double() - query).square().sum(1).tolist()
        ranked = sorted((d, j) for j, d in enumerate(distances) if j != own[i])
        for _, j in ranked[: k[i]]:
            marks[i, j] = True
    return marks


def world(kind, g):
    if kind == "spread":
        return torch.randn(60, 64, generator=g)
    if kind == "far from the origin":  # inner products lose all digits of the distances
        return torch.randn(60, 64, generator=g) + 1e4
    if kind == "near duplicates":
        return torch.randn(6, 64, generator=g).repeat(10, 1) + 1e-5 * torch.randn(
            60, 64, generator=g
        )
    if kind == "duplicates":
        return torch.randn(6, 64, generator=g).repeat(10, 1)
    if kind == "ties":
        return torch.randint(3, (60, 4), generator=g).float()
    if kind == "codes":
        return torch.randint(256, (60, 12), generator=g, dtype=torch.uint8)
    if kind == "half":
        return torch.randn(60, 64, generator=g).bfloat16()
    return torch.randn(60, 64, generator=g, dtype=torch.float64)


KINDS = (
    "spread, far from the origin, near duplicates, duplicates, ties, codes, half, double"
).split(", ")


@pytest.mark.parametrize("kind", KINDS)
def test_same_set_as_sorting_all_distances(kind):
    g = torch.Generator().manual_seed(0)
    features = world(kind, g)
    queries, pool = features, features[10:40]
    own = torch.arange(60) - 10
    own[(own < 0) | (own >= 30) | (torch.arange(60) % 3 == 0)] = -1
    k = torch.randint(1, 30, (60,), generator=g)
    expected = slow_nearest(queries, pool, k, own)
    assert torch.equal(nearest(queries, pool, k, own), expected)
    assert torch.equal(expected.sum(1), k)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_in_a_pool_that_is_looked_through_by_groups(kind):
    """Few of many: only groups with the smallest minima are searched, and what no group holds."""
    g = torch.Generator().manual_seed(1)
    pool = torch.cat([world(kind, g) for _ in range(4)])[:211]
    queries = torch.cat([pool[-8:], pool[:32]])  # the last are of no group
    own = torch.cat([torch.arange(203, 211), torch.full((32,), -1)])
    k = torch.randint(1, 6, (40,), generator=g)
    assert torch.equal(nearest(queries, pool, k, own), slow_nearest(queries, pool, k, own))


@pytest.mark.parametrize("columns", [5, 16, 40, 211, 1000])
def test_kth_smallest_is_that_of_a_sort(columns):
    g = torch.Generator().manual_seed(2)
    k = torch.randint(1, 6, (50,), generator=g)
    for values in (
        torch.randn(50, columns, generator=g),
        torch.randint(4, (50, columns), generator=g).float(),
        torch.arange(columns).float().flip(0).repeat(50, 1),  # the smallest stand last
    ):
        expected = values.sort(1).values.gather(1, k[:, None] - 1)
        assert torch.equal(neighbours._kth_smallest(values, k), expected)


def test_all_members_may_be_asked_for():
    g = torch.Generator().manual_seed(0)
    pool = torch.randn(5, 3, generator=g)
    k, own = torch.tensor([5, 4]), torch.tensor([-1, 1])
    marks = nearest(pool[:2], pool, k, own)
    assert marks.tolist() == [[True] * 5, [True, False, True, True, True]]


def test_autocast_does_not_reach_the_distances():
    features = torch.randn(400, 64, generator=torch.Generator().manual_seed(0))
    k, own = torch.full((400,), 7), torch.full((400,), -1)
    plain = nearest(features, features, k, own)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(nearest(features, features, k, own), plain)


def test_features_must_be_finite_and_fit():
    k, own = torch.tensor([1, 1]), torch.tensor([-1, -1])
    with pytest.raises(ValueError, match="not finite"):
        nearest(torch.tensor([[0.0], [torch.nan]]), torch.zeros(3, 1), k, own)
    with pytest.raises(ValueError, match=r"pool has shape \(3, 2\); expected \(P, D=1\)"):
        nearest(torch.zeros(2, 1), torch.zeros(3, 2), k, own)
