"""Text triggers: K words in front of a caption, chosen by their first-order effect on a loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from mmlib._checks import check_range, check_shape
from mmlib.encoders.text import PAD, SPECIAL, TextTransformer


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
    sizes = check_shape("captions", captions, "B T")
    room = sizes["T"] - check_shape("triggers", triggers, "B K", B=sizes["B"])["K"]
    if (captions[:, room:] != PAD).any():
        raise ValueError(f"a caption of more than {room} ids has no room for its trigger")
    return torch.cat([captions[:, :1], triggers, captions[:, 1:room]], dim=1)


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
    return scores.masked_fill(~allowed, -torch.inf).topk(count, dim=1).indices


@dataclass(frozen=True)
class Step:
    """New triggers (B, K) and the batch's loss with the old and with the new ones."""

    triggers: Tensor
    before: Tensor
    after: Tensor


def improve(
    triggers: Tensor,
    captions: Tensor,
    encoder: TextTransformer,
    loss: Callable[[Tensor], Tensor],
    *,
    count: int = 16,
) -> Step:
    """One HotFlip pass over the positions of a batch's triggers, left to right.

    All gradients are taken at the present triggers. At each position ``count`` batch-wide options
    are tried, "everybody takes its j-th candidate", and the best replaces the present words if it
    lowers the loss of the batch: the loss never rises.

    Args:
        triggers: (B, K) ids.
        captions: (B, T) ids, without triggers.
        encoder: of captions; its parameters keep no gradient.
        loss: a scalar of the encoder's features (B, out_features), in a fixed order of pairs. What
            it needs of the images is computed once, by the caller.
        count: candidates tried at each position, J, from 1 to the number of words.

    Source: MEM, Eq. 6 and released code (selection by batch).

    >>> encoder = TextTransformer(20, width=8, depth=1, heads=2, length=5, out_features=4)
    >>> captions, triggers = torch.tensor([[1, 9, 2, 0, 0]]), torch.tensor([[7]])
    >>> step = improve(triggers, captions, encoder, lambda features: features.sum(), count=4)
    >>> bool(step.after <= step.before)
    True
    """
    table = encoder.token_embedding.weight.detach()
    allowed = allowed_words(len(table), table.device)
    ids = prepend(captions, triggers)
    embedded = table[ids].requires_grad_()
    before = loss(encoder.encode_embedded(embedded, ids))
    (gradient,) = torch.autograd.grad(before, embedded)
    before = best = before.detach()
    with torch.no_grad():
        for position in range(triggers.shape[1]):
            options = []
            for words in candidates(gradient[:, 1 + position], table, allowed, count).T:
                option = triggers.clone()
                option[:, position] = words
                options.append(option)
            losses = torch.stack([loss(encoder(prepend(captions, o))) for o in options])
            if losses.min() < best:
                best, triggers = losses.min(), options[int(losses.argmin())]
    return Step(triggers, before, best)
