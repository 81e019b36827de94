"""What a protection publishes: 8-bit images and captions with triggers, in memory and on disk."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mmlib._checks import check_choice, check_range, check_shape
from mmlib.data._photo import decoded
from mmlib.data.text import SPECIAL, Tokenizer
from mmlib.mem.trigger import draw_places, draw_words, insert

TRIGGERS = "triggers.csv"


@dataclass(frozen=True)
class Protected:
    """What is published: uint8 ``images`` (N, 3, H, W) and ``triggers`` (N, K), and how it came.

    With the unit "pair", N counts pairs. ``history`` has a row for each round: ``surrogate``, the
    mean loss of its steps, and the mean over batches of ``trigger_before`` and ``trigger_after``,
    ``noise_before`` and ``noise_after`` (the loss at the first and at the last PGD step), as far as
    they were made. ``surrogate`` are the fingerprints of the surrogate's first and last weights, if
    there was one. ``woven`` seeds the places of trigger words in captions, None is in front;
    ``carried`` is how many of them a woven caption has, None is all.
    """

    images: Tensor
    triggers: Tensor
    history: list[dict[str, float]]
    surrogate: tuple[str, ...] = ()
    woven: int | None = None
    carried: int | None = None

    def captions(self, captions: Tensor) -> Tensor:
        """Captions (N, C, T), each with its image's trigger: in front, or woven in.

        Woven captions are the same ones at every call, on every device. Captions of N / C images
        published as pairs become (N, 1, T).
        """
        n, c, _ = captions.shape
        if len(self.triggers) == n * c and c > 1:
            captions = captions.flatten(0, 1)[:, None]
        triggers = self.triggers.repeat_interleave(captions.shape[1], dim=0)
        flat, places = captions.flatten(0, 1), None
        if self.woven is not None:
            chance = torch.Generator().manual_seed(self.woven)
            if self.carried is not None:
                triggers = draw_words(triggers.cpu(), self.carried, chance).to(flat.device)
            places = draw_places(flat.cpu(), triggers.shape[1], chance).to(flat.device)
        return insert(flat, triggers, places).view_as(captions)

    def posts(self, images: Tensor, captions: Tensor, part: str = "all") -> tuple[Tensor, Tensor]:
        """Images and captions as published: what a hacker is given.

        Of the originals (N, 3, H, W) and (N, C, T) the parts "images" and "words" change one, and
        leave the other as it was. Images published as pairs are there C times.

        Raises ``ValueError`` for another part.
        """
        check_choice("part", part, ("all", "images", "words"))
        plain = captions
        if len(self.images) != len(images):
            images, plain = images[self.photo(images)], captions.flatten(0, 1)[:, None]
        return (
            images if part == "words" else self.images,
            plain if part == "images" else self.captions(captions),
        )

    def photo(self, images: Tensor) -> Tensor:
        """Which of the original ``images`` (N, 3, H, W) each published one shows."""
        rows = torch.arange(len(images), device=images.device)
        return rows.repeat_interleave(len(self.images) // len(images))

    def words(self, tokenizer: Tokenizer) -> list[str]:
        """The triggers as text, as far as they have words."""
        return [tokenizer.decode(ids) for ids in self.triggers]

    def survives(self, tokenizer: Tokenizer) -> Tensor:
        """Whether each trigger, written as text and read again, is still the same ids: (N,) bool.

        In front of any caption it then is, too. One that ends with a piece of a word does not
        survive alone; before the word that it grows together with it may. Woven words stand apart,
        so each has to survive alone, and none does where captions are in pieces: it may stand
        within a word. Special tokens never survive: no text spells them.
        """
        if self.woven is None:
            return tokenizer.survives(self.triggers)
        whole = tokenizer.whole_words()
        whole &= whole[len(SPECIAL) :].all()
        return whole[self.triggers.cpu()].all(dim=1)

    def write(self, folder: Path, tokenizer: Tokenizer) -> None:
        """Write a PNG for each image and ``triggers.csv``: file, ids, words, survives.

        Where words are woven in, also ``woven``, the seed of their places, and, where a caption
        has some of them only, ``carried``, how many.
        """
        from PIL import Image

        folder.mkdir(parents=True, exist_ok=True)
        places = {"woven": self.woven, "carried": self.carried}
        places = {name: value for name, value in places.items() if value is not None}
        survives = self.survives(tokenizer).tolist()
        told = zip(self.triggers.tolist(), self.words(tokenizer), survives, strict=True)
        with (folder / TRIGGERS).open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(("file", "ids", "words", "survives", *places))
            for i, (ids, words, kept) in enumerate(told):
                name = f"{i:06d}.png"
                pixels = self.images[i].permute(1, 2, 0).cpu().numpy()
                Image.fromarray(pixels).save(folder / name)
                table.writerow((name, " ".join(map(str, ids)), words, int(kept), *places.values()))


def take_part(
    plain: tuple[Tensor, Tensor], protected: tuple[Tensor, Tensor], share: float, order: Tensor
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """What is published if a share of the owners protect their posts: all of it, the open part.

    Args:
        plain, protected: images (N, 3, H, W) and captions (N, C, T), row by row the same posts.
        share: of the posts, 0 to 1, to the nearest post.
        order: (N,) in which posts join; those of a smaller share are among a larger one's.

    >>> x, y = torch.zeros(4, 1), torch.ones(4, 1)
    >>> mixed, rest = take_part((x, x), (y, y), 0.25, torch.tensor([2, 0, 1, 3]))
    >>> mixed[0][:, 0], len(rest[0])
    (tensor([0., 0., 1., 0.]), 3)
    """
    check_range("share", share, 0, 1)
    hidden, rest = order.tensor_split([round(share * len(order))])
    mixed = tuple(x.index_copy(0, hidden, y[hidden]) for x, y in zip(plain, protected, strict=True))
    return mixed, tuple(x[rest] for x in plain)


def read(folder: Path, originals: Tensor, *, epsilon: int) -> Protected:
    """Read what :meth:`Protected.write` wrote, and check the bound on the bytes of the files.

    Nothing is replaced by a clean image: a missing file raises ``FileNotFoundError``; another
    number of images than ``originals`` (N, 3, H, W) uint8, one that is not whole or of another
    size, and a pixel that differs by more than ``epsilon`` levels raise ``ValueError`` naming the
    file.
    """
    check_shape("originals", originals, "N 3 H W")
    if not (folder / TRIGGERS).is_file():
        raise FileNotFoundError(f"{folder / TRIGGERS} is missing: {folder} holds no protection")
    with (folder / TRIGGERS).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if len(rows) != len(originals):
        raise ValueError(f"{folder} holds {len(rows)} images; expected {len(originals)}")
    images = torch.empty_like(originals, device="cpu")
    for i, row in enumerate(rows):
        path = folder / row["file"]
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing; the clean image is no substitute")
        photo = decoded(path, f"{path} is no whole image")
        pixels = torch.from_numpy(np.array(photo)).permute(2, 0, 1)
        if pixels.shape != originals.shape[1:]:
            raise ValueError(f"{path} has shape {tuple(pixels.shape)}; its original another")
        change = int((pixels.short() - originals[i].cpu()).abs().max())
        if change > epsilon:
            raise ValueError(f"{path} differs by {change} levels; allowed: {epsilon}")
        images[i] = pixels
    triggers = torch.tensor([[int(i) for i in row["ids"].split()] for row in rows])
    woven, carried = (int(rows[0][k]) if k in rows[0] else None for k in ("woven", "carried"))
    images, triggers = images.to(originals.device), triggers.long().to(originals.device)
    return Protected(images, triggers, [], woven=woven, carried=carried)
