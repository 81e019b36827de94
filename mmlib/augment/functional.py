"""Changes of images (B, 3, H, W), floats in [0, 1], by a value for each sample, without chance.

Names that end in an underscore overwrite the images they are given and return them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mmlib.device import compiled

_LUMA = (0.2989, 0.587, 0.114)  # weights of red, green and blue in grey


@compiled
def crop(
    batch: Tensor, top: Tensor, left: Tensor, height: Tensor, width: Tensor, size: int
) -> Tensor:
    """A box of each image, each side (B,) in whole pixels, resampled to ``size`` x ``size``.

    Bilinear and antialiased: where the box is larger than the output, over wider triangles.
    """
    high, wide = batch.shape[2:]
    if max(high, wide) > size:  # then a box may be larger
        rows = _triangles(top, height, high, size).to(batch)
        columns = _triangles(left, width, wide, size).to(batch)
        return rows[:, None] @ batch @ columns[:, None].mT

    def places(start: Tensor, length: Tensor, pixels: int) -> Tensor:
        ends = (start + 0.5)[:, None], (start + length - 0.5)[:, None]  # nothing beyond the box
        return _centres(start, length, size).clamp(*ends) * (2 / pixels) - 1

    x, y = places(left, width, wide)[:, None], places(top, height, high)[:, :, None]
    return _at(x.expand(-1, size, -1), y.expand(-1, -1, size), batch, outside="border")


@compiled
def adjust_brightness_(batch: Tensor, factor: Tensor) -> Tensor:
    """Multiply by ``factor`` (B,)."""
    return batch.mul_(_per_sample(factor, batch)).clamp_(0, 1)


@compiled
def adjust_contrast_(batch: Tensor, factor: Tensor) -> Tensor:
    """Move away from the image's mean grey by ``factor`` (B,)."""
    factor = _per_sample(factor, batch)
    mean = grey(batch.mean(dim=(2, 3), keepdim=True))
    return batch.mul_(factor).add_(mean * (1 - factor)).clamp_(0, 1)


@compiled
def adjust_saturation_(batch: Tensor, factor: Tensor) -> Tensor:
    """Move away from each pixel's grey by ``factor`` (B,)."""
    factor = _per_sample(factor, batch)
    rest = grey(batch).mul_(1 - factor)
    return batch.mul_(factor).add_(rest).clamp_(0, 1)


@compiled
def adjust_hue(batch: Tensor, turn: Tensor) -> Tensor:
    """Turn the hue of HSV by ``turn`` (B,) of the circle; value and saturation stay.

    >>> red = torch.tensor([1.0, 0, 0])[None, :, None, None]
    >>> adjust_hue(red, torch.tensor([1 / 3]))[0, :, 0, 0]
    tensor([0., 1., 0.])
    """
    low, high = batch.amin(dim=1, keepdim=True), batch.amax(dim=1, keepdim=True)
    chroma = (high - low).clamp_(min=torch.finfo(batch.dtype).tiny)
    out = (batch - low).div_(chroma)  # 1 in the largest channel
    red, green, blue = out[:, 0], out[:, 1], out[:, 2]
    # Whether red or green is largest, as factors: on a CPU torch.where takes ten times as long. A
    # division that is compiled for a GPU may give a little less than 1.
    is_red, is_green = (red + 1e-6).floor_(), (green + 1e-6).floor_()
    is_green.mul_(1 - is_red)
    hue = (4 + red).sub_(green)  # in sixths of the circle, if blue is largest
    hue += is_red * (green - blue).sub_(hue) + is_green * (2 + blue).sub_(red).sub_(hue)
    hue += 6 * turn.to(batch)[:, None, None]
    hue -= (hue / 6).floor_().mul_(6)
    # Red is missing around cyan (3); green and blue are there around themselves (2 and 4).
    red.copy_(hue).sub_(3).abs_().sub_(1)
    green.copy_(hue).sub_(2).abs_().neg_().add_(2)
    blue.copy_(hue).sub_(4).abs_().neg_().add_(2)
    return out.clamp_(0, 1).mul_(chroma).add_(low)


@compiled
def blur(batch: Tensor, sigma: Tensor, kernel_size: int) -> Tensor:
    """Gaussian blur with a standard deviation ``sigma`` (B,) in pixels; the border is mirrored.

    The kernel ends after ``kernel_size`` pixels, an odd number, and sums to 1.
    """
    half = kernel_size // 2
    steps = torch.arange(-half, half + 1, device=batch.device)
    kernel = (-0.5 * (steps / sigma[:, None]).square()).softmax(dim=1)  # (B, kernel_size)
    kernel = kernel.to(batch)[..., None, None, None]
    for dim, border in ((2, (0, 0, half, half)), (3, (half, half, 0, 0))):
        size = batch.shape[dim]
        padded = F.pad(batch, border, mode="reflect")
        batch = padded.narrow(dim, half, size) * kernel[:, half]
        for k in range(kernel_size):
            if k != half:
                batch.addcmul_(padded.narrow(dim, k, size), kernel[:, k])
    return batch


@compiled
def rotate(batch: Tensor, angle: Tensor) -> Tensor:
    """Turn counter-clockwise by ``angle`` (B,) in degrees about the centre; bilinear, 0 outside."""
    high, wide = batch.shape[2:]
    y, x = (torch.arange(n, device=batch.device) - (n - 1) / 2 for n in (high, wide))
    radians = angle.float().deg2rad()[:, None, None]
    cos, sin = radians.cos(), radians.sin()
    from_x = (x * cos - y[:, None] * sin) * (2 / wide)
    from_y = (x * sin + y[:, None] * cos) * (2 / high)
    return _at(from_x, from_y, batch, outside="zeros")


def grey(batch: Tensor) -> Tensor:
    """Brightness of each pixel: (B, 1, H, W)."""
    red, green, blue = batch[:, :1], batch[:, 1:2], batch[:, 2:]
    return (_LUMA[0] * red).add_(green, alpha=_LUMA[1]).add_(blue, alpha=_LUMA[2])


def _at(x: Tensor, y: Tensor, batch: Tensor, *, outside: str) -> Tensor:
    """Values at ``x`` and ``y`` (B, S, S), in units of half the image from its middle; bilinear."""
    grid = torch.stack([x, y], dim=3).to(torch.promote_types(batch.dtype, torch.float32))
    sampled = F.grid_sample(batch.to(grid), grid, padding_mode=outside, align_corners=False)
    return sampled.to(batch.dtype)


def _triangles(start: Tensor, length: Tensor, pixels: int, size: int) -> Tensor:
    """Weights (B, size, pixels) of an antialiased bilinear resampling of [start, start + length).

    Triangles as wide as the step between outputs, at least a pixel, that do not reach outside.
    """
    step = (length / size)[:, None, None]
    centre = _centres(start, length, size)[:, :, None]
    pixel = torch.arange(pixels, device=start.device) + 0.5
    weight = (1 - ((pixel - centre) / step.clamp(min=1)).abs()).clamp(min=0)
    inside = (pixel > start[:, None, None]) & (pixel < (start + length)[:, None, None])
    weight = weight * inside
    return weight / weight.sum(dim=2, keepdim=True)


def _centres(start: Tensor, length: Tensor, size: int) -> Tensor:
    """Where the centres of ``size`` equal parts of [start, start + length) lie: (B, size)."""
    at = torch.arange(size, device=start.device) + 0.5
    return start[:, None] + at * (length / size)[:, None]


def _per_sample(value: Tensor, batch: Tensor) -> Tensor:
    return value.to(batch)[:, None, None, None]
