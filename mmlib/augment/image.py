"""Random views of images: whole batches, on their device, with a draw for each sample.

A transform is a small frozen dataclass; ``transform(batch, generator)`` takes (B, 3, H, W), uint8
in [0, 255] or floats in [0, 1], and gives floats in [0, 1] (outside it only after
:class:`Normalize`), float32 for uint8 and else of the same type. No transform loops over samples.
Those without chance take None as generator. The changes themselves are in
:mod:`mmlib.augment.functional`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mmlib._checks import check_range
from mmlib.augment.functional import (
    adjust_brightness_,
    adjust_contrast_,
    adjust_hue,
    adjust_saturation_,
    blur,
    crop,
    grey,
    rotate,
)
from mmlib.augment.transform import Compose, ImageTransform
from mmlib.device import constant

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class ToFloat(ImageTransform):
    """uint8 in [0, 255] to float32 in [0, 1]; floats stay as they are.

    >>> ToFloat()(torch.full((1, 3, 1, 1), 51, dtype=torch.uint8))[0, :, 0, 0]
    tensor([0.2000, 0.2000, 0.2000])
    """

    def change_(self, batch: Tensor, generator: torch.Generator | None) -> Tensor:
        return batch


@dataclass(frozen=True)
class Normalize(ImageTransform):
    """Subtract a mean and divide by a standard deviation for each channel."""

    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def change_(self, batch: Tensor, generator: torch.Generator | None) -> Tensor:
        mean, std = constant((self.mean, self.std), batch.device, batch.dtype)[:, :, None, None]
        return batch.sub_(mean).div_(std)


@dataclass(frozen=True)
class Resize(ImageTransform):
    """Antialiased bilinear resampling to ``size`` x ``size`` pixels, without chance.

    >>> Resize(4)(torch.full((2, 3, 8, 6), 255, dtype=torch.uint8)).shape
    torch.Size([2, 3, 4, 4])
    """

    size: int

    def __post_init__(self) -> None:
        check_range("size", self.size, 1)

    def change_(self, batch: Tensor, generator: torch.Generator | None) -> Tensor:
        if batch.shape[2:] == (self.size, self.size):
            return batch
        size = (self.size, self.size)
        resized = F.interpolate(batch.float(), size, mode="bilinear", antialias=True)
        return resized.clamp_(0, 1).to(batch.dtype)


@dataclass(frozen=True)
class ResizedCrop(ImageTransform):
    """A random box of each image, resampled to ``size`` x ``size`` pixels (antialiased bilinear).

    The box has a share of the area uniform in ``scale`` and an aspect ratio log-uniform in
    ``ratio``, rounded to whole pixels, at a uniform place. If ten such draws do not fit, it is the
    largest central box of an allowed ratio. With probability 1 - ``p`` it is the whole image.
    Source: torchvision's RandomResizedCrop.

    >>> view = ResizedCrop(4)(torch.rand(2, 3, 8, 8), torch.Generator().manual_seed(0))
    >>> view.shape
    torch.Size([2, 3, 4, 4])
    """

    size: int
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    p: float = 1.0

    def __post_init__(self) -> None:
        check_range("size", self.size, 1)
        _check_interval("scale", self.scale, 1.0)
        _check_interval("ratio", self.ratio)
        check_range("p", self.p, 0, 1)

    def change_(self, batch: Tensor, generator: torch.Generator | None) -> Tensor:
        boxes = self.boxes(len(batch), batch.shape[2:], generator)
        if self.p < 1:
            chosen = _chosen(batch, self.p, generator)
            whole = (0, 0, *batch.shape[2:])  # top, left, height, width
            boxes = [x.where(chosen, y) for x, y in zip(boxes, whole, strict=True)]
        return crop(batch, *boxes, self.size)

    def boxes(
        self, n: int, image: Sequence[int], generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Top, left, height and width (n,) in pixels of random boxes of images (H, W)."""
        high, wide = image
        area = high * wide * _uniform(*self.scale, generator, n, 10)  # ten tries
        ratio = _uniform(*map(math.log, self.ratio), generator, n, 10).exp()
        heights, widths = (area / ratio).sqrt().round(), (area * ratio).sqrt().round()
        fits = (heights >= 1) & (widths >= 1) & (heights <= high) & (widths <= wide)
        first = fits.int().argmax(dim=1, keepdim=True)
        height, width = heights.gather(1, first)[:, 0], widths.gather(1, first)[:, 0]
        narrowest, widest = self.ratio
        central_width = max(1, min(wide, round(high * widest)))
        central_height = max(1, min(high, round(wide / narrowest)))
        none = ~fits.any(dim=1)
        height, width = height.where(~none, central_height), width.where(~none, central_width)
        top = (_uniform(0, 1, generator, n) * (high - height + 1)).floor()
        left = (_uniform(0, 1, generator, n) * (wide - width + 1)).floor()
        top = top.where(~none, (high - height).div(2, rounding_mode="floor"))
        left = left.where(~none, (wide - width).div(2, rounding_mode="floor"))
        return top, left, height, width


