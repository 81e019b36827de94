"""Retrieval between images and captions, where equal similarities share their ranks fairly.

A sort breaks ties by index, which lets a collapsed model (all similarities equal) look perfect or
hopeless. Here every number is its expectation over a random order of tied items, computed exactly,
so that a collapsed model gets exactly what guessing gets.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mmlib._checks import check_range, check_shape
from mmlib.device import check_products

WAY = {"i2t": "captions ranked for an image", "t2i": "images ranked for a caption"}
_MEANINGS = {f"recall_{k}": f"share in % of queries with rank at most {k}" for k in (1, 5, 10)}
_MEANINGS["median_rank"] = "median rank"
MEASURES = {  # what retrieval() gives, and what that is
    f"{measure}.{direction}": f"{meaning}, {way}"
    for direction, way in WAY.items()
    for measure, meaning in _MEANINGS.items()
}
_COMPARED = 1 << 21  # similarities at once: 8 MiB
_ANEW = 1 << 18  # numbers at once where similarities are computed anew
_SHARE = 1 / 64  # of a block's pairs above which a product of all is quicker than one by one

_Units = tuple[Tensor, Tensor]  # embeddings (Q, D) and (I, D) of length 1 in float64


def retrieval(
    similarity: Tensor | tuple[Tensor, Tensor], captions_per_image: int = 5
) -> dict[str, float]:
    """Recall at 1, 5 and 10 (percent) and median rank, image to text (i2t) and text to image (t2i).

    Image i owns captions i * c to i * c + c - 1. Its rank is the best of theirs among all
    captions; a caption's rank is that of its image among all images. Ranks count from 1, and the
    median over queries is rounded down.

    Args:
        similarity: (N, N * c), higher is closer; or embeddings of images (N, D) and captions
            (N * c, D), whose cosine similarity is then taken: 4 N^2 c bytes.
        captions_per_image: c.

    Returns ``recall_1.i2t``, ``recall_5.i2t``, ``recall_10.i2t``, ``median_rank.i2t`` and the same
    for t2i. Raises ``ValueError`` on other shapes and on nan or infinite values, and as
    :func:`mmlib.device.check_products` says where it takes products.
    Source: MEM, released code (there ties are broken by index).

    >>> retrieval(torch.eye(4).repeat_interleave(2, dim=1), captions_per_image=2)["recall_1.i2t"]
    100.0
    """
    c = check_range("captions_per_image", captions_per_image, 1)
    units = None
    if not isinstance(similarity, Tensor):
        units = _units(*similarity)
        check_products(units[0].device)
        with torch.autocast(units[0].device.type, enabled=False):
            similarity = units[0].float() @ units[1].float().T
    n, total = check_shape("similarity", similarity, "N C").values()
    if total != n * c:
        raise ValueError(f"there are {total} captions of {n} images; allowed: {n * c}")
    caption = torch.arange(total)
    i2t = _rank(similarity, caption.view(n, c), units)
    t2i = _rank(similarity.T, caption[:, None] // c, units and units[::-1])
    return {**i2t.summary("i2t"), **t2i.summary("t2i")}


def random_retrieval(n_images: int, captions_per_image: int = 5) -> dict[str, float]:
    """What :func:`retrieval` is for a random order, exactly.

    Source: MEM (its "random guessing"); for 1,000 images of 5 captions the median ranks are 647
    and 500.

    >>> random_retrieval(1000)["median_rank.i2t"]
    647.0
    """
    n = check_range("n_images", n_images, 1)
    c = check_range("captions_per_image", captions_per_image, 1)
    i2t = _Ranks(*torch.tensor([[0], [c], [(n - 1) * c]]))
    t2i = _Ranks(*torch.tensor([[0], [1], [n - 1]]))
    return {**i2t.summary("i2t"), **t2i.summary("t2i")}


@dataclass(frozen=True)
class _Ranks:
    """Where the best own item of each of Q queries lies, up to the order of equal items."""

    better: Tensor  # (Q,) wrong items above it
    own: Tensor  # (Q,) own items level with it, itself included
    wrong: Tensor  # (Q,) wrong items level with it

    def within(self, rank: int) -> float:
        """Probability that the best own item is among the first ``rank``, mean over queries."""
        drawn = (rank - self.better).clamp(min=0).double()  # places left for the level items
        missed = torch.ones_like(drawn)
        for j in range(int(self.own.max())):  # none of the own items is among the drawn
            level = self.own + self.wrong - j
            missed *= torch.where(
                j < self.own, (level - drawn).clamp(min=0) / level.clamp(min=1), 1
            )
        return (1 - missed).mean().item()

    def summary(self, direction: str) -> dict[str, float]:
        ranks = range(1, int((self.better + self.wrong).max()) + 2)  # up to the last possible
        low = ranks[bisect_left(ranks, 0.5 - 1e-12, key=self.within)]
        high = ranks[bisect_right(ranks, 0.5 + 1e-12, key=self.within)]
        recalls = {f"recall_{k}.{direction}": 100 * self.within(k) for k in (1, 5, 10)}
        return {**recalls, f"median_rank.{direction}": float((low + high) // 2)}


def _rank(similarity: Tensor, own: Tensor, units: _Units | None = None) -> _Ranks:
    """Ranks of the Q rows of ``similarity`` (Q, I); ``own`` (Q, c) says which items are a row's.

    With ``units``, whose product it is in float32, ranks are those of the product in float64,
    rounded to float32, so that pairs that are equal but for rounding stay tied. The error of a
    float32 product is bounded: only items so near to a query's best own one that the bound leaves
    their order open are computed anew.
    """
    slack = 0.0
    if units is not None:  # D rounded products and sums, of numbers that were rounded before
        slack = (0.51 * units[0].shape[1] + 4) * torch.finfo(torch.float32).eps
    better, level_own, level_all = torch.empty(3, len(own), dtype=torch.long)
    for queries in torch.arange(len(own)).split(max(1, _COMPARED // similarity.shape[1])):
        here = slice(int(queries[0]), int(queries[-1]) + 1)
        block, mine = similarity[here], own[here].to(similarity.device)
        if not block.sum(dtype=torch.float64).isfinite():  # nan, no better than any, would be first
            raise ValueError("similarity holds nan or infinity; allowed: finite numbers")

        def exact(row: Tensor, item: Tensor, block=block, here=here) -> Tensor:
            if units is None:
                return block[row, item]
            return _cosines(units[0][here], units[1], row, item)

        rows = torch.arange(len(block), device=block.device)
        level = exact(rows.repeat_interleave(own.shape[1]), mine.flatten()).view_as(mine)
        best = level.amax(1)
        above = block > best[:, None] + slack
        row, item = (above ^ (block >= best[:, None] - slack)).nonzero().unbind(1)
        value = exact(row, item)
        higher = row[value > best[row]].bincount(minlength=len(block))
        better[here] = (above.count_nonzero(1) + higher).cpu()
        level_own[here] = (level == best[:, None]).count_nonzero(1).cpu()
        level_all[here] = row[value == best[row]].bincount(minlength=len(block)).cpu()
    return _Ranks(better, level_own, level_all - level_own)


def _units(images: Tensor, captions: Tensor) -> _Units:
    d = check_shape("images", images, "N D")["D"]
    check_shape("captions", captions, "C D", D=d)
    return F.normalize(images.double(), dim=1), F.normalize(captions.double(), dim=1)


def _cosines(queries: Tensor, items: Tensor, row: Tensor, item: Tensor) -> Tensor:
    """Of pairs (E,) of a row of ``queries`` and one of ``items``: in float64, then rounded."""
    if len(row) > _SHARE * len(queries) * len(items):
        return (queries @ items.T)[row, item].float()
    at_once = max(1, _ANEW // queries.shape[1])
    pairs = zip(row.split(at_once), item.split(at_once), strict=True)
    return torch.cat([(queries[i] * items[j]).sum(1).float() for i, j in pairs])
