"""HotFlip: trigger words chosen by their first-order effect on a loss, then by the loss itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mmlib._checks import check_range, check_shape
from mmlib.encoders.text import TextTransformer
from mmlib.mem.trigger import allowed_words, insert


def candidates(gradient: Tensor, table: Tensor, allowed: Tensor, count: int) -> Tensor:
    """The ``count`` words (B, J) that would lower the loss most, to first order, best first.

    Replacing the embedding e of a position by that of word w changes the loss by about
    (e_w - e) . gradient; the part with e is the same for all words.

    Args:
        gradient: (B, D), of the loss with respect to the position's embedding.
        table: (V, D) embeddings of all words.
        allowed: (V,) bool, the words to choose from.

    Source: HotFlip (Ebrahimi et al. 2018); MEM, Eq. 6.

    >>> candidates(torch.tensor([[1.0]]), torch.tensor([[3.0], [-2.0], [-9.0]]),
    ...            torch.tensor([True, True, False]), 1)
    tensor([[1]])
    """
    check_range("count", count, 1, int(allowed.sum()))
    scores = -gradient @ table.T
    return scores.masked_fill_(~allowed, -torch.inf).topk(count, dim=1).indices


@dataclass(frozen=True)
class Step:
    """New triggers (B, K) and the batch's loss with the old and with the new ones."""

    triggers: Tensor
    before: Tensor
    after: Tensor


def clip_swapped(
    images: Tensor, texts: Tensor, options: Tensor, *, scale: float | Tensor
) -> Tensor:
    """CLIP's loss (B, J) if only text i of the batch is replaced by its option j.

    A replaced text changes one column of the logits: its own choice among the images, and one term
    of the sum over texts of every image. So all B J losses cost B B J logits, not B B B J.

    Args:
        images, texts: (B, D) embeddings, of any length.
        options: (B, J, D).
        scale: what cosines are multiplied with.

    >>> z = torch.eye(2)
    >>> clip_swapped(z, z, torch.eye(2)[:, None].repeat(1, 2, 1), scale=1.0)
    tensor([[0.3133, 0.3133],
            [0.3133, 0.3133]])
    """
    sizes = check_shape("texts", texts, "B D", **check_shape("images", images, "B D"))
    check_shape("options", options, "B J D", **sizes)
    with torch.autocast(images.device.type, enabled=False):
        wide = torch.promote_types(images.dtype, torch.float32)
        u, v, w = (F.normalize(z.to(wide), dim=-1) for z in (images, texts, options))
        logits = scale * u @ v.T  # image k, text i
        column = scale * torch.einsum("kd,ijd->kij", u, w)  # image k, text i as its option j
        right, all_rows = logits.diagonal(), torch.arange(len(u), device=u.device)
        own = column[all_rows, all_rows]  # (i, j), the new right answers
        itself = torch.eye(len(u), dtype=torch.bool, device=u.device)
        # Of each image over all texts but i: (k, i). Exact, where a difference of sums is not.
        others = logits[:, None].masked_fill(itself, -torch.inf).logsumexp(dim=2)
        rights = right[:, None, None].where(~itself[..., None], own)
        of_images = (torch.logaddexp(others[..., None], column) - rights).sum(dim=0)
        of_text = logits.logsumexp(dim=0) - right
        of_texts = of_text.sum() - of_text[:, None] + column.logsumexp(dim=0) - own
        return (of_images + of_texts) / (2 * len(u))


