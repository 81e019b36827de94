"""Exact laws of double randomized response in worlds small enough to write down.

A world has K classes and N images; ``images`` (K, N) holds p(x | y), each row a distribution. From
the law of what is released its divergences follow without any bound or draw: what the theorem is
checked against, and what shows that the nearest-neighbour draw has none.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from mmlib._checks import check_choice, check_range, check_shape
from mmlib.label_dp.mechanisms.double_rr import DoubleRR
from mmlib.label_dp.mechanisms.redrawn_rr import RedrawnRR
from mmlib.label_dp.neighbours import nearest
from mmlib.label_dp.pools import pool_sizes


def double_rr_law(images: Tensor, noise: float, draws: Tensor | None = None) -> Tensor:
    """Law of the released label and image, given the true label, by the steps of Algorithm 1.

    Args:
        images: p(x | y), (K, N); rows sum to 1.
        noise: lambda of both coins, from 0 to 1.
        draws: chance (K, N, N) that image x is replaced by another one once class y' is drawn,
            indexed [y', x, replacement]. Default: p(. | y') whatever x is, as the theorem assumes.

    Returns (K, K, N) in float64, indexed [true label, released label, released image].

    >>> images = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])
    >>> law = double_rr_law(images, 0.5)
    >>> law[0]
    tensor([[0.2812, 0.2812, 0.1875],
            [0.0938, 0.0938, 0.0625]], dtype=torch.float64)
    >>> round(renyi_divergence(law[0], law[1], math.inf), 4)  # 2 log(1 + K)
    2.1972
    """
    size = check_shape("images", images, "K N")
    check_range("noise", noise, 0.0, 1.0)
    images = images.double()
    if draws is None:
        draws = images[:, None].expand(-1, size["N"], -1)
    check_shape("draws", draws, "K N N", **size)
    kept = torch.eye(size["N"], dtype=torch.float64, device=images.device)
    image = (1 - noise) * kept + noise * draws.mean(0)  # y' is uniform
    label = response_law(noise, size["K"]).to(images.device)
    return torch.einsum("yj,yx,xs->yjs", label, images, image)


def pairs_law(joint: Tensor, classes: Tensor, terms: DoubleRR | RedrawnRR) -> Tensor:
    """Law (A, B) of image and row after a release by uniform draws, of their ``joint`` before it.

    ``classes`` (A,) is the private label of each kind of image; each class needs images. Draws are
    of each class's own distribution. The row stays or, by double RR's ``terms``, moves with the
    image. By double RR a row that stays meets, with chance lambda, an image that knows nothing of
    it: whatever the label is, if classes are equally frequent.

    >>> noisy = {"n_classes": 2, "noise_label": 0.5, "noise_image": 0.5, "table": "stays"}
    >>> pairs_law(torch.eye(2) / 2, torch.arange(2), RedrawnRR(**noisy))
    tensor([[0.3750, 0.1250],
            [0.1250, 0.3750]], dtype=torch.float64)
    """
    size = check_shape("joint", joint, "A B")
    check_shape("classes", classes, "A", A=size["A"])
    joint = joint.double()
    of_class = F.one_hot(classes, terms.n_classes).T.double()[:, :, None] * joint  # p(a, b, y)
    drawn = of_class / of_class.sum((1, 2), keepdim=True)  # p(a, b | y)
    if isinstance(terms, RedrawnRR):
        check_choice("table", terms.table, ("stays",))
        rows = response_law(terms.noise_image, terms.n_classes) @ of_class.sum(1)  # p(y', b)
        return drawn.sum(2).T @ rows
    other = drawn.mean(0)  # the class is uniform
    if terms.table != "moves":
        other = other.sum(1, keepdim=True) * joint.sum(0)
    return (1 - terms.noise_image) * joint + terms.noise_image * other


def response_law(noise: float, n_classes: int) -> Tensor:
    """Chances (K, K) in float64 of the released label, given the true one.

    >>> response_law(0.8, 4)[3]
    tensor([0.2000, 0.2000, 0.2000, 0.4000], dtype=torch.float64)
    """
    check_range("noise", noise, 0.0, 1.0)
    return (1 - noise) * torch.eye(n_classes, dtype=torch.float64) + noise / n_classes


def class_images(labels: Tensor, n_classes: int) -> Tensor:
    """p(x | y) (K, N) when each class's images are equally likely; ``labels`` (N,) are theirs.

    Raises ``ValueError`` for a class without images.

    >>> class_images(torch.tensor([0, 0, 1]), 2)
    tensor([[0.5000, 0.5000, 0.0000],
            [0.0000, 0.0000, 1.0000]], dtype=torch.float64)
    """
    sizes = pool_sizes(labels, n_classes, include_self=True)
    return F.one_hot(labels, n_classes).T.double() / sizes[:, None]


def knn_draws(labels: Tensor, features: Tensor, neighbours: int, n_classes: int) -> Tensor:
    """Chance (K, N, N) of each replacement when it is drawn among the nearest of a class.

    ``labels`` (N,) are the images' classes, ``features`` (N, D) what distances are taken of; an
    image may replace itself. Goes into :func:`double_rr_law`. Raises ``ValueError`` for less than
    one neighbour and a class without images.
    """
    check_range("neighbours", neighbours, 1)
    n, sizes = len(labels), pool_sizes(labels, n_classes, include_self=True)
    draws = torch.zeros(n_classes, n, n, dtype=torch.float64, device=labels.device)
    for c in range(n_classes):
        pool = (labels == c).nonzero().squeeze(1)
        k = min(neighbours, int(sizes[c]))
        near = nearest(features, features[pool], k, own=torch.full_like(labels, -1))
        draws[c].scatter_(1, pool[near], 1 / k)
    return draws


def renyi_divergence(p: Tensor, q: Tensor, order: float) -> float:
    """Rényi divergence of two distributions over the same finite outcomes, in nats.

    ``order`` runs from 1 (the Kullback-Leibler divergence) to infinity (largest log-ratio). It is
    infinite when ``p`` gives a chance to an outcome that ``q`` never has.

    Source: Mironov 2017, Definition 3.

    >>> p, q = torch.tensor([0.75, 0.25]), torch.tensor([0.25, 0.75])
    >>> round(renyi_divergence(p, q, math.inf), 6) == round(math.log(3), 6)
    True
    """
    check_range("order", order, 1.0)
    p, q = p.double().flatten(), q.double().flatten()
    check_shape("q", q, "N", N=len(p))
    possible = p > 0
    log_p, log_q = p[possible].log(), q[possible].log()
    ratio = log_p - log_q
    if order == math.inf:
        return ratio.max().item()
    if order == 1:
        return (log_p.exp() * ratio).sum().item()
    return torch.logsumexp(log_p + (order - 1) * ratio, 0).item() / (order - 1)


def approximate_divergence(p: Tensor, q: Tensor, delta: float) -> float:
    """The least epsilon, from 0, of which p(E) <= e^epsilon q(E) + ``delta`` holds for all events.

    ``p`` and ``q`` are over the same finite outcomes; of all events the worst is where p exceeds
    e^epsilon q. ``delta`` is from 0 (the pure epsilon) to 1.

    Source: Dwork and Roth 2014, Definition 2.4.

    >>> p, q = torch.tensor([0.75, 0.25]), torch.tensor([0.25, 0.75])
    >>> round(approximate_divergence(p, q, 0.25), 4)  # log 2: 0.75 - 2 * 0.25
    0.6931
    """
    from scipy.optimize import brentq

    check_range("delta", delta, 0.0, 1.0)
    p, q = p.double().flatten(), q.double().flatten()
    check_shape("q", q, "N", N=len(p))

    def failing(epsilon: float) -> float:
        return (p - math.exp(epsilon) * q).clamp(min=0).sum().item() - delta

    if failing(0) <= 0:
        return 0.0
    possible = q > 0
    if p[~possible].sum() > delta:
        return math.inf
    pure = renyi_divergence(p[possible], q[possible], math.inf)
    return brentq(failing, 0, pure) if failing(pure) < 0 else pure  # rounding may exceed delta
