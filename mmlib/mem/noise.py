"""Image noise within an L-infinity bound, in whole grey levels.

Images are uint8 and noise is int8, both in levels of 1/255, so a protected image is a uint8 image
that differs from its original by at most ``epsilon`` levels: exactly, with nothing to round.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mmlib._checks import check_range, check_shape

LEVELS = 255


def add(images: Tensor, noise: Tensor) -> Tensor:
    """Noisy uint8 images: ``images`` (B, 3, H, W) uint8 plus int8 ``noise``, kept in 0 to 255.

    Raises ``ValueError`` for images that are not uint8, or noise that is not int8.

    >>> add(torch.tensor([250, 5], dtype=torch.uint8), torch.tensor([8, -8], dtype=torch.int8))
    tensor([255,   0], dtype=torch.uint8)
    """
    if images.dtype != torch.uint8:
        raise ValueError(f"images are {images.dtype}; allowed: torch.uint8")
    if noise.dtype != torch.int8:  # floats would be cut to whole levels, mostly to none
        raise ValueError(f"noise is {noise.dtype}; allowed: torch.int8")
    return (images.short() + noise).clamp_(0, LEVELS).to(torch.uint8)


def uniform(images: Tensor, *, epsilon: int, generator: torch.Generator) -> Tensor:
    """Noise of whole levels uniform in [-epsilon, epsilon], clipped where an image would overflow.

    It is drawn on the generator's device and given on that of the images.

    >>> g = torch.Generator().manual_seed(0)
    >>> uniform(torch.full((1, 3, 8, 8), 255, dtype=torch.uint8), epsilon=8, generator=g).max()
    tensor(0, dtype=torch.int8)
    """
    check_range("epsilon", epsilon, 0, 127)
    noise = torch.empty_like(images, dtype=torch.int8, device=generator.device)
    noise.random_(-epsilon, epsilon + 1, generator=generator)
    return in_range(images, noise.to(images.device))


def pgd(
    images: Tensor,
    noise: Tensor,
    loss: Callable[[Tensor], Tensor],
    *,
    epsilon: int = 8,
    step_size: int = 1,
    steps: int = 8,
    maximise: bool = False,
    owner: Tensor | None = None,
) -> Tensor:
    """Steps against the sign of the gradient, each projected on the bound and the pixel range.

    Starts from ``noise``: give the noise of the last visit to go on from there. Nothing but the
    noise changes; no gradient reaches the parameters that ``loss`` uses.

    Args:
        images: (B, 3, H, W) uint8.
        noise: (B, 3, H, W) int8; with ``owner`` (G, 3, H, W).
        loss: a scalar of the noisy images as float in [0, 1].
        epsilon: bound on the noise, in levels of 1/255, 0 to 127.
        step_size: levels that a pixel moves in one step.
        steps: number of steps.
        maximise: follow the gradient instead (error-maximising noise).
        owner: (B,) which of G noises each image has, where images share one. A noise then follows
            the sum of its images' gradients, and keeps the bound only: each image clips for itself.

    Returns the int8 noise. Raises ``ValueError`` for a bound or step out of range.
    Source: MEM, Eq. 5; Huang et al. 2021 (error-minimising noise); Madry et al. 2018 (PGD).

    >>> dark = torch.zeros(1, 3, 2, 2, dtype=torch.uint8)
    >>> pgd(dark, dark.char(), lambda x: -x.sum(), epsilon=3)[0, 0]
    tensor([[3, 3],
            [3, 3]], dtype=torch.int8)
    """
    check_range("epsilon", epsilon, 0, 127)
    sizes = check_shape("images", images, "B 3 H W")
    if owner is None:
        check_shape("noise", noise, "B 3 H W", **sizes)
    else:
        check_shape("noise", noise, "G 3 H W", H=sizes["H"], W=sizes["W"])
        check_shape("owner", owner, "B", B=sizes["B"])
    check_range("step_size", step_size, 1)
    direction = step_size if maximise else -step_size
    for _ in range(steps):
        worn = noise if owner is None else noise[owner]
        noisy = (add(images, worn) / LEVELS).requires_grad_()
        (gradient,) = torch.autograd.grad(loss(noisy), noisy)
        if owner is not None:
            shape = len(noise), *gradient.shape[1:]
            gradient = gradient.new_zeros(shape).index_add_(0, owner, gradient)
        noise = noise.short() + direction * gradient.sign().short()
        noise = noise.clamp_(-epsilon, epsilon).to(torch.int8)
        if owner is None:
            noise = in_range(images, noise)
    return noise


def in_range(images: Tensor, noise: Tensor) -> Tensor:
    """The part of int8 ``noise`` that the range of uint8 images' pixels leaves."""
    return (add(images, noise).short() - images).to(torch.int8)
