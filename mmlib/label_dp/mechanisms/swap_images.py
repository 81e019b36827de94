"""The image's half of double randomized response: whose image each record shows.

``noise`` is the paper's lambda as its Algorithm 1 prints it, see
:mod:`mmlib.label_dp.mechanisms.randomized_response`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mmlib._checks import check_range, check_shape
from mmlib.label_dp._checks import check_labels, records_or_all
from mmlib.label_dp.coins import Generator, coins, uniform
from mmlib.label_dp.pools import draw_members, pool_sizes

# Why bounds are lost where images are kept that could not be drawn.
IN_NO_POOL = "an image that is in no pool was kept, and that tells its class"


def swap_images(
    labels: Tensor,
    noise: float,
    n_classes: int,
    *,
    neighbours: int | None = None,
    features: Tensor | None = None,
    floor: float = 0.0,
    include_self: bool = False,
    records: Tensor | None = None,
    pool_labels: Tensor | None = None,
    pool_features: Tensor | None = None,
    generator: Generator,
) -> Tensor:
    """Whose image each record shows: its own, or with chance ``noise`` one of a random class.

    That class is uniform over all K and does not look at the record's own label; labels only form
    the pools, one a class, from which images are drawn. Pass released labels, and the pools tell
    nothing more than these do. Pass ``pool_labels``, and images come from a pool of their own,
    public or of other people, and ``labels`` are not looked at.

    Args:
        labels: integers (N,) from 0 to K - 1, of the N records that make the pools.
        noise: lambda of the image, from 0 to 1.
        n_classes: K, at least 2.
        neighbours: k. With it the draw is not uniform over the class's pool, but over its k members
            nearest to the record, by Euclidean distance of ``features``, exactly, ties by index; a
            pool with fewer members is used whole.
        features: (N, D), for nearest draws. They must not have been learned from private labels.
        floor: gamma, chance that a nearest draw is uniform after all. Without it nearest draws
            have no finite population epsilon, see
            :class:`mmlib.label_dp.mechanisms.double_rr.DoubleRR`.
        include_self: whether a record may be drawn from its own class's pool in place of itself.
            By default it may not: then, with the other records' labels fixed, its own label has no
            influence on its image.
        records: indices (Q,) of the records to draw for, each as often as it is listed.
            Default: all N, each once.
        pool_labels, pool_features: classes (P,) and features (P, D) of the images to draw from in
            place of the records; image p is index N + p.
        generator: the privacy noise's own, on the device of ``labels``.

    Returns indices (Q,) into the N records, from N on into the pool. Raises ``ValueError`` for
    values out of range, arguments that do not go together, and a class with an empty pool.

    Source: label-DP paper, Algorithm 1, step 3.

    >>> g = torch.Generator().manual_seed(0)
    >>> labels = torch.arange(100_000) % 4
    >>> source = swap_images(labels, 0.8, 4, generator=g)
    >>> round((labels[source] == labels).double().mean().item(), 2)  # 0.2 + 0.8 / 4
    0.4
    """
    check_labels(labels, n_classes)
    _check_nearest(labels, neighbours, features, floor, pool_labels, pool_features)
    own_pool = pool_labels is None  # the records are the pool
    of = labels if own_pool else pool_labels
    check_labels(of, n_classes)
    sizes = pool_sizes(of, n_classes, include_self or not own_pool)
    records = records_or_all(labels, records)

    def draw(drawn: Tensor, record: Tensor) -> Tensor:
        return (0 if own_pool else len(labels)) + draw_members(
            of,
            sizes,
            drawn,
            record if own_pool and not include_self else torch.full_like(record, -1),
            generator,
            queries=features,
            rows=record,
            features=features if own_pool else pool_features,
            neighbours=neighbours or 1,
            floor=floor,
        )

    return swap(records, noise, n_classes, draw, generator)


def swap(
    records: Tensor,
    noise: float,
    n_classes: int,
    draw: Callable[[Tensor, Tensor], Tensor],
    generator: Generator,
) -> Tensor:
    """The mechanism alone: ``draw`` says which image of a class stands in for a record's own.

    It is given the drawn classes (S,) and the records (S,) whose image is swapped.
    """
    swapped = coins(noise, records, generator)
    record = records[swapped]
    drawn = uniform(n_classes, record, generator)  # y', whatever the own label is
    source = records.clone()
    source[swapped] = draw(drawn, record)
    return source


def _check_nearest(
    labels: Tensor,
    neighbours: int | None,
    features: Tensor | None,
    floor: float,
    pool_labels: Tensor | None,
    pool_features: Tensor | None,
) -> None:
    """Raise unless the arguments of nearest draws fit each other, or there are none."""
    if (features is None) != (neighbours is None):
        raise ValueError("features go with neighbours, and neighbours with features")
    if (pool_features is None) != (neighbours is None or pool_labels is None):
        raise ValueError("pool_features go with neighbours and pool_labels, and only there")
    check_range("floor", floor, 0.0, 0.0 if neighbours is None else 1.0)
    if neighbours is not None:
        check_range("neighbours", neighbours, 1)
        size = check_shape("features", features, "N D", N=len(labels))
        if pool_labels is not None:
            check_shape("pool_features", pool_features, "P D", P=len(pool_labels), D=size["D"])