def improve(
    triggers: Tensor,
    captions: Tensor,
    encoder: TextTransformer,
    loss: Callable[[Tensor], Tensor],
    *,
    count: int = 16,
    allowed: Tensor | None = None,
    owner: Tensor | None = None,
    swapped: Callable[[Tensor, Tensor], Tensor] | None = None,
    places: Tensor | None = None,
) -> Step:
    """One HotFlip pass over the positions of a batch's triggers, left to right.

    All gradients are taken at the present triggers. At each position ``count`` options are encoded
    in one stacked batch. Without ``swapped`` they are batch-wide, "everybody takes its j-th
    candidate", and the best replaces the present words if it lowers the loss of the batch. With
    it, each caption takes the word that is best for the batch if only this caption changes; of
    these changes, which do not know of each other, the most useful are kept: all, half, a quarter
    and so on, until the loss falls. Either way the loss never rises.

    Args:
        triggers: (B, K) ids; with ``owner`` (G, K).
        captions: (B, T) ids, without triggers.
        encoder: of captions; its parameters keep no gradient.
        loss: a scalar of the encoder's features (B, out_features), in a fixed order of pairs. What
            it needs of the images is computed once, by the caller.
        count: candidates tried at each position, J, from 1 to the number of words.
        allowed: (V,) bool, ids that may be chosen; by default :func:`allowed_words`.
        owner: (B,) which trigger each caption has, where captions share one: the scores of its
            captions are summed.
        swapped: of features (B, F) and options (B, J, F) the losses (B, J) if only row i of the
            features is replaced by its option j. Not with ``owner``.
        places: (B, K) where the words stand in each caption; by default in front.

    Source: MEM, Eq. 6 and released code (selection by batch).

    >>> encoder = TextTransformer(20, width=8, depth=1, heads=2, length=5, out_features=4)
    >>> captions, triggers = torch.tensor([[1, 9, 2, 0, 0]]), torch.tensor([[7]])
    >>> step = improve(triggers, captions, encoder, lambda features: features.sum(), count=4)
    >>> bool(step.after <= step.before)
    True
    """
    table = encoder.token_embedding.weight.detach()
    allowed = allowed_words(len(table), table.device) if allowed is None else allowed
    own = torch.arange(len(captions), device=captions.device) if owner is None else owner
    ids = insert(captions, triggers[own], places)
    embedded = table[ids].requires_grad_()
    features = encoder.encode_embedded(embedded, ids)
    before = loss(features)
    (gradient,) = torch.autograd.grad(before, embedded)
    features, before = features.detach(), before.detach()
    best = before
    again = None if places is None else places.repeat(count, 1)
    with torch.no_grad():
        for position in range(triggers.shape[1]):
            at = 1 + position if places is None else places[:, position]
            slope = gradient[torch.arange(len(captions), device=captions.device), at]
            slope = slope.new_zeros(len(triggers), slope.shape[1]).index_add_(0, own, slope)
            words = candidates(slope, table, allowed, count)  # (G, J)
            options = triggers.repeat(count, 1, 1)  # (J, G, K)
            options[:, :, position] = words.T
            stacked = insert(captions.repeat(count, 1), options[:, own].flatten(0, 1), again)
            tried = encoder.by_length(stacked).unflatten(0, (count, -1))  # (J, B, F)
            if swapped is not None:
                change = _each_its_own(features, tried, best, loss, swapped)
                triggers = torch.where(change[:, None] < 0, triggers, _pick(options, change))
                features = torch.where(change[:, None] < 0, features, _pick(tried, change))
                best = loss(features)
            else:
                losses = torch.stack([loss(option) for option in tried])
                if losses.min() < best:
                    chosen = int(losses.argmin())
                    best, triggers = losses[chosen], options[chosen]
    return Step(triggers, before, best)


def _each_its_own(
    features: Tensor,
    tried: Tensor,
    present: Tensor,
    loss: Callable[[Tensor], Tensor],
    swapped: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """The option (B,) that each row takes, -1 for none, such that the batch's loss falls."""
    lowest, chosen = swapped(features, tried.transpose(0, 1)).min(dim=1)
    order = lowest.argsort()  # the most useful change first
    kept = int((lowest < present).sum())
    while kept:
        change = torch.full_like(chosen, -1)
        change[order[:kept]] = chosen[order[:kept]]
        if loss(torch.where(change[:, None] < 0, features, _pick(tried, change))) < present:
            return change
        kept //= 2
    return torch.full_like(chosen, -1)


def _pick(options: Tensor, change: Tensor) -> Tensor:
    """Row i of option ``change[i]``: (J, B, ...) and (B,) to (B, ...)."""
    return options[change.clamp(min=0), torch.arange(len(change), device=change.device)]
