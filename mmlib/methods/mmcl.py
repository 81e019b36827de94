"""Image-table contrastive learning (MMCL): what the label-DP paper trains on its noised pairs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmlib._checks import check_range
from mmlib.augment.image import (
    ColorJitter,
    Compose,
    Flip,
    GaussianBlur,
    Grayscale,
    Resize,
    ResizedCrop,
    Rotation,
)
from mmlib.augment.table import Corrupt
from mmlib.augment.transform import as_it_is
from mmlib.data.table import TableSchema
from mmlib.encoders.image import GlobalPool
from mmlib.encoders.table import TableMLP
from mmlib.methods import Transform
from mmlib.methods.clip import DualEncoder

TEMPERATURE = 0.1
CORRUPTION = 0.3  # share of the table's columns that a view replaces
P_VIEW = 0.95  # of images that are augmented; the others are only resized
EMBEDDING = 128


@dataclass(frozen=True)
class Sometimes:
    """Each sample through ``view`` with probability ``p``, else through ``otherwise``."""

    view: Transform
    otherwise: Transform
    p: float

    def __post_init__(self) -> None:
        check_range("p", self.p, 0, 1)

    def __call__(self, batch: Tensor, generator: torch.Generator) -> Tensor:
        drawn = torch.rand(len(batch), generator=generator, device=batch.device) < self.p
        seen, plain = self.view(batch, generator), self.otherwise(batch, generator)
        return torch.where(drawn.view(-1, *[1] * (plain.ndim - 1)), seen, plain)


def mmcl(
    trunk: nn.Module, schema: TableSchema, marginals: Tensor, *, views: Transform, size: int
) -> DualEncoder:
    """An image and a table encoder to be aligned by their pairs.

    Both encoders are as wide as the trunk's output, C; each projects to 128 through
    Linear(C, C), ReLU, Linear(C, 128) without batch normalisation. The temperature is 0.1 and
    fixed, both directions of the loss weigh one half. A training view is one that ``views`` makes
    with probability 0.95, else the resized image, and a row with int(0.3 * columns) values
    replaced.

    Args:
        trunk: images (B, 3, size, size) to maps (B, C, h, w); the paper's is ResNet-50.
        schema: of the table.
        marginals: training rows (N, columns) that replacing values are taken from.
        views: random transform of images to (B, 3, size, size); the paper's is :func:`dvm_views`.
        size: side of the images in pixels.

    Source: label-DP paper, which takes it unchanged from "Best of both worlds" (CVPR 2023).

    >>> from mmlib.encoders.image import SmallConvNet
    >>> model = mmcl(
    ...     SmallConvNet(8), TableSchema(2, (3,)), torch.zeros(5, 3), views=Resize(16), size=16
    ... )
    >>> pairs = torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.zeros(4, 3)
    >>> sorted(model.loss(pairs, torch.Generator().manual_seed(0)))
    ['loss', 'match', 'scale']
    """
    image, table = GlobalPool(trunk), TableMLP(schema, trunk.out_features)
    resize = Resize(size)
    return DualEncoder(
        [image, table],
        [_projection(image.out_features), _projection(table.out_features)],
        augment=[Sometimes(views, resize, P_VIEW), Corrupt(CORRUPTION, marginals)],
        prepare=[resize, as_it_is],
        temperature=TEMPERATURE,
        learn_temperature=False,
    )


def dvm_views(size: int, *, scale: tuple[float, float] = (0.08, 1.0)) -> Transform:
    """The released recipe for DVM-Car: colours, blur, crop and flip; no hue, no mean subtraction.

    Crops have a share of the area in ``scale``: from 0.08 in pre-training, from 0.6 downstream. Its
    blur, of 0.1 to 2 pixels cut off at 14, is of photos of 300 x 300; here it is as large a share
    of ``size``, and left out below 38 pixels, where it would change nothing that can be seen. The
    paper's text describes another recipe, :func:`printed_views`.
    """
    pixels = size / 300
    blur = GaussianBlur(2 * math.ceil(14 * pixels) + 1, sigma=(0.1 * pixels, 2 * pixels), p=0.5)
    return Compose(
        [
            ColorJitter(brightness=0.8, contrast=0.8, saturation=0.8, hue=0.0, p=0.8),
            Grayscale(p=0.2),
            *([blur] if size >= 38 else []),
            ResizedCrop(size, scale=scale, ratio=(3 / 4, 4 / 3)),
            Flip(p=0.5),
        ]
    )


def printed_views(size: int, *, scale: tuple[float, float] = (0.2, 1.0)) -> Transform:
    """The recipe that the paper's text describes: flip, turn, brightness and contrast, and crop.

    Each is made with probability one half. It is the code base's recipe for heart scans, where
    colours change always, saturation too, and every view is turned and cropped. The text does not
    say how small a crop is; of that recipe's, ``scale`` is the share of the area.
    """
    return Compose(
        [
            Flip(p=0.5),
            Rotation(degrees=45, p=0.5),
            ColorJitter(brightness=0.5, contrast=0.5, saturation=0.0, hue=0.0, p=0.5),
            ResizedCrop(size, scale=scale, ratio=(3 / 4, 4 / 3), p=0.5),
        ]
    )


def _projection(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, EMBEDDING))
