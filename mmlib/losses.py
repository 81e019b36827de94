"""Contrastive losses: pure functions of embeddings, all in log-sum-exp form.

Embeddings are rows (B, D) and need not be normalised; every loss compares them by cosine. Halves
are compared in float32, inside autocast too, since a softmax over a batch needs the digits. Every
loss is a mean over anchors, in nats. All raise ``ValueError`` for shapes that do not match, for a
batch of one (which has no negative) and for a temperature that is not positive (where it is a
number: a tensor is learned through its logarithm, and looking at it would stall a GPU).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mmlib._checks import check_choice, check_range, check_shape
from mmlib.device import constant


def info_nce(anchors: Tensor, positives: Tensor, *, temperature: float | Tensor) -> Tensor:
    """One-sided InfoNCE: each anchor picks its positive among all rows of ``positives``.

    The mean over anchors of minus the log-softmax of cosine / temperature at the own row; the
    positive is in the denominator. log(B) minus it is a lower bound on the mutual information.
    Source: van den Oord et al. 2018, equation 4.

    >>> z = torch.eye(2)
    >>> info_nce(z, z, temperature=1.0)  # log(1 + exp(-1))
    tensor(0.3133)
    """
    return _pick_partner(_cosines(anchors, positives) / _positive(temperature))


def information_bound(scores: Tensor) -> Tensor:
    """InfoNCE's lower bound on mutual information, in nats: log(B) - loss, never above log(B).

    Args:
        scores: (B, B), any critic's value of x_i and y_j. Their mean over fresh batches bounds
            I(X; Y) from below; on records that the critic was trained on it bounds nothing.

    Source: van den Oord et al. 2018, section 2.3; Poole et al. 2019, equation 10.

    >>> information_bound(torch.zeros(4, 4))  # a critic that knows nothing
    tensor(0.)
    """
    b = check_shape("scores", scores, "B B")["B"]
    check_range("batch size", b, 2)
    return math.log(b) - _pick_partner(at_least_float32(scores))


def club_bound(scores: Tensor) -> Tensor:
    """NCE-CLUB, an upper bound on mutual information in nats: mean of the diagonal minus of all.

    A bound only for the optimal critic of InfoNCE, log p(y|x) / p(y) up to a function of one of
    the two; ``scores`` are (B, B). Source: Liang et al. 2023, section 3.2.

    >>> club_bound(torch.eye(2))
    tensor(0.5000)
    """
    check_range("batch size", check_shape("scores", scores, "B B")["B"], 2)
    scores = at_least_float32(scores)
    return scores.diagonal().mean() - scores.mean()


def clip(z1: Tensor, z2: Tensor, *, scale: float | Tensor) -> Tensor:
    """CLIP's loss: the mean of both directions, z1 picks z2 and z2 picks z1.

    ``scale`` multiplies the cosines; a tensor, such as ``log_scale.exp()``, is learned with the
    rest. Source: Radford et al. 2021, section 2.3.

    >>> z = torch.eye(2)
    >>> clip(z, z, scale=1.0)
    tensor(0.3133)
    """
    logits = _cosines(z1, z2) * _positive(scale, "scale")
    return (_pick_partner(logits) + _pick_partner(logits.mT)) / 2


def nt_xent(view1: Tensor, view2: Tensor, *, temperature: float) -> Tensor:
    """SimCLR's NT-Xent: each of the 2 B rows picks its partner among the 2 B - 1 other rows.

    Rows of the same view are negatives, the anchor itself is left out. Symmetric in its arguments.
    Source: Chen et al. 2020, equation 1.

    >>> z = torch.eye(2)
    >>> nt_xent(z, z, temperature=1.0)  # log(1 + 2 exp(-1))
    tensor(0.5514)
    """
    _check_pair(view1, view2)
    rows = _unit(torch.cat([view1, view2]))
    logits = _product(rows, rows) / _positive(temperature)
    logits = logits.masked_fill(_eye(len(rows), rows), -torch.inf)
    partner = torch.arange(len(rows), device=rows.device).roll(len(view1))
    return F.cross_entropy(logits, partner)


def supcon(embeddings: Tensor, labels: Tensor, *, temperature: float) -> Tensor:
    """Supervised contrastive loss: every row of the own class is a positive.

    The mean over the B V anchors of the mean over each anchor's positives of minus the log-softmax
    among all other rows.

    Args:
        embeddings: (B, V, D), V views of each sample. An anchor needs a positive: V of 2 or more,
            or a class with another sample, else ``ValueError``.
        labels: (B,) integers.

    Source: Khosla et al. 2020, equation 2 (the sum outside the logarithm).

    >>> z = torch.eye(2)[:, None].expand(2, 2, 2)
    >>> supcon(z, torch.tensor([0, 1]), temperature=1.0)  # NT-Xent when all labels differ
    tensor(0.5514)
    """
    sizes = check_shape("embeddings", embeddings, "B V D")
    check_shape("labels", labels, "B", B=sizes["B"])
    check_range("batch size", sizes["B"], 2)
    rows = _unit(embeddings.flatten(0, 1))
    classes = labels.repeat_interleave(sizes["V"])
    itself = _eye(len(rows), rows)
    positive = (classes[:, None] == classes) & ~itself
    if not positive.any(dim=1).all():
        raise ValueError("an anchor has no positive: one view and a class with one sample")
    logits = _product(rows, rows) / _positive(temperature)
    log_share = logits.masked_fill(itself, -torch.inf).log_softmax(dim=1)
    return -(log_share.masked_fill(~positive, 0).sum(dim=1) / positive.sum(dim=1)).mean()


def cmc(embeddings: Sequence[Tensor], *, temperature: float) -> Tensor:
    """Contrastive multiview coding: the mean of NT-Xent over all pairs of M modalities.

    Source: Tian et al. 2020, with NT-Xent for each pair as in CoMM's released code.

    >>> z = torch.eye(2)
    >>> cmc([z, z, z], temperature=1.0)
    tensor(0.5514)
    """
    pairs = [(a, b) for i, a in enumerate(embeddings) for b in embeddings[i + 1 :]]
    if not pairs:
        raise ValueError(f"embeddings has {len(embeddings)} entries; allowed: 2 or more")
    return torch.stack([nt_xent(a, b, temperature=temperature) for a, b in pairs]).mean()


def cross_self(
    *aligned: Tensor, self_pairs: Sequence[tuple[Tensor, Tensor]], temperature: float
) -> Tensor:
    """Cross+Self: NT-Xent across modalities plus its mean over pairs of views within them.

    Of more than two modalities the first is the mean over their pairs, as in :func:`cmc`.
    Source: baseline of CoMM's released code.

    >>> z = torch.eye(2)
    >>> cross_self(z, z, self_pairs=[(z, z), (z, z)], temperature=1.0)
    tensor(1.1029)
    """
    if not self_pairs:
        raise ValueError("self_pairs is empty; allowed: 1 or more pairs of views")
    within = [nt_xent(a, b, temperature=temperature) for a, b in self_pairs]
    return cmc(aligned, temperature=temperature) + torch.stack(within).mean()


@dataclass(frozen=True)
class Convention:
    """The four places where CoMM's formula and its released code differ, each a choice.

    Attributes:
        masked: what is seen with modalities hidden: the ``"samples"`` themselves, or their
            augmented ``"views"``.
        against: the full embeddings that a masked one is contrasted with: of ``"both"`` views or of
            the ``"other"`` one. A sample belongs to neither view: for it the two are the same.
        contrast: ``"info_nce"``, the masked one as the anchor, or ``"nt_xent"``.
        reduce: ``"sum"`` or ``"mean"`` of the terms.

    Source: CoMM; released code.
    """

    masked: str = "samples"
    against: str = "both"
    contrast: str = "info_nce"
    reduce: str = "sum"


CONVENTIONS = {
    "paper": Convention(),
    "released": Convention("views", "other", "nt_xent", "mean"),
    # The formula with one of the released code's choices; to leave a view out needs views.
    "views": Convention(masked="views"),
    "other_view": Convention(masked="views", against="other"),
    "nt_xent": Convention(contrast="nt_xent"),
    "mean": Convention(reduce="mean"),
}


def convention_of(name: str) -> Convention:
    """The convention of that name in ``CONVENTIONS``. Raises ``ValueError`` for another.

    >>> convention_of("released").reduce
    'mean'
    """
    return CONVENTIONS[check_choice("convention", name, CONVENTIONS)]


def comm(
    view1: Sequence[Tensor],
    view2: Sequence[Tensor],
    *,
    temperature: float,
    convention: str = "paper",
    weights: Sequence[float] | None = None,
) -> Tensor:
    """CoMM's loss over the masked and full embeddings of two views.

    Args:
        view1, view2: embeddings (B, D), one for each mask, the full one last. In the paper the
            masked ones are of the sample itself, so the same tensors stand in both.
        convention: the name of one in ``CONVENTIONS``; ``"paper"`` sums the terms, ``"released"``
            divides the sum by their number.
        weights: of the terms, one for each mask; ``[0, .., 0, 1]`` is L alone.

    Source: CoMM, its objective L + sum_i L_i; and the released code.

    >>> z = torch.eye(2)
    >>> comm([z, z, z], [z, z, z], temperature=1.0)  # three times InfoNCE
    tensor(0.9398)
    """
    terms = comm_terms(view1, view2, temperature=temperature, convention=convention)
    if weights is not None:
        if len(weights) != len(terms):
            raise ValueError(f"weights has {len(weights)} entries for {len(terms)} terms")
        terms = terms * constant(tuple(weights), terms.device, terms.dtype)
    return terms.sum() if convention_of(convention).reduce == "sum" else terms.mean()


def comm_terms(
    view1: Sequence[Tensor],
    view2: Sequence[Tensor],
    *,
    temperature: float,
    convention: str = "paper",
) -> Tensor:
    """The terms of CoMM's loss, one for each mask: (n + 1,), the full one last.

    Each masked embedding is contrasted with the full embedding of the other view, never with one of
    its own view or with another mask: by one-sided InfoNCE, the masked one as the anchor
    (``"paper"``), or by NT-Xent (``"released"``). Only a convention of masked views against
    both has the own view's as well, and a term is then the mean over both.
    """
    form = convention_of(convention)
    if len(view1) != len(view2) or not view1:
        raise ValueError(f"view1 has {len(view1)} embeddings, view2 {len(view2)}; allowed: equal")
    contrast = info_nce if form.contrast == "info_nce" else nt_xent

    def both(full1: Tensor, full2: Tensor) -> list[Tensor]:
        return [
            contrast(masked1, full1, temperature=temperature) / 2
            + contrast(masked2, full2, temperature=temperature) / 2
            for masked1, masked2 in zip(view1[:-1], view2[:-1], strict=True)
        ]

    terms = both(view2[-1], view1[-1])
    if form.masked == "views" and form.against == "both":
        own = both(view1[-1], view2[-1])
        terms = [(a + b) / 2 for a, b in zip(terms, own, strict=True)]
    return torch.stack([*terms, contrast(view1[-1], view2[-1], temperature=temperature)])


def alignment(z1: Tensor, z2: Tensor) -> Tensor:
    """Mean squared distance of partners on the unit sphere: 0 where they agree, 2 by chance.

    Source: Wang and Isola 2020, section 4.1 (exponent 2).

    >>> alignment(torch.eye(2), 3 * torch.eye(2))
    tensor(0.)
    """
    _check_pair(z1, z2)
    return (_unit(z1) - _unit(z2)).square().sum(dim=1).mean()


def uniformity(z: Tensor) -> Tensor:
    """Log of the mean of exp(-2 squared distance) over pairs of different rows: 0 to -8.

    The lower, the more evenly the rows cover the unit sphere. Source: Wang and Isola 2020,
    section 4.1 (t = 2).

    >>> uniformity(torch.eye(2))  # one pair, at squared distance 2
    tensor(-4.)
    """
    cosines = _cosines(z, z)
    exponents = (4 * cosines - 4).masked_fill(_eye(len(z), z), -torch.inf)
    return exponents.flatten().logsumexp(dim=0) - math.log(len(z) * (len(z) - 1))


@torch.no_grad()
def match_accuracy(z1: Tensor, z2: Tensor) -> Tensor:
    """Percent of rows of ``z1`` whose nearest row of ``z2``, by cosine, is the partner.

    >>> match_accuracy(torch.eye(4), torch.eye(4).roll(1, 0))
    tensor(0.)
    """
    nearest = _cosines(z1, z2).argmax(dim=1)
    return 100 * (nearest == torch.arange(len(z1), device=z1.device)).float().mean()


def _pick_partner(logits: Tensor) -> Tensor:
    return F.cross_entropy(logits, torch.arange(len(logits), device=logits.device))


def _cosines(z1: Tensor, z2: Tensor) -> Tensor:
    _check_pair(z1, z2)
    return _product(_unit(z1), _unit(z2))


def _check_pair(z1: Tensor, z2: Tensor) -> None:
    sizes = check_shape("first embeddings", z1, "B D")
    check_shape("second embeddings", z2, "B D", **sizes)
    check_range("batch size", sizes["B"], 2)  # the other rows are the negatives


def _unit(rows: Tensor) -> Tensor:
    return F.normalize(at_least_float32(rows), dim=-1)


def at_least_float32(x: Tensor) -> Tensor:
    """``x`` itself, or in float32 if it has fewer digits: a softmax or a norm needs them."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def _product(rows: Tensor, columns: Tensor) -> Tensor:
    with torch.autocast(rows.device.type, enabled=False):
        return rows @ columns.mT


def _eye(n: int, like: Tensor) -> Tensor:
    return torch.eye(n, dtype=torch.bool, device=like.device)


def _positive(value: float | Tensor, name: str = "temperature") -> float | Tensor:
    return value if isinstance(value, Tensor) else check_range(name, value, 0, open_low=True)
