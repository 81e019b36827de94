"""Can a few examples tell protected pairs from others? Two scores that need no training."""

from __future__ import annotations

import torch
from torch import Tensor

from mmlib._checks import check_range, check_shape
from mmlib.data.text import first_end
from mmlib.evaluate.metrics import roc_auc
from mmlib.mem.pairs import Pairs


def surprise(captions: Tensor, known: Tensor, *, words: int, vocabulary_size: int) -> Tensor:
    """How unexpected the first words of captions (B, T) are after ``known`` ones (N, T): (B,).

    The mean of -log2 p(word | word before) over the first ``words`` words (or all, if there are
    fewer), where p is the share of the pair among the known captions, each pair counted once more
    than it was seen. In bits; log2 of the vocabulary's size is what a word never met has.

    >>> known = torch.tensor([[1, 5, 6, 2]] * 6)
    >>> surprise(torch.tensor([[1, 5, 6, 2], [1, 7, 5, 2]]), known, words=2, vocabulary_size=8)
    tensor([1.0000, 3.4037])
    """
    check_range("words", words, 1)
    width = check_shape("captions", captions, "B T")["T"]
    check_shape("known", known, "N T")
    end = first_end(known)[:, None]
    place = torch.arange(1, known.shape[1], device=known.device)
    pairs = (known[:, :-1] * vocabulary_size + known[:, 1:])[place <= end]
    counts = torch.bincount(pairs, minlength=vocabulary_size**2)
    counts = counts.view(vocabulary_size, vocabulary_size).float() + 1
    bits = -(counts / counts.sum(dim=1, keepdim=True)).log2()
    end = first_end(captions)[:, None]
    place = torch.arange(1, width, device=captions.device)
    asked = (place <= words) & (place < end)
    met = bits[captions[:, :-1], captions[:, 1:]] * asked
    return met.sum(dim=1) / asked.sum(dim=1).clamp(min=1)


def roughness(images: Tensor) -> Tensor:
    """The mean size of second differences along rows, in grey levels: (B, 3, H, W) uint8 to (B,).

    Noise raises it; smooth content does not.

    >>> ramp = torch.arange(8, dtype=torch.uint8).expand(1, 3, 8, 8)
    >>> roughness(ramp)
    tensor([0.])
    """
    check_shape("images", images, "B 3 H W")
    x = images.float()
    return (x[..., 2:] - 2 * x[..., 1:-1] + x[..., :-2]).abs().mean(dim=(1, 2, 3))


def seen(pairs: Pairs, images: Tensor, captions: Tensor, words: int) -> dict[str, float]:
    """Whether published images and captions (N, C, T) can be told from the clean test pairs.

    For each, the chance that a published one's score is above a clean one's, ties counted half,
    which is the area under the ROC curve: of how rough an image is, and how unexpected the first
    ``words`` words of its first caption are after as many known captions as there are known images.
    0.5 is guessing.
    """
    known = pairs.known[1].flatten(0, 1)[: len(pairs.known[1])]
    vocabulary = len(pairs.tokenizer)

    def unexpected(captions: Tensor) -> Tensor:
        return surprise(captions[:, 0], known, words=words, vocabulary_size=vocabulary)

    def area(published: Tensor, clean: Tensor) -> float:
        labels = torch.arange(len(published) + len(clean)) < len(published)
        return roc_auc(torch.cat([published, clean]).cpu(), labels.long()) / 100

    clean_images, clean_captions = pairs.test
    return {
        "caption": area(unexpected(captions), unexpected(clean_captions)),
        "image": area(roughness(images), roughness(clean_images)),
    }
