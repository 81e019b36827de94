"""What an image's similarity to its text hangs on: pixels, places and words."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mmlib._checks import check_shape
from mmlib.methods.clip import DualEncoder


def gradient_lengths(model: DualEncoder, images: Tensor, texts: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient lengths of the cosine similarity, for each pixel (B, H, W) and each word (B, T).

    A pixel's is over its three channels on the scale [0, 1], a word's over its embedding. What
    stands behind a text's first end token has 0.

    Args:
        model: of images and, by a ``TextTransformer``, texts; in eval mode.
        images: (B, 3, H, W), uint8 or floats in [0, 1].
        texts: (B, T) ids, one for each image.

    Raises ``ValueError`` in training mode. Source: MEM, released code (words).
    """
    _check(model, images, texts)
    pixels = (images / 255 if images.dtype == torch.uint8 else images.clone()).requires_grad_()
    encoder = model.encoders[1]
    embedded = encoder.token_embedding(texts).detach().requires_grad_()
    u = model.encode(0, pixels)
    v = model.projections[1](encoder.encode_embedded(embedded, texts))
    similarity = torch.cosine_similarity(u, v).sum()
    by_pixel, by_word = torch.autograd.grad(similarity, (pixels, embedded))
    return by_pixel.norm(dim=1), by_word.norm(dim=2)


def activation_map(model: DualEncoder, images: Tensor, texts: Tensor) -> Tensor:
    """What each place of the trunk's last map adds to the cosine similarity, signed: (B, h, w).

    The channels' values there, each weighted by the mean of its gradient over all places. Where
    places are pooled by their mean, this is the derivative by the weight of a place. It then sums
    to 0 over an image if the projection is linear without a bias: a cosine does not change with the
    length of a vector, so what some places add the others take.

    Args:
        model: whose image encoder pools a trunk's map, as :class:`mmlib.encoders.image.GlobalPool`
            does; in eval mode.
        images: (B, 3, H, W), uint8 or floats in [0, 1].
        texts: (B, T) ids, one for each image.

    Raises ``ValueError`` in training mode. Source: Selvaraju et al. 2017 (Grad-CAM), before its cut
    at 0; MEM, released code (the last block of the image encoder).
    """
    _check(model, images, texts)
    encoder = model.encoders[0]
    with torch.no_grad():
        maps = encoder.trunk(model.prepare[0](images, None))
        v = model.encode(1, texts)
    maps.requires_grad_()
    u = model.projections[0](encoder.pool(maps))
    (gradient,) = torch.autograd.grad(torch.cosine_similarity(u, v).sum(), maps)
    return (gradient.mean(dim=(2, 3), keepdim=True) * maps.detach()).sum(dim=1)


def grad_cam(model: DualEncoder, images: Tensor, texts: Tensor) -> Tensor:
    """Where an image's similarity to its text is gained: (B, H, W), at least 0.

    :func:`activation_map` cut at 0 and resampled (bilinear) to the image's size; arguments, what is
    raised and source are its.
    """
    gained = activation_map(model, images, texts).clamp(min=0)
    return F.interpolate(gained[:, None], images.shape[2:], mode="bilinear")[:, 0]


def share_in(part: Tensor, maps: Tensor) -> float:
    """Share in % of maps (B, ...), at least 0, that lies in a part of each (B, ...), mean over B.

    A map that is 0 everywhere has 0 of it there.

    >>> share_in(torch.tensor([[1, 0, 0]]), torch.tensor([[1.0, 2.0, 1.0]]))
    25.0
    """
    inside, total = (x.flatten(1).sum(dim=1) for x in (maps * part, maps))
    return 100 * (inside / total.clamp_min(1e-12)).mean().item()


def _check(model: DualEncoder, images: Tensor, texts: Tensor) -> None:
    check_shape("texts", texts, "B T", B=check_shape("images", images, "B 3 H W")["B"])
    if model.training:
        raise ValueError("model.training is True; allowed: False, as pairs share batch statistics")