@dataclass(frozen=True)
class Flip(ImageTransform):
    """Mirror each image left to right with probability ``p``."""

    p: float = 0.5

    def __post_init__(self) -> None:
        check_range("p", self.p, 0, 1)

    def change_(self, batch: Tensor, generator: torch.Generator | None) -> Tensor:
        return _change_(batch, _chosen(batch, self.p, generator), lambda x, _: x.flip(3))


@dataclass(frozen=True)
class ColorJitter(ImageTransform):
    """Change brightness, contrast, saturation and hue in a random order, with probability ``p``.

    Factors are uniform in [max(0, 1 - v), 1 + v] for the first three, the hue turns by a uniform
    share in [-hue, hue] of the circle; each sample has its own. The order is drawn once for all
    samples of a call: any one sample sees every order equally often.
    Source: torchvision's ColorJitter.
    """

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    p: float = 1.0

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation"):
            check_range(name, getattr(self, name), 0)
        check_range("hue", self.hue, 0, 0.5)
        check_range("p", self.p, 0, 1)

    def change_(self, batch: Tensor, generator: torch.Generator | None) -> Tensor:
        chosen = _chosen(batch, self.p, generator)
        changes = [
            (adjust_brightness_, *_factors(self.brightness), 1.0),
            (adjust_contrast_, *_factors(self.contrast), 1.0),
            (adjust_saturation_, *_factors(self.saturation), 1.0),
            (adjust_hue, -self.hue, self.hue, 0.0),
        ]
        for i in _order(4, generator):
            change, low, high, unchanged = changes[i]
            if low < high:
                value = _uniform(low, high, generator, len(batch))
                batch = change(batch, value.where(chosen, unchanged))
        return batch


@dataclass(frozen=True)
class Grayscale(ImageTransform):
    """Make each image grey, still in three channels, with probability ``p``."""

    p: float = 0.2

    def __post_init__(self) -> None:
        check_range("p", self.p, 0, 1)

    def change_(self, batch: Tensor, generator: torch.Generator | None) -> Tensor:
        chosen = _chosen(batch, self.p, generator)
        return _change_(batch, chosen, lambda x, _: grey(x).expand_as(x))


@dataclass(frozen=True)
class GaussianBlur(ImageTransform):
    """Blur with a standard deviation uniform in ``sigma`` pixels, with probability ``p``.

    The kernel is cut off at ``kernel_size`` (odd), the border is mirrored.
    Source: torchvision's GaussianBlur.
    """

    kernel_size: int
    sigma: tuple[float, float] = (0.1, 2.0)
    p: float = 0.5

    def __post_init__(self) -> None:
        if self.kernel_size < 1 or self.kernel_size % 2 == 0:
            raise ValueError(f"kernel_size is {self.kernel_size}; allowed: odd, positive")
        _check_interval("sigma", self.sigma)
        check_range("p", self.p, 0, 1)

    def change_(self, batch: Tensor, generator: torch.Generator | None) -> Tensor:
        check_range("kernel_size", self.kernel_size, 1, 2 * min(batch.shape[2:]) - 1)
        chosen = _chosen(batch, self.p, generator)
        sigma = _uniform(*self.sigma, generator, len(batch))
        return _change_(batch, chosen, lambda x, i: blur(x, sigma[i], self.kernel_size))


