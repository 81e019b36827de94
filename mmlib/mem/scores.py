"""What hackers' ranks and embeddings tell of a protection: how much is left, and on which scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize

from mmlib.evaluate.retrieval import WAY

ENOUGH = 1 / 3  # of guessing's median rank: conclusions need a clean model below it


def protection_left(
    result: Mapping[str, float], clean: Mapping[str, float], guessing: Mapping[str, float]
) -> float:
    """How far a hacker's median ranks are from clean training's, on the way to guessing's.

    With the median ranks r of the hacker, c of clean training and g of guessing, the mean over both
    directions of log(r / c) / log(g / c): 0 as clean, 1 as guessing, negative where the hacker did
    better. A direction in which clean training is no better than guessing counts 0.

    Args:
        result, clean, guessing: what :func:`mmlib.evaluate.retrieval.retrieval` returns.

    >>> def ranks(r):
    ...     return {"median_rank.i2t": r, "median_rank.t2i": r}
    >>> protection_left(ranks(20), ranks(10), ranks(1000))
    0.150...
    """
    shares = []
    for direction in WAY:
        key = f"median_rank.{direction}"
        room = math.log(guessing[key] / clean[key])
        shares.append(math.log(result[key] / clean[key]) / room if room > 0 else 0.0)
    return sum(shares) / len(shares)


def rank_ratio(result: Mapping[str, float], clean: Mapping[str, float]) -> float:
    """A hacker's median ranks over clean training's, geometric mean of both directions.

    >>> clean = {"median_rank.i2t": 10, "median_rank.t2i": 10}
    >>> rank_ratio({"median_rank.i2t": 40, "median_rank.t2i": 10}, clean)
    2.0
    """
    ratios = [result[f"median_rank.{d}"] / clean[f"median_rank.{d}"] for d in WAY]
    return (ratios[0] * ratios[1]) ** 0.5


def weakest(left: Mapping[str, float]) -> str:
    """The defence that leaves least of a protection, the first of equals.

    >>> weakest({"drop words": 0.4, "crop": 0.1, "both": 0.1})
    'crop'
    """
    return min(left, key=left.__getitem__)


def safest(left: Mapping[str, Mapping[str, float]]) -> str:
    """The protection of which its own weakest defence leaves most, the first of equals.

    >>> safest({"noise": {"drop": 0.9, "crop": 0.0}, "words": {"drop": 0.2, "crop": 0.3}})
    'words'
    """
    return max(left, key=lambda name: left[name][weakest(left[name])])


def headroom(clean: Mapping[str, float], guessing: Mapping[str, float]) -> dict[str, float]:
    """Clean training's median rank over guessing's, for each direction of :data:`WAY`.

    Conclusions need less than :data:`ENOUGH` in both.

    >>> ranks = {"median_rank.i2t": 100, "median_rank.t2i": 50}
    >>> headroom({"median_rank.i2t": 10, "median_rank.t2i": 25}, ranks)
    {'i2t': 0.1, 't2i': 0.5}
    """
    return {d: clean[f"median_rank.{d}"] / guessing[f"median_rank.{d}"] for d in WAY}


def worse_headroom(runs: Sequence[Mapping[str, float]]) -> float:
    """:func:`headroom` of recorded metrics, mean over runs, in the direction where it is larger.

    >>> worse_headroom([{"headroom.i2t": 0.1, "headroom.t2i": a} for a in (0.2, 0.4)])
    0.3...
    """
    return max(math.fsum(run[f"headroom.{d}"] for run in runs) / len(runs) for d in WAY)


def alignment(images: Tensor, captions: Tensor) -> float:
    """Mean cosine of embeddings (N, D) of images and their own captions (N, D) less that of others.

    In standard deviations of the cosines with others' captions.

    >>> z = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    >>> round(alignment(z, 3 * z), 2)  # others' cosines are 0, 0, 0, 0, -1, -1
    2.58
    """
    cosines = normalize(images, dim=1) @ normalize(captions, dim=1).T
    own = torch.eye(len(cosines), dtype=torch.bool, device=cosines.device)
    others = cosines[~own]
    return ((cosines[own].mean() - others.mean()) / others.std()).item()
