"""Exact neighbours: against a plain sort, where rounding and ties make it hard."""

import pytest
import torch

from mmlib.label_dp import neighbours
from mmlib.label_dp.neighbours import nearest


def slow_nearest(queries, pool, counts, own):
    """For each of the numbers of neighbours: which they are."""
    ranked, pool = [], pool.double()
    for query, itself in zip(queries.double(), own.tolist(), strict=True):
        distances = (pool - query).square().sum(1).tolist()
        nearer = sorted((d, j) for j, d in enumerate(distances) if j != itself)
        ranked.append([j for _, j in nearer])
    return {k: torch.tensor([sorted(row[:k]) for row in ranked]) for k in counts}


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
    if kind == "wide":  # products and norms are summed in several parts, the last of them not full
        return torch.randn(60, 1300, generator=g) * torch.linspace(0, 30, 1300) ** 2 + 1e4
    if kind == "ties":
        return torch.randint(3, (60, 4), generator=g).float()
    if kind == "codes":
        return torch.randint(256, (60, 12), generator=g, dtype=torch.uint8)
    if kind == "half":
        return torch.randn(60, 64, generator=g).bfloat16()
    return torch.randn(60, 64, generator=g, dtype=torch.float64)


KINDS = (
    "spread, far from the origin, near duplicates, duplicates, wide, ties, codes, half, double"
).split(", ")


@pytest.mark.parametrize("kind", KINDS)
def test_same_members_as_by_sorting_all_distances(kind):
    g = torch.Generator().manual_seed(0)
    features = world(kind, g)
    queries, pool = features, features[10:40]
    own = torch.arange(60) - 10
    own[(own < 0) | (own >= 30) | (torch.arange(60) % 3 == 0)] = -1
    for k, expected in slow_nearest(queries, pool, (1, 3, 17, 23, 29), own).items():
        assert torch.equal(nearest(queries, pool, k, own), expected), k


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_in_a_pool_that_is_looked_through_by_groups(kind):
    """Few of many: only groups with the smallest minima are searched, and what no group holds."""
    g = torch.Generator().manual_seed(1)
    pool = torch.cat([world(kind, g) for _ in range(24)])[:1427]
    queries = torch.cat([pool[-8:], pool[:32]])  # the last are of no group
    own = torch.cat([torch.arange(1419, 1427), torch.full((32,), -1)])
    for k, expected in slow_nearest(queries, pool, (1, 3, 6, 12), own).items():
        assert torch.equal(nearest(queries, pool, k, own), expected), k


@pytest.mark.parametrize("columns", [5, 16, 40, 211, 1000])
def test_the_smallest_are_those_of_a_sort(columns):
    g = torch.Generator().manual_seed(2)
    for count in (1, 3, 5):
        for x in (
            torch.randn(50, columns, generator=g),
            torch.randint(4, (50, columns), generator=g).float(),
            torch.arange(columns).float().flip(0).repeat(50, 1),  # the smallest stand last
        ):
            values, places = neighbours._smallest(x, count)
            assert torch.equal(values, x.sort(1).values[:, :count])
            assert torch.equal(x.gather(1, places), values)
            assert (places.sort(1).values.diff(dim=1) > 0).all()  # none twice


def test_all_members_may_be_asked_for():
    g = torch.Generator().manual_seed(0)
    pool = torch.randn(5, 3, generator=g)
    everyone = nearest(pool[:2], pool, 5, torch.tensor([-1, -1]))
    assert everyone.tolist() == [[0, 1, 2, 3, 4]] * 2
    others = nearest(pool[:2], pool, 4, torch.tensor([0, 1]))
    assert others.tolist() == [[1, 2, 3, 4], [0, 2, 3, 4]]


def test_as_near_up_to_rounding_as_more_than_are_looked_at_first():
    """Many copies of the nearest member: the first by index are taken, in rows of one query too."""
    g = torch.Generator().manual_seed(3)
    pool = torch.randn(300, 8, generator=g)
    copies = torch.arange(7, 300, 9)
    pool[copies] = pool[0].clone()
    found = nearest(pool[:2] + 1e-4, pool, 5, torch.tensor([-1, -1]))
    assert found[0].tolist() == [0, *copies[:4].tolist()]
    alone = torch.tensor([-1, -1])
    assert torch.equal(found, slow_nearest(pool[:2] + 1e-4, pool, [5], alone)[5])


def test_autocast_does_not_reach_the_distances():
    features = torch.randn(400, 64, generator=torch.Generator().manual_seed(0))
    own = torch.full((400,), -1)
    plain = nearest(features, features, 7, own)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(nearest(features, features, 7, own), plain)


def test_features_must_be_finite_and_fit():
    own = torch.tensor([-1, -1])
    with pytest.raises(ValueError, match="not finite"):
        nearest(torch.tensor([[0.0], [torch.nan]]), torch.zeros(3, 1), 1, own)
    with pytest.raises(ValueError, match=r"pool has shape \(3, 2\); expected \(P, D=1\)"):
        nearest(torch.zeros(2, 1), torch.zeros(3, 2), 1, own)
