"""Exact nearest neighbours by matrix products."""

from __future__ import annotations

import torch
from torch import Tensor

from mmlib._checks import check_shape

_BLOCK = 2**22  # numbers held at once where distances are computed anew


def nearest(queries: Tensor, pool: Tensor, k: Tensor, own: Tensor) -> Tensor:
    """Mark the ``k`` members of ``pool`` nearest to each query by Euclidean distance.

    Exact: one matrix product gives all distances up to its rounding error, which is bounded, and
    where the bound leaves open who is among the k, the candidates' distances are computed anew
    from differences in float64. Equal ones go by index. Needs full float32 products, which is what
    torch does unless told otherwise.

    Args:
        queries: (Q, D).
        pool: (P, D).
        k: integers (Q,), for each query from 1 to the number of members that it may have.
        own: integers (Q,), the member that is no neighbour of the query (itself), -1 for none.

    Returns booleans (Q, P) with ``k`` true ones a row. Raises ``ValueError`` for features that are
    not finite or whose squares are not.

    >>> line = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    >>> nearest(line[1:2], line, torch.tensor([2]), own=torch.tensor([1]))
    tensor([[ True, False,  True, False]])
    """
    check_shape("pool", pool, "P D", **check_shape("queries", queries, "Q D"))
    dtype = torch.promote_types(queries.dtype, torch.float32)
    q, p = queries.to(dtype), pool.to(dtype)
    norms = p.square().sum(1)
    reach = q.norm(dim=1, keepdim=True) + norms.max().sqrt()
    if not reach.isfinite().all():
        raise ValueError("features have values that are not finite, or too large to square")
    with torch.autocast(q.device.type, enabled=False):
        # Squared distances but for the query's own norm, which does not change who is nearest.
        distance = torch.addmm(norms, q, p.T, alpha=-2)
    listed = (own >= 0).nonzero().squeeze(1)
    distance[listed, own[listed]] = torch.inf
    kth = distance.topk(int(k.max()), largest=False).values.gather(1, k[:, None] - 1)

    # Twice the worst rounding error of an inner product of D terms, with room for the sums.
    slack = (q.shape[1] + 8) * torch.finfo(dtype).eps * reach.square()
    chosen = distance < kth - slack
    near = (distance - kth).abs() <= slack
    left = k - chosen.sum(1)
    settled = near.sum(1) == left
    chosen |= near & settled[:, None]
    pairs = (near & ~settled[:, None]).nonzero()  # who is among the k is open; row by row
    parts = (part.unbind(1) for part in pairs.split(max(1, _BLOCK // q.shape[1])))
    exact = torch.cat([(queries[i].double() - pool[j]).square().sum(1) for i, j in parts])
    row, member = pairs.unbind(1)
    order = exact.argsort(stable=True)
    order = order[row[order].argsort(stable=True)]  # by row, then distance, then index
    sizes = row.bincount(minlength=len(q))
    rank = torch.arange(len(row), device=row.device) - (sizes.cumsum(0) - sizes)[row]
    kept = order[rank < left[row]]  # pairs came row by row, so row is also that of the sorted ones
    chosen[row[kept], member[kept]] = True
    return chosen
