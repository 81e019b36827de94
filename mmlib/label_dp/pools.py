"""Drawing a member of a class: uniformly, or among those nearest to a query, for many at once."""

from __future__ import annotations

import torch
from torch import Tensor

from mmlib._checks import check_range, check_shape
from mmlib.label_dp._checks import check_labels
from mmlib.label_dp.coins import Generator, coins, uniform
from mmlib.label_dp.neighbours import nearest

_BLOCK = 2**25  # distances held at once


def draw_members(
    labels: Tensor,
    sizes: Tensor,
    drawn: Tensor,
    own: Tensor,
    generator: Generator,
    *,
    queries: Tensor | None = None,
    rows: Tensor | None = None,
    features: Tensor | None = None,
    neighbours: int = 1,
    floor: float = 0.0,
) -> Tensor:
    """One member of each drawn class's pool.

    Args:
        labels: classes (N,) of the records, which they are pooled by.
        sizes: of the pools, (K,).
        drawn: classes (Q,), each to draw a member of.
        own: records (Q,) that may not be drawn, -1 for none.
        generator: of the privacy noise.
        queries, rows: ``queries[rows]`` (Q, D) is what members are to be near to.
        features: (N, D) of the records. Without them draws are uniform over the pool.
        neighbours: k; a pool with fewer members is used whole.
        floor: gamma, chance that a draw is uniform over the pool nevertheless.

    Returns indices (Q,) into the N records.
    """
    drawn = drawn.long()  # a small type is no index
    members = labels.argsort(stable=True)  # the pools, one after the other
    starts = sizes.cumsum(0) - sizes
    place = torch.empty_like(members)  # of a record in its class's pool
    place[members] = torch.arange(len(labels), device=labels.device)
    place[members] -= starts.repeat_interleave(sizes)
    excluded = torch.where((own >= 0) & (labels[own] == drawn), place[own], -1)

    whole = sizes[drawn] - (excluded >= 0).long()
    eligible = whole
    if features is not None:
        eligible = whole.clamp(max=neighbours)
        if floor:
            eligible = torch.where(coins(floor, own, generator), whole, eligible)
    pick = uniform(eligible, own, generator)  # in the order of index
    local = eligible < whole  # where just ``neighbours`` are eligible
    place_drawn = pick + ((excluded >= 0) & (pick >= excluded)).long()
    if local.any():
        pools = members.split(sizes.tolist())
        place_drawn[local] = _nearest_place(
            pick[local],
            neighbours,
            excluded[local],
            queries,
            rows[local],
            drawn[local],
            features,
            pools,
        )
    return members[starts[drawn] + place_drawn]


def draw_near(
    drawn: Tensor,
    queries: Tensor,
    pool_labels: Tensor,
    pool_features: Tensor,
    n_classes: int,
    neighbours: int,
    *,
    generator: Generator,
) -> Tensor:
    """An image of each drawn class, uniformly among the class's ``neighbours`` nearest to a query.

    It takes nothing that is private, so whatever ``drawn`` and ``queries`` cost is all it costs.
    With ``queries = anchors[drawn]``, public anchors, only the response that made ``drawn`` counts
    (label-only anchor). With ``queries`` from
    :func:`mmlib.label_dp.mechanisms.noisy_query.privatised` the query's cost is added.
    No record keeps its own image: kept ones would be told by not being in the pool.

    Args:
        drawn: released labels (Q,), integers from 0 to K - 1.
        queries: (Q, D).
        pool_labels: classes (P,) of the images to draw from, which are public or of other people.
        pool_features: (P, D).
        n_classes: K, at least 2.
        neighbours: k, at least 1; a pool with fewer members is used whole.
        generator: the privacy noise's own.

    Returns indices (Q,) into the P images. Raises ``ValueError`` for values out of range, shapes
    that do not fit and a class without images.

    Source: this book's audit of label-DP.

    >>> line = torch.tensor([[0.0], [1.0], [2.0], [10.0], [11.0]])
    >>> classes, anchors = torch.tensor([0, 0, 0, 1, 1]), torch.tensor([[2.0], [10.0]])
    >>> drawn = torch.tensor([0, 1, 1])
    >>> g = torch.Generator().manual_seed(0)
    >>> draw_near(drawn, anchors[drawn], classes, line, 2, 1, generator=g)
    tensor([2, 3, 3])
    """
    check_labels(drawn, n_classes)
    check_labels(pool_labels, n_classes)
    check_range("neighbours", neighbours, 1)
    size = check_shape("queries", queries, "Q D", Q=len(drawn))
    check_shape("pool_features", pool_features, "P D", P=len(pool_labels), D=size["D"])
    return draw_members(
        pool_labels,
        pool_sizes(pool_labels, n_classes, include_self=True),
        drawn,
        torch.full_like(drawn, -1, dtype=torch.long),
        generator,
        queries=queries,
        rows=torch.arange(len(drawn), device=drawn.device),
        features=pool_features,
        neighbours=neighbours,
    )


def pool_sizes(labels: Tensor, n_classes: int, include_self: bool) -> Tensor:
    """Sizes of the pools (K,). Raises if one is empty, or has nobody but the record itself."""
    sizes = labels.bincount(minlength=n_classes)
    least = 1 if include_self else 2
    if sizes.min() < least:
        raise ValueError(
            f"class {sizes.argmin().item()} has {sizes.min().item()} records; allowed: at least "
            f"{least} when include_self is {include_self}"
        )
    return sizes


def _nearest_place(
    pick: Tensor,
    neighbours: int,
    excluded: Tensor,
    queries: Tensor,
    rows: Tensor,
    drawn: Tensor,
    features: Tensor,
    pools: tuple[Tensor, ...],
) -> Tensor:
    """Places in the drawn classes' pools: of each query's nearest ones, the ``pick``-th by index.

    One matrix product a class, for all queries that drew it.
    """
    places = torch.empty_like(pick)
    groups = drawn.argsort(stable=True).split(drawn.bincount(minlength=len(pools)).tolist())
    for group, pool in zip(groups, pools, strict=True):
        if not len(group):  # nobody drew this class
            continue
        members = features.index_select(0, pool)
        for part in group.split(max(1, _BLOCK // len(pool))):
            asked = queries.index_select(0, rows[part])
            near = nearest(asked, members, neighbours, excluded[part])
            places[part] = near.gather(1, pick[part, None]).squeeze(1)
    return places
