"""MEM: surrogate, triggers and noise take turns in lowering the same contrastive loss."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from statistics import fmean

import torch
from torch import Tensor

from mmlib import losses
from mmlib._checks import check_choice, check_range, check_shape
from mmlib.encoders.text import SPECIAL, WordTokenizer
from mmlib.mem import noise as noises
from mmlib.mem.trigger import improve, prepend
from mmlib.methods.clip import DualEncoder
from mmlib.train import EpochSampler, Optim, fit


@dataclass(frozen=True)
class Protection:
    """What is done to text and image, and how long. Raises ``ValueError`` for a value out of range.

    ``text="none"``, or no trigger words, with ``shuffle_body=False`` is error-minimising noise
    (EM); ``image="none"`` or an ``epsilon`` of 0 is text only; ``trigger_rounds=0`` keeps random
    triggers. Without ``"optimised"`` and ``"pgd"`` no surrogate is trained.

    Source: MEM-3, released code (defaults).

    >>> Protection(image="gauss")
    Traceback (most recent call last):
    ...
    ValueError: image is 'gauss'; allowed: 'none', 'uniform', 'pgd'
    """

    text: str = "optimised"  # none, constant, random, optimised
    image: str = "pgd"  # none, uniform, pgd
    shuffle_body: bool = True  # PGD sees each trigger before the caption of another pair
    trigger_length: int = 3  # words, K
    epsilon: int = 8  # bound of the noise, in levels of 1/255
    step_size: int = 1  # of PGD, in levels
    noise_steps: int = 8  # of PGD at each visit, S
    rounds: int = 20  # R
    trigger_rounds: int = 5  # the first of them, in which triggers are improved
    surrogate_steps: int = 200  # in each round, M
    batch_size: int = 128
    candidates: int = 16  # tried at each position, J
    learning_rate: float = 1e-4  # of the surrogate
    weight_decay: float = 0.2
    precision: str = "float32"

    def __post_init__(self) -> None:
        check_choice("text", self.text, ("none", "constant", "random", "optimised"))
        check_choice("image", self.image, ("none", "uniform", "pgd"))
        for name in ("noise_steps", "rounds", "surrogate_steps", "candidates"):
            check_range(name, getattr(self, name), 1)
        check_range("trigger_length", self.trigger_length, 0)
        check_range("trigger_rounds", self.trigger_rounds, 0, self.rounds)
        check_range("batch_size", self.batch_size, 2)


@dataclass(frozen=True)
class Protected:
    """What is published: uint8 ``images`` (N, 3, H, W) and ``triggers`` (N, K), and how it came.

    ``history`` has a row for each round: ``surrogate``, the mean loss of its steps, and the mean
    over batches of ``trigger_before`` and ``trigger_after``, ``noise_before`` and ``noise_after``
    (the loss at the first and at the last PGD step), as far as they were made.
    """

    images: Tensor
    triggers: Tensor
    history: list[dict[str, float]]

    def captions(self, captions: Tensor) -> Tensor:
        """Captions (N, C, T), each with its image's trigger in front."""
        triggers = self.triggers.repeat_interleave(captions.shape[1], dim=0)
        return prepend(captions.flatten(0, 1), triggers).view_as(captions)

    def words(self, tokenizer: WordTokenizer) -> list[str]:
        """The triggers as text. With a tokenizer of whole words it encodes to the same ids."""
        return [tokenizer.decode(ids) for ids in self.triggers]


def protect(
    surrogate: DualEncoder,
    images: Tensor,
    captions: Tensor,
    settings: Protection,
    *,
    generator: torch.Generator,
    progress: bool = True,
) -> Protected:
    """Protect image-caption pairs. The surrogate is trained on the way.

    Each round trains the surrogate for some steps on the pairs as protected so far, and then
    visits every pair once, the surrogate frozen: see :class:`Alternation`.

    Args:
        surrogate: image encoder and ``TextTransformer``, from random weights.
        images: (N, 3, H, W) uint8.
        captions: (N, C, T) ids; each visit draws one of an image's C captions. Noise and trigger
            belong to the image; with C = 1 to the pair, as in the paper.
        settings: what is done, and how long.

    Raises ``ValueError`` for images that are not uint8 and captions without room for a trigger.
    Source: MEM, released code, whose slips are mended: gradients are cleared before each step, no
    pair is left out of a visit, no special token is a trigger word.

    >>> from mmlib.augment.image import ToFloat
    >>> from mmlib.encoders.image import GlobalPool, SmallConvNet
    >>> from mmlib.encoders.text import TextTransformer
    >>> encoders = [GlobalPool(SmallConvNet(1)), TextTransformer(20, 8, 1, 2, 8, out_features=4)]
    >>> inputs = [ToFloat(), lambda ids, generator: ids]
    >>> surrogate = DualEncoder(
    ...     encoders, [torch.nn.Identity()] * 2, augment=inputs, prepare=inputs
    ... )
    >>> images = torch.full((4, 3, 8, 8), 100, dtype=torch.uint8)
    >>> captions = torch.tensor([[[1, 9, 2, 0, 0, 0, 0, 0]]] * 4)
    >>> settings = Protection(rounds=1, trigger_rounds=1, surrogate_steps=1, batch_size=4,
    ...                       candidates=4)
    >>> g = torch.Generator().manual_seed(0)
    >>> made = protect(surrogate, images, captions, settings, generator=g, progress=False)
    >>> made.triggers.shape, int((made.images.int() - 100).abs().max()) <= 8
    (torch.Size([4, 3]), True)
    """
    state = Alternation(surrogate, images, captions, settings, generator)
    visits = []

    def visit_after_round(step: int) -> None:
        finished, rest = divmod(step, settings.surrogate_steps)
        if rest == 0:
            visits.append(state.visit(with_triggers=finished <= settings.trigger_rounds))

    trained = []
    if settings.text == "optimised" or settings.image == "pgd":
        optim = Optim(
            steps=settings.rounds * settings.surrogate_steps,
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            precision=settings.precision,
        )
        seed = int(torch.randint(2**31, (), generator=generator, device=generator.device))
        trained = fit(
            surrogate,
            state.loss,
            optim,
            EpochSampler(len(images), settings.batch_size, seed=seed, device=images.device),
            generator=generator,
            name="protect",
            log_every=settings.surrogate_steps,
            on_step=visit_after_round,
            progress=progress,
        )
    history = [
        {"round": i + 1, "surrogate": row["loss"], **means}
        for i, (row, means) in enumerate(zip(trained, visits, strict=True))
    ]
    return Protected(noises.add(images, state.noise), state.triggers, history)


