"""The other side: a model trained on published pairs, with or without a defence against them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from mmlib._checks import check_range, check_shape
from mmlib.evaluate.retrieval import retrieval
from mmlib.mem.defence import Defence, prepared
from mmlib.mem.defence_images import attacked
from mmlib.mem.defence_text import drop_words
from mmlib.mem.fingerprint import check_victim
from mmlib.mem.published import Protected
from mmlib.train import EpochSampler, Optim, fit

PGD_STEPS = 2  # of the noise of adversarial training, before the views


def evaluate(model: nn.Module, images: Tensor, captions: Tensor) -> dict[str, float]:
    """:func:`mmlib.evaluate.retrieval.retrieval` of images (N, 3, H, W) and captions (N, C, T)."""
    c = check_shape("captions", captions, "N C T", N=len(images))["C"]
    model.eval()
    pair = (vectors(model, 0, images), vectors(model, 1, captions.flatten(0, 1)))
    return retrieval(pair, captions_per_image=c)


@torch.inference_mode()
def vectors(model: nn.Module, modality: int, inputs: Tensor) -> Tensor:
    """Vectors (N, D) of images (0) or captions (1) that the model's loss compares."""
    return model.aligned(modality, inputs)


def train_hacker(
    model: nn.Module,
    images: Tensor,
    captions: Tensor,
    optim: Optim,
    *,
    batch_size: int,
    seed: int,
    generator: torch.Generator,
    defence: Defence | None = None,
    photo: Tensor | None = None,
    clean: tuple[Tensor, Tensor] | None = None,
    made: Iterable[Protected] = (),
    name: str = "hacker",
    on_step: Callable[[int], None] | None = None,
) -> list[dict[str, float]]:
    """Train ``model`` in place on published pairs; return :func:`mmlib.train.fit`'s history.

    Each step draws pairs in an order that ``seed`` gives, and for each one of its captions.

    Args:
        images: (N, 3, H, W) uint8, as published.
        captions: (N, C, T) ids, as published.
        defence: what is done to them first.
        photo: (N,) which photo each row shows, for ``swap_captions`` where a photo is published in
            several rows.
        clean: images (M, 3, H, W) and captions (M, C', T) that the hacker has from elsewhere, for
            ``clean_share``; nothing but the views and the attack is done to them.
        made: the protections whose surrogates ``model`` must not be.

    Raises ``ValueError`` if ``model`` is a surrogate, if captions are to be swapped and it is not
    told which rows show the same photo, and if clean pairs are to be mixed in and there are fewer
    than a batch's share of them.
    """
    defence = defence or Defence()
    check_victim(model, made)
    check_shape("captions", captions, "N C T", N=len(images))
    images, captions = prepared(defence, images, captions, photo=photo, generator=generator)
    own = round(defence.clean_share * batch_size)  # clean pairs in a batch
    if own:
        if clean is None:
            raise ValueError("clean is None; allowed with clean_share: clean pairs")
        check_range("clean_share of a batch, pairs", own, 1, len(clean[0]))

    def loss(rows: Tensor, g: torch.Generator):
        rows = rows[: batch_size - own]
        which = torch.randint(captions.shape[1], rows.shape, generator=g, device=rows.device)
        seen, texts = images[rows], captions[rows, which]
        if own:
            more = torch.randperm(len(clean[0]), generator=g, device=rows.device)[:own]
            which = torch.randint(clean[1].shape[1], more.shape, generator=g, device=rows.device)
            seen = torch.cat([seen, clean[0][more]])
            texts = torch.cat([texts, clean[1][more, which]])
        if defence.adversarial:
            seen = attacked(model, seen, texts, epsilon=defence.adversarial, steps=PGD_STEPS)
        for view in defence.views:
            seen = view(seen, g)
        if defence.word_drop:
            texts = drop_words(texts, defence.word_drop, g)
        return model.loss((seen, texts), g)

    sampler = EpochSampler(len(images), batch_size, seed=seed, device=images.device)
    return fit(model, loss, optim, sampler, generator=generator, name=name, on_step=on_step)
