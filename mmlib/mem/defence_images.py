"""What a hacker may do to published images: save them anew, round them, or attack them."""

from __future__ import annotations

import io

import numpy as np
import torch
from torch import Tensor

from mmlib import losses
from mmlib.encoders.folded import frozen
from mmlib.mem import noise as noises
from mmlib.methods.clip import DualEncoder


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

    The model is asked in the mode that it is in. In training it normalises by the batch, and each
    step's batch enters its running statistics, as in the released codes of Madry et al. 2018 and
    Rice et al. 2020; others, such as TRADES, attack in evaluation mode (Pang et al. 2021 compare).
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
