"""Variants of double randomized response, each with a bound that the printed one lacks.

What each costs, under which notion, says :mod:`mmlib.label_dp.terms`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mmlib._checks import check_range, check_shape
from mmlib.label_dp.coins import Generator, normal
from mmlib.label_dp.mechanisms import check_labels, pool_sizes, swap_images
from mmlib.label_dp.pools import draw_members


def coupled_rr(
    labels: Tensor,
    noise: float,
    n_classes: int,
    *,
    include_self: bool = False,
    records: Tensor | None = None,
    pool_labels: Tensor | None = None,
    generator: Generator,
) -> tuple[Tensor, Tensor]:
    """One coin for label and image: keep both, or draw a class and show an image of that class.

    The image always belongs to the released label, so given this label it tells nothing more: half
    the cost of double RR where images are private too. To whoever knows the images an image left in
    place tells that the label is true: no finite epsilon under the standard notion.

    Args:
        labels: integers (N,) from 0 to K - 1, of the N records that make the pools.
        noise: lambda, from 0 to 1.
        n_classes: K, at least 2.
        include_self: whether a record may be drawn from its own class's pool.
        records: indices (Q,) of the records to draw for. Default: all N, each once.
        pool_labels: classes (P,) of images to draw from in place of the records; image p is index
            N + p.
        generator: the privacy noise's own.

    Returns released labels (Q,) and indices (Q,) into the N records, from N on into the pool.
    Raises ``ValueError`` for values out of range and for a class whose pool is empty.

    Source: this book's audit of label-DP; compare Busa-Fekete et al. 2023.

    >>> g = torch.Generator().manual_seed(0)
    >>> labels = torch.arange(100_000) % 4
    >>> released, source = coupled_rr(labels, 0.8, 4, generator=g)
    >>> bool((labels[source] == released).all())
    True
    """
    source = swap_images(
        labels,
        noise,
        n_classes,
        include_self=include_self,
        records=records,
        pool_labels=pool_labels,
        generator=generator,
    )
    of = labels if pool_labels is None else torch.cat([labels, pool_labels.to(labels.dtype)])
    return of[source], source  # a kept image is of the own class, and any other of the drawn one


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
    (label-only anchor). With ``queries`` from :func:`privatised` the query's cost is added.
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
        pool_labels.long(),
        pool_sizes(pool_labels, n_classes, include_self=True),
        drawn.long(),
        torch.full_like(drawn, -1, dtype=torch.long),
        generator,
        queries=queries,
        rows=torch.arange(len(drawn), device=drawn.device),
        features=pool_features,
        neighbours=neighbours,
    )


def privatised(features: Tensor, clip: float, sigma: float, *, generator: Generator) -> Tensor:
    """Features cut to length ``clip`` with Gaussian noise of standard deviation ``sigma`` added.

    Two inputs differ by at most 2 ``clip``, so of order alpha it costs alpha (2 clip)^2 / (2
    sigma^2), whatever the features are: :func:`mmlib.label_dp.bounds.query_cost`. In floating
    point the last bits of noisy numbers can tell more than that; what is only compared, as a
    neighbour search does, is safe to show, the numbers themselves are not.

    Args:
        features: (N, D).
        clip: largest length, above 0.
        sigma: standard deviation of the noise, 0 or more.
        generator: the privacy noise's own.

    Source: Dwork et al. 2006; Mironov 2017, Proposition 7.

    >>> g = torch.Generator().manual_seed(0)
    >>> privatised(torch.tensor([[3.0, 4.0], [0.3, 0.4]]), 1.0, 0.0, generator=g)
    tensor([[0.6000, 0.8000],
            [0.3000, 0.4000]])
    """
    check_shape("features", features, "N D")
    check_range("clip", clip, 0.0, open_low=True)
    check_range("sigma", sigma, 0.0)
    length = features.norm(dim=1, keepdim=True)
    cut = features * (clip / length.clamp(min=clip))
    return cut + (sigma * normal(features, generator)).to(features.dtype)
