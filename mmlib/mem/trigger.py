"""Text triggers: K words put into a caption, chosen by their first-order effect on a loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mmlib._checks import check_range, check_shape
from mmlib.data.text import END, PAD, SPECIAL, START, first_end
from mmlib.encoders.text import TextTransformer


def allowed_words(vocabulary_size: int, device: torch.device | None = None) -> Tensor:
    """Which ids (V,) may stand in a trigger: all but the special ones.

    An end token in a trigger would cut the caption off, since the text's feature is read at the
    first end token.

    >>> allowed_words(7)
    tensor([False, False, False, False, False,  True,  True])
    """
    return torch.arange(vocabulary_size, device=device) >= len(SPECIAL)


def prepend(captions: Tensor, triggers: Tensor) -> Tensor:
    """Captions (B, T) with their triggers (B, K) after the start token, again (B, T).

    The last K places, which must be padding, fall off: else ``ValueError``.

    >>> prepend(torch.tensor([[1, 7, 2, 0, 0]]), torch.tensor([[8, 9]]))
    tensor([[1, 8, 9, 7, 2]])
    """
    room = _room(captions, triggers)
    return torch.cat([captions[:, :1], triggers, captions[:, 1:room]], dim=1)


def insert(captions: Tensor, triggers: Tensor, places: Tensor | None = None) -> Tensor:
    """Captions (B, T) with word k of their trigger (B, K) at place ``places[:, k]``, again (B, T).

    Places (B, K) count from 0, the start token's, in the caption that results; those of a row are
    different and rise. What stood there and behind moves on. None is :func:`prepend`. The last K
    ids of captions, which must be padding, fall off: else ``ValueError``.

    >>> insert(torch.tensor([[1, 7, 2, 0, 0]]), torch.tensor([[8, 9]]), torch.tensor([[1, 3]]))
    tensor([[1, 8, 7, 9, 2]])
    """
    if places is None:
        return prepend(captions, triggers)
    _room(captions, triggers)
    check_shape("places", places, "B K", **check_shape("triggers", triggers, "B K"))
    taken = torch.zeros_like(captions, dtype=torch.bool).scatter_(1, places, True)
    source = (~taken).long().cumsum(dim=1) - 1  # which id of the caption comes here
    return captions.gather(1, source.clamp(min=0)).scatter_(1, places, triggers)


def _room(captions: Tensor, triggers: Tensor) -> int:
    """How many ids of captions (B, T) stay beside triggers (B, K); raises if more are in use."""
    sizes = check_shape("captions", captions, "B T")
    room = sizes["T"] - check_shape("triggers", triggers, "B K", B=sizes["B"])["K"]
    if (captions[:, room:] != PAD).any():
        raise ValueError(f"a caption of more than {room} ids has no room for its trigger")
    return room


def taken_apart(captions: Tensor, triggers: Tensor) -> dict[str, Tensor]:
    """Captions (B, T) with triggers (B, K), and with parts taken away or taken from another row.

    The other row is the one before, so rows next to each other should be different posts. Each text
    (B, T) asks what a model of these pairs knows: the content, or which words go with an image.

    >>> made = taken_apart(torch.tensor([[1, 5, 2, 0], [1, 6, 2, 0]]), torch.tensor([[8], [9]]))
    >>> made["trigger of another pair"].tolist(), made["caption of another pair"].tolist()
    ([[1, 9, 5, 2], [1, 8, 6, 2]], [[1, 8, 6, 2], [1, 9, 5, 2]])
    """
    nothing = torch.full_like(captions, PAD)
    nothing[:, 0], nothing[:, 1] = START, END
    return {
        "as published": prepend(captions, triggers),
        "no trigger": captions,
        "trigger of another pair": prepend(captions, triggers.roll(1, dims=0)),
        "caption of another pair": prepend(captions.roll(1, dims=0), triggers),
        "trigger alone": prepend(nothing, triggers),
    }


def among_first(words: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Of ``count`` key words at random places in captions, those among the first ``count`` words.

    A caption of L ``words`` (N,) has L + ``count`` with its key. Returns for each the expected
    number, and the chance that there is none, which is C(L, count) / C(L + count, count).

    >>> among_first(torch.tensor([2]), 1)
    (tensor([0.3333], dtype=torch.float64), tensor([0.6667], dtype=torch.float64))
    """
    n, log_factorial = words.double(), torch.special.gammaln
    none = 2 * log_factorial(n + 1) - log_factorial(n - count + 1) - log_factorial(n + count + 1)
    return count**2 / (n + count), none.exp()


def draw_places(captions: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Places (B, count) for :func:`insert`, any between the start and the end token, alike likely.

    >>> draw_places(torch.tensor([[1, 2, 0, 0]]), 2, torch.Generator())
    tensor([[1, 2]])
    """
    sizes = check_shape("captions", captions, "B T")
    words = first_end(captions)[:, None] - 1
    place = torch.arange(sizes["T"], device=captions.device)
    drawn = torch.rand(captions.shape, generator=generator, device=captions.device)
    drawn = drawn.masked_fill((place < 1) | (place > words + count), -1)
    return drawn.topk(count, dim=1).indices.sort(dim=1).values


def draw_words(triggers: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """``count`` of each row's W words (B, W), none taken twice, in random order: (B, count).

    >>> draw_words(torch.tensor([[7, 8, 9]]), 3, torch.Generator().manual_seed(0)).sort().values
    tensor([[7, 8, 9]])
    """
    check_range("count", count, 0, triggers.shape[1])
    drawn = torch.rand(triggers.shape, generator=generator, device=triggers.device)
    return triggers.gather(1, drawn.topk(count, dim=1).indices)


def word_shares(captions: Tensor, vocabulary_size: int) -> Tensor:
    """The share of captions (..., T) that have each word at least once: (V,).

    >>> word_shares(torch.tensor([[1, 5, 5, 2], [1, 6, 2, 0]]), 7)[5:]
    tensor([0.5000, 0.5000])
    """
    flat = captions.flatten(0, -2)
    having = torch.zeros(len(flat), vocabulary_size, dtype=torch.bool, device=flat.device)
    return having.scatter_(1, flat, True).float().mean(dim=0)


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
                    best, triggers, features = losses[chosen], options[chosen], tried[chosen]
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
