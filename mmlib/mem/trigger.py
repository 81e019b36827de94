"""Text triggers: the K words that are put into a caption, and where they stand in it."""

from __future__ import annotations

import torch
from torch import Tensor

from mmlib._checks import check_range, check_shape
from mmlib.data.text import END, PAD, SPECIAL, START, first_end


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
