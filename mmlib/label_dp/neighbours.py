"""Exact nearest neighbours by matrix products."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mmlib._checks import check_shape
from mmlib.device import check_products

_BLOCK = 2**17  # numbers at once where distances are computed anew: they stay in the cache
_TERMS = 128  # of a norm that are summed without float64


def nearest(queries: Tensor, pool: Tensor, k: Tensor, own: Tensor) -> Tensor:
    """Mark the ``k`` members of ``pool`` nearest to each query by Euclidean distance.

    Exact: one matrix product gives all distances up to its rounding error, which is bounded, and
    where the bound leaves open who is among the k, the candidates' distances are computed anew
    from differences in float64. Equal ones go by index.

    Args:
        queries: (Q, D).
        pool: (P, D).
        k: integers (Q,), for each query from 1 to the number of members that it may have.
        own: integers (Q,), the member that is no neighbour of the query (itself), -1 for none.

    Returns booleans (Q, P) with ``k`` true ones a row. Raises ``ValueError`` for features that are
    not finite or whose squares are not, and as :func:`mmlib.device.check_products` says.

    >>> line = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    >>> nearest(line[1:2], line, torch.tensor([2]), own=torch.tensor([1]))
    tensor([[ True, False,  True, False]])
    """
    check_shape("pool", pool, "P D", **check_shape("queries", queries, "Q D"))
    dtype = torch.promote_types(queries.dtype, torch.float32)
    q, p = queries.to(dtype), pool.to(dtype)
    lengths = _lengths(p)
    longest = lengths.max()
    own_length = _lengths(q)[:, None]
    reach = (own_length + longest).square()
    if not reach.to(dtype).isfinite().all():
        raise ValueError("features have values that are not finite, or too large to square")
    check_products(q.device)
    with torch.autocast(q.device.type, enabled=False):
        # Squared distances but for the query's own norm, which does not change who is nearest.
        distance = torch.addmm(lengths.square().to(dtype), q, p.T, alpha=-2)
    listed = (own >= 0).nonzero().squeeze(1)
    distance[listed, own[listed]] = torch.inf
    kth = _kth_smallest(distance, k)

    # How far two distances can be off together: each by twice an inner product of D terms at its
    # worst, by a norm of which few terms were summed at a time, and by some last digits.
    eps, width = torch.finfo(dtype).eps, q.shape[1]
    slack = 2 * width * own_length * longest + (_TERMS + 8) * longest.square() + 8 * reach
    slack = (eps * slack + torch.finfo(torch.float64).eps * width * reach).to(dtype)
    chosen = distance <= kth + slack
    counted = chosen.sum(1, dtype=torch.int32)  # int64, the default, is several times as slow
    unsettled = (counted > k).nonzero().squeeze(1)  # rows that may have marked too many
    near = chosen[unsettled]
    sure = distance[unsettled] < (kth - slack)[unsettled]
    chosen[unsettled] = sure
    left = k[unsettled] - sure.sum(1)
    row, member = (near & ~sure).nonzero().unbind(1)  # who is among the k is open; row by row
    at_once = max(1, _BLOCK // width)
    blocks = zip(unsettled[row].split(at_once), member.split(at_once), strict=True)
    exact = torch.cat([_squared_distances(queries, i, pool, j) for i, j in blocks])
    order = exact.argsort(stable=True)
    order = order[row[order].argsort(stable=True)]  # by row, then distance, then index
    sizes = row.bincount(minlength=len(unsettled))
    rank = torch.arange(len(row), device=row.device) - (sizes.cumsum(0) - sizes)[row]
    kept = order[rank < left[row]]  # pairs came row by row, so row is also that of the sorted ones
    chosen[unsettled[row[kept]], member[kept]] = True
    return chosen


def _lengths(x: Tensor) -> Tensor:
    """Euclidean norms (N,) of the rows of ``x`` (N, D), in float64.

    Summed in the dtype of ``x`` over a few columns at a time, which makes no copy in float64.
    """
    parts = [torch.linalg.vector_norm(columns, dim=1) for columns in x.split(_TERMS, dim=1)]
    return torch.linalg.vector_norm(torch.stack(parts, dim=1), dim=1, dtype=torch.float64)


def _squared_distances(a: Tensor, i: Tensor, b: Tensor, j: Tensor) -> Tensor:
    """Of rows ``i`` of ``a`` to rows ``j`` of ``b``, from differences in float64."""
    return a.index_select(0, i).double().sub_(b.index_select(0, j)).square_().sum(1)


def _kth_smallest(x: Tensor, k: Tensor) -> Tensor:
    """The ``k``-th smallest value of each row: (N, P), (N,) -> (N, 1).

    The most that are asked for, m, lie in the m groups of columns with the smallest minima, so only
    these are looked through.
    """
    most = int(k.max())
    groups = x.shape[1] // max(1, math.isqrt(x.shape[1] // most))
    if groups < 2 * most:  # next to nothing would be left out
        groups = x.shape[1]
    size = x.shape[1] // groups
    if size > 1:
        grouped = x[:, : size * groups].unflatten(1, (size, groups))  # a group is a column
        found = grouped.amin(1).topk(most, largest=False).indices
        members = grouped.gather(2, found[:, None].expand(-1, size, -1)).flatten(1)
        x = torch.cat([members, x[:, size * groups :]], dim=1)
    return x.topk(most, largest=False).values.gather(1, k[:, None] - 1)
