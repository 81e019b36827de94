"""Randomized response on labels, and double randomized response on labels and images.

``noise`` is always the paper's lambda as its Algorithm 1 prints it: the chance that the label is
drawn anew, uniformly from all K classes *with the own one*. The paper's prose draws one of the
*other* classes instead; that is the same mechanism with (K - 1) / K of this lambda.

What is drawn is drawn once: to draw again, for example in every epoch, releases the labels again
and costs as much again.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mmlib._checks import check_range, check_shape
from mmlib.label_dp.coins import Generator, coins, uniform
from mmlib.label_dp.pools import draw_members


def randomized_response(
    labels: Tensor, noise: float, n_classes: int, *, generator: Generator
) -> Tensor:
    """Released labels: each is kept, or with chance ``noise`` drawn uniformly from all classes.

    Args:
        labels: integers (N,) from 0 to K - 1.
        noise: lambda, from 0 (nothing changes) to 1 (nothing of the label is left).
        n_classes: K, at least 2.
        generator: the privacy noise's own, on the device of ``labels``.

    Returns released labels (N,). Raises ``ValueError`` for a label, K or ``noise`` out of range.

    Source: Warner 1965; label-DP paper, Algorithm 1, step 2.

    >>> g = torch.Generator().manual_seed(0)
    >>> released = randomized_response(torch.full((100_000,), 3), 0.8, 4, generator=g)
    >>> [round(share, 2) for share in (released.bincount() / 1e5).tolist()]  # 0.2 + 0.8 / 4 kept
    [0.2, 0.2, 0.2, 0.4]
    """
    check_labels(labels, n_classes)
    fallen = coins(noise, labels, generator)
    return torch.where(fallen, uniform(n_classes, labels, generator), labels)


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
            have no finite population epsilon, see :mod:`mmlib.label_dp.terms`.
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
    records = _all_records(labels, records)
    swapped = coins(noise, records, generator)
    record = records[swapped]
    drawn = uniform(n_classes, record, generator)  # y', whatever the own label is
    source = records.clone()
    source[swapped] = (0 if own_pool else len(labels)) + draw_members(
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
    return source


def double_rr(
    labels: Tensor,
    noise: float,
    n_classes: int,
    *,
    neighbours: int | None = None,
    features: Tensor | None = None,
    include_self: bool = False,
    records: Tensor | None = None,
    generator: Generator,
) -> tuple[Tensor, Tensor]:
    """Double randomized response: released labels, and whose image each record shows.

    The label goes through :func:`randomized_response` and, by coins of its own, the image through
    :func:`swap_images`, which documents the arguments. Pools are formed by the true ``labels``.
    What this guarantees, and what nearest draws do not, says
    :meth:`mmlib.label_dp.terms.DoubleRR.cost`.

    Returns labels (Q,) and indices (Q,) into the N records; Q = N unless ``records`` says else.

    Source: label-DP paper, Algorithm 1; Busa-Fekete et al. 2023.

    >>> g = torch.Generator().manual_seed(0)
    >>> labels = torch.arange(100_000) % 4
    >>> released, source = double_rr(labels, 0.8, 4, generator=g)
    >>> round((labels[source] == released).double().mean().item(), 2)  # 0.4^2 + 3 * 0.2^2
    0.28
    """
    records = _all_records(labels, records)
    released = randomized_response(labels[records], noise, n_classes, generator=generator)
    source = swap_images(
        labels,
        noise,
        n_classes,
        neighbours=neighbours,
        features=features,
        include_self=include_self,
        records=records,
        generator=generator,
    )
    return released, source


def check_labels(labels: Tensor, n_classes: int) -> None:
    """Raise unless ``labels`` are integers (N,) from 0 to K - 1, of a dtype that holds them all."""
    check_range("n_classes", n_classes, 2)
    _check_integers("label", labels, n_classes)
    check_range("n_classes", n_classes, 2, torch.iinfo(labels.dtype).max + 1)


def _all_records(labels: Tensor, records: Tensor | None) -> Tensor:
    """The records (Q,) that are asked for, by default each once."""
    if records is None:
        return torch.arange(len(labels), device=labels.device)
    _check_integers("record", records, len(labels))
    return records.long()  # torch takes uint8 for a mask


def _check_integers(name: str, values: Tensor, count: int) -> None:
    """Raise unless ``values`` are integers (N,) from 0 to ``count`` - 1."""
    check_shape(f"{name}s", values, "N")
    if values.is_floating_point() or values.dtype == torch.bool:
        raise ValueError(f"{name}s have dtype {values.dtype}; allowed: integers")
    if len(values):
        check_range(f"smallest {name}", values.min().item(), 0, count - 1)
        check_range(f"largest {name}", values.max().item(), 0, count - 1)


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