@dataclass(frozen=True)
class Rotation(ImageTransform):
    """Turn by an angle uniform in [-degrees, degrees], with probability ``p``; bilinear.

    What comes in from outside the image is 0. Source: torchvision's RandomRotation, fill=None.
    """

    degrees: float
    p: float = 1.0

    def __post_init__(self) -> None:
        check_range("degrees", self.degrees, 0, 180)
        check_range("p", self.p, 0, 1)

    def change_(self, batch: Tensor, generator: torch.Generator | None) -> Tensor:
        chosen = _chosen(batch, self.p, generator)
        angle = _uniform(-self.degrees, self.degrees, generator, len(batch))
        return _change_(batch, chosen, lambda x, i: rotate(x, angle[i]))


def simclr(
    size: int, *, crop_low: float = 0.08, blurred: bool = True, upright: bool = False
) -> Compose:
    """CoMM's views of images: crop, colours, grey, blur, flip, ImageNet normalisation.

    ``crop_low`` is the smallest share of the area. Images that are ``upright``, whose mirror images
    are something else, are turned by up to 15 degrees in place of the flip.

    Source: CoMM, released code (0.08 to 1 of the area; jitter 0.4, 0.4, 0.4, 0.1 with p 0.8; grey
    with p 0.2; blur of radius 0.1 to 2 with p 0.5, here cut off at three standard deviations).
    """
    return Compose(
        [
            ResizedCrop(size, scale=(crop_low, 1.0)),
            ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.8),
            Grayscale(p=0.2),
            *([GaussianBlur(kernel_size=13, sigma=(0.1, 2.0), p=0.5)] if blurred else []),
            Rotation(degrees=15) if upright else Flip(p=0.5),
            Normalize(),
        ]
    )


def _uniform(low: float, high: float, generator: torch.Generator | None, *shape: int) -> Tensor:
    if generator is None:
        raise ValueError("generator is None; allowed: a torch.Generator on the images' device")
    draws = torch.rand(*shape, generator=generator, device=generator.device)
    return low + (high - low) * draws


def _chosen(batch: Tensor, p: float, generator: torch.Generator | None) -> Tensor:
    return _uniform(0, 1, generator, len(batch)) < p


def _change_(
    batch: Tensor, chosen: Tensor, change: Callable[[Tensor, Tensor | slice], Tensor]
) -> Tensor:
    """The batch, which may be overwritten, with ``change(samples, their indices)`` of those chosen.

    ``change`` leaves what it is given as it is.
    """
    if batch.device.type != "cpu":  # all of them: which they are, a GPU would have to say first
        return torch.where(chosen[:, None, None, None], change(batch, slice(None)), batch)
    rows = chosen.nonzero()[:, 0]
    return batch.index_copy_(0, rows, change(batch[rows], rows)) if len(rows) else batch


def _order(n: int, generator: torch.Generator) -> list[int]:
    """A random order of n things, known to the host.

    Drawn on a GPU it would have to be waited for; the host draws by where the GPU's stream is.
    """
    if generator.device.type != "cpu":
        place = generator.get_state().tolist()  # seed and offset, which the host keeps
        seed = int(np.random.SeedSequence(place).generate_state(1)[0])
        generator = torch.Generator().manual_seed(seed)
    return torch.randperm(n, generator=generator).tolist()


def _factors(strength: float) -> tuple[float, float]:
    return max(0.0, 1 - strength), 1 + strength


def _check_interval(name: str, interval: tuple[float, float], high: float = math.inf) -> None:
    for end in interval:
        check_range(name, end, 0.0, high, open_low=True)
    if interval[0] > interval[1]:
        raise ValueError(f"{name} is {interval}; allowed: the smaller end first")
