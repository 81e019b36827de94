"""Drawn people: an arrangement of three shapes that has a name, seen anew in every photo.

They stand in for photos of persons. What is the person's (shapes, colours, sizes, places) is in all
photos of one; what is the photo's (ground, light, shift, rotation, shade, grain) differs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import torch
from torch import Tensor

from mmlib._checks import check_range
from mmlib.data import scenes

LONGEST = 5  # words of a caption
_SYLLABLES = ("ba", "do", "fi", "ka", "lu", "me", "no", "ri", "sa", "ti")
_FORMS = (
    "{name}",
    "this is {name}",
    "a photo of {name}",
    "{name} on a {ground} background",
    "here you see {name}",
)
MOST = len(_SYLLABLES) ** 3  # people with names of their own


@dataclass(frozen=True)
class People:
    """``images`` (N, P, 3, size, size) uint8 of N people, ``captions[n][p]``, their ``names``."""

    images: Tensor
    captions: list[list[tuple[str, ...]]]
    names: tuple[str, ...]


def make(
    n: int, photos: int, size: int, *, noise: float = 0.05, generator: torch.Generator
) -> People:
    """Draw ``n`` people, ``photos`` photos of each, and five captions of a photo that name them.

    ``size`` and ``noise`` are those of :func:`mmlib.data.scenes.make`. Raises ``ValueError`` for
    ``n`` not in 1 to 1000 and ``photos`` < 1.

    >>> people = make(2, 3, 16, generator=torch.Generator().manual_seed(0))
    >>> people.images.shape, len(set(people.names)), people.captions[0][0][1][:8]
    (torch.Size([2, 3, 3, 16, 16]), 2, 'this is ')
    """
    check_range("n", n, 1, MOST)
    check_range("photos", photos, 1)
    device = generator.device
    looks = scenes.draw(n, generator=generator)
    looks = replace(looks, count=torch.full_like(looks.count, scenes.MOST))
    order = torch.randperm(MOST, generator=generator, device=device)[:n].tolist()
    all_names = list(map("".join, product(_SYLLABLES, repeat=3)))
    names = tuple(all_names[i] for i in order)
    seen = looks[torch.arange(n, device=device).repeat_interleave(photos)]
    grounds = torch.randint(
        len(scenes.BACKGROUNDS), (n * photos,), generator=generator, device=device
    )
    seen = replace(seen, background=grounds)
    images = scenes.render(seen, size, noise=noise, generator=generator)
    kinds = tuple(scenes.BACKGROUNDS)
    captions = [
        [tuple(form.format(name=name, ground=kinds[k]) for form in _FORMS) for k in row]
        for name, row in zip(names, grounds.view(n, photos).tolist(), strict=True)
    ]
    return People(images.unflatten(0, (n, photos)), captions, names)