class Alternation:
    """The noise and the triggers made so far, and the three minimisations that use each other's."""

    def __init__(
        self,
        surrogate: DualEncoder,
        images: Tensor,
        captions: Tensor,
        settings: Protection,
        generator: torch.Generator,
    ):
        n = check_shape("images", images, "N 3 H W")["N"]
        check_shape("captions", captions, "N C T", N=n)
        self.surrogate, self.images, self.captions = surrogate, images, captions
        self.settings, self.generator, self.device = settings, generator, images.device
        self.triggers = self._first_triggers()
        self.noise = torch.zeros_like(images, dtype=torch.int8)
        if settings.image == "uniform":
            self.noise = noises.uniform(images, epsilon=settings.epsilon, generator=generator)

    def loss(self, rows: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """What the surrogate minimises: the loss of protected pairs, image and caption true."""
        batch = self._noisy(rows), prepend(self._caption(rows), self.triggers[rows])
        return self.surrogate.loss(batch, generator)

    def visit(self, with_triggers: bool) -> dict[str, float]:
        """Improve all triggers (if asked) and all noise, batch by batch, the surrogate frozen."""
        self.surrogate.eval()
        seen: dict[str, list[Tensor]] = defaultdict(list)
        order = torch.randperm(len(self.images), generator=self.generator, device=self.device)
        bfloat16 = self.settings.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bfloat16):
            for rows in order.tensor_split(math.ceil(len(order) / self.settings.batch_size)):
                if self.settings.text == "optimised" and with_triggers:
                    self.improve_triggers(rows, seen)
                if self.settings.image == "pgd":
                    self.improve_noise(rows, seen)
        return {name: fmean(map(float, values)) for name, values in seen.items()}

    def improve_triggers(self, rows: Tensor, seen: dict[str, list[Tensor]]) -> None:
        """HotFlip on true pairs. The images are embedded once for all words that are tried."""
        model = self.surrogate
        with torch.no_grad():
            images = model.projections[0](model.encoders[0](self._prepared(self._noisy(rows))))

        def loss(features: Tensor) -> Tensor:
            return losses.clip(images, model.projections[1](features), scale=model.scale)

        captions, count = self._caption(rows), self.settings.candidates
        step = improve(self.triggers[rows], captions, model.encoders[1], loss, count=count)
        self.triggers[rows] = step.triggers
        seen["trigger_before"].append(step.before)
        seen["trigger_after"].append(step.after)

    def improve_noise(self, rows: Tensor, seen: dict[str, list[Tensor]]) -> None:
        """PGD. Each step gives every trigger the caption of another pair of the batch.

        So noise and trigger learn each other, and not what the caption says.
        """
        bodies, triggers, values = self._caption(rows), self.triggers[rows], []

        def loss(noisy: Tensor) -> Tensor:
            texts = prepend(bodies[self._shuffled(len(rows))], triggers)
            pairs = self.surrogate.project((self._prepared(noisy), texts))
            value = losses.clip(*pairs, scale=self.surrogate.scale)
            values.append(value.detach())
            return value

        self.noise[rows] = noises.pgd(
            self.images[rows],
            self.noise[rows],
            loss,
            epsilon=self.settings.epsilon,
            step_size=self.settings.step_size,
            steps=self.settings.noise_steps,
        )
        seen["noise_before"].append(values[0])
        seen["noise_after"].append(values[-1])

    def _first_triggers(self) -> Tensor:
        settings, first_word = self.settings, len(SPECIAL)
        shape = len(self.images), settings.trigger_length if settings.text != "none" else 0
        if settings.text == "constant":  # a fitted tokenizer's most frequent word
            return torch.full(shape, first_word, device=self.device)
        size = len(self.surrogate.encoders[1].token_embedding.weight)
        return torch.randint(first_word, size, shape, generator=self.generator, device=self.device)

    def _shuffled(self, n: int) -> Tensor:
        if self.settings.shuffle_body:
            return torch.randperm(n, generator=self.generator, device=self.device)
        return torch.arange(n, device=self.device)

    def _noisy(self, rows: Tensor) -> Tensor:
        return noises.add(self.images[rows], self.noise[rows])

    def _prepared(self, images: Tensor) -> Tensor:
        return self.surrogate.prepare[0](images, None)

    def _caption(self, rows: Tensor) -> Tensor:
        """One of each image's captions."""
        count = self.captions.shape[1]
        which = torch.randint(count, rows.shape, generator=self.generator, device=self.device)
        return self.captions[rows, which]
