"""Exact nearest neighbours by matrix products."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mmlib._checks import check_shape
from mmlib.device import check_products

_BLOCK = 2**17  # numbers at once where distances are computed anew: they stay in the cache
_SPARE = 6  # members beyond the k that are looked at: rounding seldom leaves more in question
_TERMS = 128  # of a norm that are summed without float64
_COLUMNS = 512  # of a product that are summed at a time: rounding grows with it, passes fall


def nearest(queries: Tensor, pool: Tensor, k: int, own: Tensor) -> Tensor:
    """The ``k`` members of ``pool`` nearest to each query by Euclidean distance, in order of index.

    Exact: matrix products give all distances up to their rounding error, which is bounded, and
    where the bound leaves open who is among the k, the candidates' distances are computed anew
    from differences in float64. Equal ones go by index.

    Args:
        queries: (Q, D).
        pool: (P, D).
        k: from 1 to the number of members that each query may have.
        own: integers (Q,), the member that is no neighbour of the query (itself), -1 for none.

    Returns indices (Q, k) into ``pool``, ascending in each row. Raises ``ValueError`` for features
    that are not finite or whose squares are not, and as :func:`mmlib.device.check_products` says.

    >>> line = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    >>> nearest(line[1:2], line, 2, own=torch.tensor([1]))
    tensor([[0, 2]])
    """
    check_shape("pool", pool, "P D", **check_shape("queries", queries, "Q D"))
    dtype = torch.promote_types(queries.dtype, torch.float32)
    q, p = queries.to(dtype), pool.to(dtype)
    eps, width = torch.finfo(dtype).eps, q.shape[1]
    lengths = _lengths(p)
    longest = lengths.max()
    own_length = torch.linalg.vector_norm(q, dim=1).double()[:, None] * (1 + width * eps)  # or less
    reach = (own_length + longest).square()
    if not reach.to(dtype).isfinite().all():
        raise ValueError("features have values that are not finite, or too large to square")
    check_products(q.device)
    with torch.autocast(q.device.type, enabled=False):
        # Squared distances but for the query's own norm, which does not change who is nearest.
        distance = lengths.square().to(dtype).repeat(len(q), 1)
        parts = list(zip(q.split(_COLUMNS, dim=1), p.split(_COLUMNS, dim=1), strict=True))
        for some, others in parts:
            distance.addmm_(some, others.T, alpha=-2)
    listed = (own >= 0).nonzero().squeeze(1)
    distance[listed, own[listed]] = torch.inf
    values, members = _smallest(distance, min(k + _SPARE, len(pool)))

    # How far two distances can be off together: each by twice an inner product, of which so many
    # terms are summed at a time, at its worst, by a norm likewise, and by some last digits.
    slack = 2 * min(width, _COLUMNS) * own_length * longest
    slack = slack + (_TERMS + 8) * longest.square() + (8 + 2 * len(parts)) * reach
    slack = (eps * slack + torch.finfo(torch.float64).eps * width * reach).to(dtype)
    kth = values[:, k - 1 : k]
    bounds = kth - slack, kth + slack
    near = values <= bounds[1]
    chosen = members[:, :k].sort(1).values
    unsettled = near.sum(1) > k
    few = (unsettled & ~near[:, -1]).nonzero().squeeze(1)
    chosen[few] = _settle(queries, pool, k, few, values[few], members[few], bounds)
    # The others may have more members as near than were looked at.
    for many in (unsettled & near[:, -1]).nonzero().squeeze(1).split(max(1, _BLOCK // len(pool))):
        everyone = torch.arange(len(pool), device=q.device).expand(len(many), -1)
        chosen[many] = _settle(queries, pool, k, many, distance[many], everyone, bounds)
    return chosen


def _settle(
    queries: Tensor,
    pool: Tensor,
    k: int,
    rows: Tensor,
    values: Tensor,
    members: Tensor,
    bounds: tuple[Tensor, Tensor],
) -> Tensor:
    """The k nearest (R, k) of queries ``rows`` (R,) among ``members`` (R, C), by exact distances.

    ``values`` (R, C) are the members' distances up to rounding, and ``bounds`` (Q, 1) of them those
    below which a member is among the k, and above which it is not.
    """
    members, order = members.sort(1)
    values = values.gather(1, order)
    sure, near = values < bounds[0][rows], values <= bounds[1][rows]
    exact = torch.full_like(values, torch.inf, dtype=torch.float64).masked_fill(sure, -torch.inf)
    row, place = (near & ~sure).nonzero().unbind(1)
    at_once = max(1, _BLOCK // queries.shape[1])
    pairs = zip(rows[row].split(at_once), members[row, place].split(at_once), strict=True)
    exact[row, place] = torch.cat([_squared_distances(queries, i, pool, j) for i, j in pairs])
    first = exact.argsort(dim=1, stable=True)[:, :k]  # equal ones by index, as members are
    return members.gather(1, first.sort(1).values)


def _lengths(x: Tensor) -> Tensor:
    """Euclidean norms (N,) of the rows of ``x`` (N, D), in float64.

    Summed in the dtype of ``x`` over a few columns at a time, which makes no copy in float64.
    """
    even = x.shape[1] // _TERMS * _TERMS
    parts = torch.linalg.vector_norm(x[:, :even].unflatten(1, (-1, _TERMS)), dim=2)
    rest = torch.linalg.vector_norm(x[:, even:], dim=1, keepdim=True)
    return torch.linalg.vector_norm(torch.cat([parts, rest], dim=1), dim=1, dtype=torch.float64)


def _squared_distances(a: Tensor, i: Tensor, b: Tensor, j: Tensor) -> Tensor:
    """Of rows ``i`` of ``a`` to rows ``j`` of ``b``, from differences in float64."""
    return a.index_select(0, i).double().sub_(b.index_select(0, j)).square_().sum(1)


def _smallest(x: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The ``count`` smallest values of each row of ``x`` (R, C), ascending, and their columns.

    They lie in the ``count`` groups of columns with the smallest minima, so only these are looked
    through.
    """
    groups = x.shape[1] // max(1, math.isqrt(x.shape[1] // count))
    if groups < 2 * count:  # next to nothing would be left out
        return x.topk(count, largest=False)
    size = x.shape[1] // groups
    grouped = x[:, : size * groups].unflatten(1, (size, groups))  # a group is a column
    found = grouped.amin(1).topk(count, largest=False, sorted=False).indices
    inside = grouped.gather(2, found[:, None].expand(-1, size, -1)).flatten(1)
    values, place = torch.cat([inside, x[:, size * groups :]], dim=1).topk(count, largest=False)
    column = place // count * groups + found.gather(1, place % count)
    return values, torch.where(place < size * count, column, place + size * (groups - count))
