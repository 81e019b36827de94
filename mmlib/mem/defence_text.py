"""What a hacker may take off published captions: words by place, by chance, rare or shared ones."""

from __future__ import annotations

import torch
from torch import Tensor

from mmlib._checks import check_range, check_shape
from mmlib.data.text import PAD, SPECIAL, UNKNOWN, Tokenizer, first_end
from mmlib.mem.trigger import word_shares


def reread(captions: Tensor, tokenizer: Tokenizer) -> Tensor:
    """Captions (..., T), each written as text and read again; what has no room at the end is lost.

    This is what is learned from who publishes text. It differs from the ids that a protection made
    where a trigger does not survive: see :meth:`mmlib.data.text.Tokenizer.survives`.
    """
    flat = captions.flatten(0, -2)
    again = tokenizer.encode([tokenizer.decode(row) for row in flat.tolist()], flat.shape[1])
    return again.to(captions.device).view_as(captions)


def drop_first(captions: Tensor, count: int) -> Tensor:
    """Captions (B, T) without their first ``count`` words, but with one word at least.

    >>> drop_first(torch.tensor([[1, 7, 8, 9, 2], [1, 7, 2, 0, 0]]), 2)
    tensor([[1, 9, 2, 0, 0],
            [1, 7, 2, 0, 0]])
    """
    position = torch.arange(captions.shape[1], device=captions.device)
    end = first_end(captions)[:, None]
    gone = (position >= 1) & (position <= torch.minimum(torch.full_like(end, count), end - 2))
    return _without(captions, gone)


def drop_words(captions: Tensor, p: float, generator: torch.Generator) -> Tensor:
    """Captions (B, T), each word taken out with probability ``p``; special tokens stay.

    >>> drop_words(torch.tensor([[1, 7, 8, 2]]), 0.0, torch.Generator())
    tensor([[1, 7, 8, 2]])
    """
    drawn = torch.rand(captions.shape, generator=generator, device=captions.device) < p
    return _without(captions, drawn & (captions >= len(SPECIAL)))


def without_rare_words(captions: Tensor, min_share: float) -> Tensor:
    """Captions (..., T), where words in less than ``min_share`` of all of them are unknown words.

    >>> without_rare_words(torch.tensor([[1, 7, 2], [1, 7, 2], [1, 8, 2]]), 0.5).tolist()
    [[1, 7, 2], [1, 7, 2], [1, 3, 2]]
    """
    rare = word_shares(captions, int(captions.max()) + 1) < min_share
    rare[: len(SPECIAL)] = False
    return captions.masked_fill(rare[captions], UNKNOWN)


def drop_shared(captions: Tensor) -> Tensor:
    """Captions (N, C, T) without the words that all C captions of their image have.

    Such words are content that every caption tells, or a key; one word of a caption always stays.
    Raises ``ValueError`` for a single caption, which shares nothing with others.

    >>> drop_shared(torch.tensor([[[1, 7, 8, 2], [1, 9, 7, 2]]])).tolist()
    [[[1, 8, 2, 0], [1, 9, 2, 0]]]
    """
    sizes = check_shape("captions", captions, "N C T")
    check_range("number of captions", sizes["C"], 2)
    flat = captions.flatten(0, 1)
    having = torch.zeros(len(flat), int(flat.max()) + 1, dtype=torch.bool, device=flat.device)
    having.scatter_(1, flat, True)
    of_all = having.unflatten(0, (sizes["N"], -1)).all(dim=1)  # image, word
    of_all[:, : len(SPECIAL)] = False
    gone = of_all.repeat_interleave(sizes["C"], dim=0).gather(1, flat)
    words = flat >= len(SPECIAL)
    last = (words.cumsum(dim=1) == words.sum(dim=1, keepdim=True)) & words
    gone &= ~(last & ((words & ~gone).sum(dim=1, keepdim=True) == 0))
    return _without(flat, gone).view_as(captions)


def swap_captions(captions: Tensor, photo: Tensor) -> Tensor:
    """To each row all captions of its ``photo`` (N,): (N, C, T) to (N, R C, T), R rows a photo.

    Photos are numbered from 0. Raises ``ValueError`` where they have not as many rows each.

    >>> swap_captions(torch.tensor([[[7]], [[8]], [[9]], [[6]]]), torch.tensor([0, 1, 1, 0]))[1]
    tensor([[8],
            [9]])
    """
    check_shape("photo", photo, "N", N=len(captions))
    fewest, most = (int(count) for count in photo.bincount().aminmax())
    if fewest < most:
        raise ValueError(f"photos have {fewest} to {most} rows; allowed: as many each")
    rows = photo.argsort(stable=True).view(-1, most)  # photo, row
    return captions[rows].flatten(1, 2)[photo]


def _without(captions: Tensor, gone: Tensor) -> Tensor:
    """The ids that stay, moved to the left."""
    order = gone.int().argsort(dim=1, stable=True)
    return captions.masked_fill(gone, PAD).gather(1, order)
