"""What a hacker does to published pairs before training on them, and at every step: by name."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mmlib._checks import check_range
from mmlib.augment.image import Flip, GaussianBlur, Grayscale, ResizedCrop
from mmlib.augment.transform import ImageTransform
from mmlib.data.text import Tokenizer
from mmlib.mem.defence_images import resaved, rounded
from mmlib.mem.defence_text import (
    drop_first,
    drop_shared,
    reread,
    swap_captions,
    without_rare_words,
)
from mmlib.mem.spelling import unspelled


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
