"""MEM: surrogate, triggers and noise take turns in lowering the same contrastive loss."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from mmlib.mem.alternation import Alternation
from mmlib.mem.fingerprint import fingerprint
from mmlib.mem.published import Protected
from mmlib.mem.resume import Resumable
from mmlib.mem.settings import Protection
from mmlib.train import EpochSampler, Optim, fit


def protect(
    surrogate: nn.Module,
    images: Tensor,
    captions: Tensor,
    settings: Protection,
    *,
    generator: torch.Generator,
    words: Tensor | None = None,
    folder: Path | None = None,
    progress: bool = True,
) -> Protected:
    """Protect image-caption pairs. The surrogate is trained on the way.

    Each round trains the surrogate for some steps on the pairs as protected so far, and then
    visits every pair once, the surrogate frozen: see :class:`Alternation`.

    Args:
        surrogate: a :class:`mmlib.methods.clip.DualEncoder` of an image encoder and a
            ``TextTransformer``, from random weights. With ``views`` and words that are not
            optimised it may be another method of the two.
        images: (N, 3, H, W) uint8.
        captions: (N, C, T) ids; each visit draws one of an image's C captions. With the unit
            "pair" every image is published C times, each time with one of its captions.
        settings: what is done, and how long. :data:`mmlib.mem.protections.MODES` names what the
            released code does otherwise.
        words: (V,) bool, the ids that may be trigger words, as far as ``settings`` allows them;
            by default all. A tokenizer's ``whole_words()`` are those that survive being written.
        folder: where noise and published images are kept in files, mapped into memory, and how far
            the run has come. The same call goes on from there, to the same bytes as if it had never
            been interrupted: see :mod:`mmlib.mem.resume`. By default all is in memory.

    Raises ``ValueError`` for images that are not uint8, captions without room for a trigger, more
    groups than images, a visit that would leave out every pair, if no word may be in a trigger
    by ``words`` and the settings, and if ``folder`` holds another run.
    Source: MEM, released code.

    >>> from mmlib.augment.image import ToFloat
    >>> from mmlib.encoders.image import GlobalPool, SmallConvNet
    >>> from mmlib.encoders.text import TextTransformer
    >>> from mmlib.methods.clip import DualEncoder
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
    if folder is None:
        state = Alternation(surrogate, images, captions, settings, generator, words)
    else:
        state = Resumable(surrogate, images, captions, settings, generator, words, folder=folder)

    def visit_after_round(step: int) -> None:
        finished, rest = divmod(step, settings.surrogate_steps)
        if rest == 0 and len(state.visits) < finished:
            state.visit(with_triggers=finished <= settings.trigger_rounds)

    def go_on(step: int) -> None:
        state.recall(step // settings.surrogate_steps)
        visit_after_round(step)

    trained, used = [], []
    if settings.trains:
        optim = Optim(
            steps=settings.rounds * settings.surrogate_steps,
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            precision=settings.precision,
        )
        seed = _seed(generator)
        used.append(fingerprint(surrogate))
        trained = fit(
            surrogate,
            state.loss,
            optim,
            EpochSampler(len(state.images), settings.batch_size, seed=seed, device=state.device),
            generator=generator,
            name="protect",
            checkpoint=state.checkpoint,
            checkpoint_every=settings.surrogate_steps,
            log_every=settings.surrogate_steps,
            on_step=visit_after_round,
            on_resume=go_on,
            progress=progress,
        )
        used.append(fingerprint(surrogate))
    history = [
        {"round": i + 1, "surrogate": row["loss"], **means}
        for i, (row, means) in enumerate(zip(trained, state.visits, strict=True))
    ]
    return Protected(
        state.published(),
        state.triggers[state.owner],
        history,
        surrogate=tuple(used),
        woven=_seed(generator) if settings.place == "woven" else None,
        carried=None if settings.pool is None else settings.trigger_length,
    )


def _seed(generator: torch.Generator) -> int:
    return int(torch.randint(2**31, (), generator=generator, device=generator.device))
