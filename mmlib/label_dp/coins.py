"""Where the coins come from: a seeded generator for teaching, the operating system for a release.

Every mechanism of this package draws through this file, from 53 random bits a number, for teaching
and for a release alike. A coin falls with at least its stated chance, so rounding takes no privacy
from it. Of :func:`uniform` each integer's chance is off by a few 2^-53, and with it an epsilon by
some 10^-13 at K = 286. Noise with tails has ends, beyond which pure epsilon fails:
:func:`mmlib.label_dp.mechanisms.laplace.laplace_labels` says by how much. Without any such error
sample only integer methods (Canonne, Kamath and Steinke 2020), which are not used here.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
from torch import Tensor

from mmlib._checks import check_range


@dataclass(frozen=True)
class SystemEntropy:
    """The operating system's entropy, in the place of a generator: no seed exists to be kept.

    >>> from mmlib.label_dp.mechanisms.randomized_response import randomized_response
    >>> labels = torch.zeros(5, dtype=torch.long)
    >>> randomized_response(labels, 0.5, 2, generator=SystemEntropy()).shape
    torch.Size([5])
    """


Generator = torch.Generator | SystemEntropy


def random(like: Tensor, generator: Generator) -> Tensor:
    """Multiples of 2^-53, uniform in [0, 1), float64, of the shape and on the device of ``like``.

    >>> random(torch.zeros(2, 3), torch.Generator().manual_seed(0)).dtype
    torch.float64
    """
    if isinstance(generator, SystemEntropy):
        bits = torch.frombuffer(bytearray(os.urandom(8 * like.numel() + 8)), dtype=torch.int64)
        low = bits[: like.numel()] & (2**53 - 1)
        return (low.double() * 2.0**-53).reshape(like.shape).to(like.device)
    return torch.rand(like.shape, dtype=torch.float64, device=like.device, generator=generator)


def coins(noise: float | Tensor, like: Tensor, generator: Generator) -> Tensor:
    """Whether each coin falls, so that something is drawn: each with chance ``noise``."""
    if not isinstance(noise, Tensor):
        check_range("noise", noise, 0.0, 1.0)
    return random(like, generator) < noise


def uniform(count: int | Tensor, like: Tensor, generator: Generator) -> Tensor:
    """Integers from 0 to ``count`` - 1, of the shape, dtype and device of ``like``.

    The chance of each is 1 / ``count`` but for a few 2^-53, as few counts divide 2^53 evenly.
    """
    return (random(like, generator) * count).to(like.dtype)


def normal(like: Tensor, generator: Generator) -> Tensor:
    """Standard normal numbers, float64, of the shape and on the device of ``like``.

    By inversion, from the middle of each of 2^53 steps, so at most 8.3 away from 0. A true normal
    number is farther away with chance 2^-53.

    >>> x = normal(torch.zeros(100_000), torch.Generator().manual_seed(0))
    >>> round(x.mean().item(), 1) + 0.0, round(x.std().item(), 2)
    (0.0, 1.0)
    """
    # The upper half by symmetry: close to 1 a float64 has no room for the middle of a step.
    u = random(like, generator)
    half = torch.special.ndtri(torch.where(u < 0.5, u, u - 0.5) + 2.0**-54)
    return torch.where(u < 0.5, half, -half)
