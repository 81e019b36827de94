"""What a hacker may do to published pairs before training on them, and at every step."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mmlib import losses
from mmlib._checks import check_range, check_shape
from mmlib.augment.image import Flip, GaussianBlur, Grayscale, ResizedCrop
from mmlib.augment.transform import ImageTransform
from mmlib.data.text import PAD, SPECIAL, UNKNOWN, Tokenizer, first_end
from mmlib.encoders.folded import frozen
from mmlib.mem import noise as noises
from mmlib.mem.spelling import unspelled
from mmlib.mem.trigger import word_shares
from mmlib.methods.clip import DualEncoder


@dataclass(frozen=True)
class Defence:
    """What a hacker does to published pairs before training on them; by default nothing.

    It does not ask which words are a trigger, and but for ``clean_share`` it needs nothing but what
    was published. Raises ``ValueError`` for a value out of range.

    Source: Madry et al. 2018 (``adversarial``).

    >>> Defence(word_drop=1.5)
    Traceback (most recent call last):
    ...
    ValueError: word_drop is 1.5; allowed: [0, 1)
    """

    reread: Tokenizer | None = None  # by which captions, written as text, are read again
    drop_first: int = 0  # words after the start token that are taken off
    word_drop: float = 0.0  # probability of each word to be taken out, anew at every step
    min_share: float = 0.0  # words in a smaller share of the published captions become unknown
    drop_shared: bool = False  # words that all published captions of an image have are taken off
    swap_captions: bool = False  # any published caption of the same photo, with its trigger
    jpeg: int | None = None  # quality at which images are saved and read again, once
    rounding: int = 1  # pixels become the nearest multiple of it, in levels of 1/255, once
    unspelled: int = 0  # bound, in levels, of noise that is read off the captions and taken off
    adversarial: int = 0  # bound, in levels, of noise that raises the hacker's loss, at every step
    clean_share: float = 0.0  # of each batch is drawn from clean pairs that the hacker has
    views: tuple[ImageTransform, ...] = ()  # of the images, anew at every step

    def __post_init__(self) -> None:
        check_range("drop_first", self.drop_first, 0)
        check_range("word_drop", self.word_drop, 0, 1, open_high=True)
        check_range("min_share", self.min_share, 0, 1)
        check_range("jpeg", 75 if self.jpeg is None else self.jpeg, 1, 95)
        check_range("rounding", self.rounding, 1, 255)
        check_range("unspelled", self.unspelled, 0, 127)
        check_range("adversarial", self.adversarial, 0, 127)
        check_range("clean_share", self.clean_share, 0, 1, open_high=True)


def named(
    *, words: int, image_size: int, epsilon: int, tokenizer: Tokenizer | None = None
) -> dict[str, tuple[str, Defence]]:
    """The defences that are tried on protections of ``words`` words and a bound of ``epsilon``.

    Returns title and settings by the name that metrics have. ``reread`` is among them where there
    is a ``tokenizer``. Crops are of images of ``image_size`` pixels a side.

    >>> named(words=3, image_size=32, epsilon=8)["first"][0]
    'drop the first 3 words'
    """
    crops = (ResizedCrop(image_size, scale=(0.6, 1.0)), GaussianBlur(5, sigma=(0.1, 1.0)))
    written = {"reread": ("take what is written", Defence(reread=tokenizer))}
    return (written if tokenizer is not None else {}) | {
        "first": (f"drop the first {words} words", Defence(drop_first=words)),
        "words": ("drop 3 words in 10", Defence(word_drop=0.3)),
        "rare": ("words rarer than 1 % unknown", Defence(min_share=0.01)),
        "shared": ("drop what captions share", Defence(drop_shared=True)),
        "swap": ("swap captions of a photo", Defence(swap_captions=True)),
        "views": ("crop and blur images", Defence(views=crops)),
        "jpeg": ("JPEG of quality 75", Defence(jpeg=75)),
        "grey": ("half of the images grey", Defence(views=(Grayscale(p=0.5),))),
        "flip": ("mirror half of the images", Defence(views=(Flip(),))),
        "round": ("round to multiples of 4 levels", Defence(rounding=4)),
        "unspelled": ("take off spelled noise", Defence(unspelled=epsilon)),
        "adversarial": ("train on attacked images", Defence(adversarial=epsilon)),
        "mixed": ("mix in known clean pairs", Defence(clean_share=0.25)),
        "both": (f"drop the first {words}, crop and blur", Defence(drop_first=words, views=crops)),
        "both_unspelled": (
            f"drop the first {words}, take off noise",
            Defence(drop_first=words, unspelled=epsilon),
        ),
        "all": (
            "first words, 1 in 10, JPEG, crop",
            Defence(drop_first=words, word_drop=0.1, jpeg=75, views=crops),
        ),
    }


def prepared(
    defence: Defence,
    images: Tensor,
    captions: Tensor,
    *,
    photo: Tensor | None = None,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Published images (N, 3, H, W) and captions (N, C, T) after what a defence does to them once.

    ``photo`` (N,) says which photo each row shows. Raises ``ValueError`` where captions are to be
    swapped and it is not given.
    """
    if defence.reread is not None:
        captions = reread(captions, defence.reread)
    if defence.drop_first:
        captions = drop_first(captions.flatten(0, 1), defence.drop_first).view_as(captions)
    if defence.drop_shared:
        captions = drop_shared(captions)
    if defence.min_share:
        captions = without_rare_words(captions, defence.min_share)
    if defence.unspelled:  # by captions from which a key may have been taken off
        images = unspelled(images, captions, epsilon=defence.unspelled, generator=generator)
    if defence.jpeg is not None:
        images = resaved(images, defence.jpeg)
    if defence.rounding > 1:
        images = rounded(images, defence.rounding)
    if defence.swap_captions:
        if photo is None:
            raise ValueError("photo is None; allowed with swap_captions: the photo of each row")
        captions = swap_captions(captions, photo)
    return images, captions


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

    >>> swap_captions(torch.tensor([[[7]], [[8]], [[9]], [[6]]]), torch.tensor([0, 1, 1, 0]))[0]
    tensor([[7],
            [6]])
    """
    check_shape("photo", photo, "N", N=len(captions))
    fewest, most = (int(count) for count in photo.bincount().aminmax())
    if fewest < most:
        raise ValueError(f"photos have {fewest} to {most} rows; allowed: as many each")
    rows = photo.argsort(stable=True).view(-1, most)  # photo, row
    return captions[rows].flatten(1, 2)[photo]


def resaved(images: Tensor, quality: int) -> Tensor:
    """Images (B, 3, H, W) uint8, each saved as JPEG of this quality (1 to 95) and read again.

    >>> resaved(torch.full((1, 3, 8, 8), 128, dtype=torch.uint8), 75)[0, 0, 0, 0]
    tensor(128, dtype=torch.uint8)
    """
    from PIL import Image

    again = torch.empty_like(images, device="cpu")
    for i, pixels in enumerate(images.permute(0, 2, 3, 1).cpu().numpy()):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=quality)
        again[i] = torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1)
    return again.to(images.device)


def rounded(images: Tensor, levels: int) -> Tensor:
    """Images uint8, each pixel at its nearest multiple of ``levels`` that 0 to 255 holds.

    It moves by ``levels`` // 2 at most, except where the next multiple lies above 255.

    >>> rounded(torch.tensor([1, 2, 5, 255], dtype=torch.uint8), 4)
    tensor([  0,   4,   4, 252], dtype=torch.uint8)
    """
    nearest = (images.short() + levels // 2) // levels
    return (nearest.clamp_(max=255 // levels) * levels).to(torch.uint8)


def attacked(
    model: DualEncoder, images: Tensor, captions: Tensor, *, epsilon: int, steps: int
) -> Tensor:
    """Images (B, 3, H, W) uint8 with noise that raises the model's loss on them, within a bound.

    The PGD of :func:`mmlib.mem.noise.pgd`, from no noise, each step a share 1 / ``steps`` of the
    bound (rounded up). Captions (B, T) are encoded once.
    """

    def loss(noisy: Tensor) -> Tensor:
        return losses.clip(model.encode(0, noisy), facing, scale=model.scale)

    none, step = torch.zeros_like(images, dtype=torch.int8), -(-epsilon // steps)
    with frozen(model):
        facing = model.encode(1, captions)
        found = noises.pgd(
            images, none, loss, epsilon=epsilon, step_size=step, steps=steps, maximise=True
        )
    return noises.add(images, found)


def _without(captions: Tensor, gone: Tensor) -> Tensor:
    """The ids that stay, moved to the left."""
    order = gone.int().argsort(dim=1, stable=True)
    return captions.masked_fill(gone, PAD).gather(1, order)
