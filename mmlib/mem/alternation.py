"""MEM's alternation: noise and triggers so far, and the steps that lower a surrogate's loss."""

from __future__ import annotations

import copy
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor, nn

from mmlib import losses
from mmlib._checks import check_range, check_shape
from mmlib.encoders.folded import folded
from mmlib.mem import noise as noises
from mmlib.mem.hotflip import clip_swapped, improve
from mmlib.mem.pairs import as_pairs
from mmlib.mem.settings import Protection
from mmlib.mem.spelling import spelled
from mmlib.mem.trigger import allowed_words, draw_places, draw_words, insert, word_shares


class Alternation:
    """The noise and the triggers made so far, and the three minimisations that use each other's.

    ``owner`` (N,) says which row of ``noise`` and ``triggers`` each image has; ``visits`` has the
    means of each visit. A visit asks ``fixed``: the surrogate as it is then, frozen, which is
    quicker and the same up to rounding; through views it asks ``learning``, a frozen copy that
    normalises by the batch. Images and noise may lie on another device than the surrogate: a batch
    is brought to the surrogate's.
    """

    checkpoint: Path | None = None  # of the surrogate's training

    def __init__(
        self,
        surrogate: nn.Module,
        images: Tensor,
        captions: Tensor,
        settings: Protection,
        generator: torch.Generator,
        words: Tensor | None = None,
    ):
        n = check_shape("images", images, "N 3 H W")["N"]
        check_shape("captions", captions, "N C T", N=n)
        if settings.unit == "pair" and captions.shape[1] > 1:
            images, captions = as_pairs(images, captions)
            n = len(images)
        if settings.drop_last:
            check_range("batch_size with drop_last", settings.batch_size, 2, n)
        self.surrogate, self.images, self.captions = surrogate, images, captions
        self.fixed = self.learning = surrogate
        self.settings, self.generator = settings, generator
        self.device = next(surrogate.parameters()).device
        self.visits: list[dict[str, float]] = []
        self.owner, worn_by = torch.arange(n, device=self.device), images
        if settings.unit == "group":
            groups = check_range("groups", settings.groups, 1, n)
            self.owner = torch.randint(groups, (n,), generator=generator, device=self.device)
            worn_by = torch.full_like(images[:groups], 128)  # shared noise is clipped by no image
        self.allowed = self._allowed(words)
        self.triggers = self._first_triggers(len(worn_by))
        self.noise = self._stored("noise", worn_by.shape, torch.int8)
        if settings.image == "uniform":
            self.noise[:] = noises.uniform(worn_by, epsilon=settings.epsilon, generator=generator)
        if settings.image == "spelled":
            self.noise[:] = spelled(
                images, captions, count=settings.topics, epsilon=settings.epsilon,
                generator=generator,
            )  # fmt: skip

    def loss(self, rows: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """What the surrogate minimises: the loss of protected pairs, image and caption true.

        But for captions that are shuffled everywhere: of these the trigger alone is an image's own.
        """
        captions, triggers = self._caption(rows), self.triggers[self.owner[rows]]
        if self.settings.body == "everywhere":
            captions = captions[self._shuffled(len(rows))]
        return self.surrogate.loss((self._noisy(rows), self._worded(captions, triggers)), generator)

    def visit(self, with_triggers: bool) -> dict[str, float]:
        """Improve all triggers (if asked) and all noise, batch by batch, the surrogate frozen."""
        if self.settings.views:
            self.learning = copy.deepcopy(self.surrogate).train().requires_grad_(False)
        self.fixed = folded(self.surrogate.eval())
        seen: dict[str, list[Tensor]] = defaultdict(list)
        order = self._shuffled(len(self.images))
        size, bfloat16 = self.settings.batch_size, self.settings.precision == "bfloat16"
        if self.settings.drop_last:
            batches = order[: len(order) // size * size].split(size)
        else:
            batches = order.tensor_split(math.ceil(len(order) / size))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bfloat16):
            for rows in self._in_turn(batches, seen):
                if self.settings.text == "optimised" and with_triggers:
                    self.improve_triggers(rows, seen)
                if self.settings.image == "pgd":
                    self.improve_noise(rows, seen)
        self.visits.append({name: fmean(map(float, values)) for name, values in seen.items()})
        return self.visits[-1]

    def published(self) -> Tensor:
        """The images (N, 3, H, W) uint8 with their noise."""
        images = self._stored("published", self.images.shape, torch.uint8)
        for rows in torch.arange(len(images), device=self.device).split(self.settings.batch_size):
            images[rows.to(images.device)] = self._noisy(rows).to(images.device)
        return images

    def improve_triggers(self, rows: Tensor, seen: dict[str, list[Tensor]]) -> None:
        """HotFlip on true pairs. The images are embedded once for all words that are tried."""
        model, project = self.fixed, self.fixed.projections[1]
        with torch.no_grad():
            images = model.encode(0, self._noisy(rows))
            scale = model.scale

        def loss(features: Tensor) -> Tensor:
            return losses.clip(images, project(features), scale=scale)

        def swapped(features: Tensor, options: Tensor) -> Tensor:
            return clip_swapped(images, project(features), project(options), scale=scale)

        mine, owner = self._mine(rows)
        captions = self._caption(rows)
        step = improve(
            self.triggers[mine],
            captions,
            model.encoders[1],
            loss,
            places=self._places(captions),
            count=self.settings.candidates,
            allowed=self.allowed,
            owner=owner,
            swapped=swapped if self.settings.selection == "sample" else None,
        )
        self.triggers[mine] = step.triggers
        seen["trigger_before"].append(step.before)
        seen["trigger_after"].append(step.after)

    def improve_noise(self, rows: Tensor, seen: dict[str, list[Tensor]]) -> None:
        """PGD. With shuffled bodies each step gives every trigger the caption of another pair.

        So noise and trigger learn each other, and not what the caption says. No gradient flows
        into the text; where it stays the same it is encoded once.
        """
        model, bodies, values = self.fixed, self._caption(rows), []
        triggers, n = self.triggers[self.owner[rows]], len(rows)
        order = torch.arange(n, device=self.device)
        order = order.roll(1) if self.settings.body == "other" else order
        anew = self.settings.body in ("shuffled", "everywhere")

        def words() -> Tensor:
            return self._worded(bodies[self._shuffled(n) if anew else order], triggers)

        @torch.no_grad()
        def texts() -> Tensor:
            return model.projections[1](model.encoders[1].by_length(words()))

        fixed = None if anew or self.settings.views else texts()

        def loss(noisy: Tensor) -> Tensor:
            if self.settings.views:
                value = self.learning.loss((noisy, words()), self.generator)["loss"]
            else:
                facing = texts() if fixed is None else fixed
                value = losses.clip(model.encode(0, noisy), facing, scale=model.scale)
            values.append(value.detach())
            return value

        mine, owner = self._mine(rows)
        improved = noises.pgd(
            _rows(self.images, rows),
            _rows(self.noise, mine),
            loss,
            epsilon=self.settings.epsilon,
            steps=self.settings.noise_steps,
            maximise=self.settings.maximise,
            owner=owner,
        )
        self.noise[mine.to(self.noise.device)] = improved.to(self.noise.device)
        seen["noise_before"].append(values[0])
        seen["noise_after"].append(values[-1])

    def _stored(self, name: str, shape: torch.Size, dtype: torch.dtype) -> Tensor:
        """Room for what is made: zeros."""
        return torch.zeros(shape, dtype=dtype, device=self.images.device)

    def _in_turn(
        self, batches: Sequence[Tensor], seen: dict[str, list[Tensor | float]]
    ) -> Iterator[Tensor]:
        """The batches of a visit that are still to be made."""
        return iter(batches)

    def _allowed(self, words: Tensor | None) -> Tensor:
        """Which ids (V,) may be trigger words: by the settings and, if given, among ``words``."""
        settings, size = self.settings, len(self.surrogate.encoders[1].token_embedding.weight)
        allowed = allowed_words(size, self.device)
        if settings.special_tokens and settings.text != "constant":  # which is a word of captions
            allowed[:] = True
        if words is not None:
            check_shape("words", words, "V", V=size)
            allowed &= words.to(self.device)
        if settings.word_share != (0.0, 1.0):
            low, high = settings.word_share
            shares = word_shares(self.captions, size)
            allowed &= (shares >= low) & (shares <= high)
        if not allowed.any():
            raise ValueError(f"no word may be in a trigger; word_share is {settings.word_share}")
        return allowed

    def _first_triggers(self, n: int) -> Tensor:
        settings = self.settings
        count = 0 if settings.text == "none" else settings.pool or settings.trigger_length
        shape = n, count
        if settings.text == "constant":  # the captions' most frequent word
            counts = torch.bincount(self.captions.flatten(), minlength=len(self.allowed))
            counts = counts.masked_fill(~self.allowed, -1)
            return (counts == counts.max()).nonzero()[0].expand(shape).clone()
        words = self.allowed.nonzero()[:, 0]
        drawn = torch.randint(len(words), shape, generator=self.generator, device=self.device)
        return words[drawn]

    def _places(self, captions: Tensor) -> Tensor | None:
        """Where trigger words go, drawn anew; None for in front."""
        if self.settings.place == "front":
            return None
        return draw_places(captions, self.settings.trigger_length, self.generator)

    def _worded(self, captions: Tensor, triggers: Tensor) -> Tensor:
        """Captions as the surrogate meets them."""
        if self.settings.body == "plain":
            return captions
        if self.settings.pool is not None:
            triggers = draw_words(triggers, self.settings.trigger_length, self.generator)
        return insert(captions, triggers, self._places(captions))

    def _mine(self, rows: Tensor) -> tuple[Tensor, Tensor | None]:
        """The rows of noise and triggers that a batch has, and which of them each image has.

        That is None where no two images share them.
        """
        if self.settings.unit == "group":
            return self.owner[rows].unique(return_inverse=True)
        return rows, None

    def _shuffled(self, n: int) -> Tensor:
        return torch.randperm(n, generator=self.generator, device=self.device)

    def _noisy(self, rows: Tensor) -> Tensor:
        return noises.add(_rows(self.images, rows), _rows(self.noise, self.owner[rows]))

    def _caption(self, rows: Tensor) -> Tensor:
        """One of each image's captions."""
        count = self.captions.shape[1]
        which = torch.randint(count, rows.shape, generator=self.generator, device=self.device)
        return self.captions[rows, which]


def _rows(kept: Tensor, rows: Tensor) -> Tensor:
    """Some rows of what may be kept on another device."""
    return kept[rows.to(kept.device)].to(rows.device)
