"""Images (B, 3, H, W) to feature maps (B, C, h, w). All start from random weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from mmlib._checks import check_choice, check_range
from mmlib.encoders.transformer import Transformer


class AlexNetTrunk(nn.Sequential):
    """The convolutions of AlexNet as in torchvision: 224 x 224 pixels to (B, 256, 6, 6).

    Source: CoMM, Trifeature experiments; Hermann & Lampinen 2020.
    """

    out_features = 256

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 64, kernel_size=11, stride=4, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(64, 192, kernel_size=5, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(192, 384, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(384, 256, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(256, 256, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),
        )


class ResNetTrunk(nn.Sequential):
    """torchvision's ResNet-18 or -50 without pooling and classifier: C = 512 or 2048, h = H / 32.

    With ``wide`` the 3 x 3 convolutions of ResNet-50's blocks have that many times the channels; C
    stays. Raises ``ValueError`` for another depth, and for a wide ResNet-18.

    Source: Zagoruyko and Komodakis 2016 (``wide``).
    """

    def __init__(self, depth: int, wide: int = 1):
        import torchvision

        makers = {18: torchvision.models.resnet18, 50: torchvision.models.resnet50}
        make = makers[check_choice("depth", depth, makers)]
        check_range("wide", wide, 1, math.inf if depth == 50 else 1)
        network = make(weights=None, width_per_group=64 * wide)
        super().__init__(*list(network.children())[:-2])
        self.out_features: int = network.fc.in_features


class SmallConvNet(nn.Sequential):
    """Three strided convolutions for small images on a CPU: C = 4 * width, h = H / 8.

    >>> import torch
    >>> SmallConvNet(width=16)(torch.rand(2, 3, 32, 32)).shape
    torch.Size([2, 64, 4, 4])
    """

    def __init__(self, width: int):
        check_range("width", width, 1)
        layers: list[nn.Module] = []
        channels = 3
        for out in (width, 2 * width, 4 * width):
            layers += [
                nn.Conv2d(channels, out, kernel_size=3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(out),
                nn.ReLU(inplace=True),
            ]
            channels = out
        super().__init__(*layers)
        self.out_features = channels


class PatchTransformer(nn.Module):
    """A small vision transformer: patches to tokens with learned places, h = ``size // patch``.

    Without a class token: what it gives is the map of tokens, like a trunk of convolutions. Raises
    ``ValueError`` unless ``patch`` divides ``size``. Source: Dosovitskiy et al. 2021 (ViT).

    >>> PatchTransformer(32, patch=8, width=64, depth=1, heads=4)(torch.rand(2, 3, 32, 32)).shape
    torch.Size([2, 64, 4, 4])
    """

    def __init__(self, size: int, patch: int, width: int, depth: int, heads: int):
        super().__init__()
        check_range("patch", patch, 1, size)
        if size % patch:
            raise ValueError(f"patch is {patch}; allowed: divisors of size={size}")
        self.out_features = width
        self.side = size // patch
        self.embed = nn.Conv2d(3, width, kernel_size=patch, stride=patch)
        self.position = nn.Parameter(0.02 * torch.randn(self.side**2, width))
        self.transformer = Transformer(width, depth, heads)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.embed(images).flatten(2).transpose(1, 2) + self.position  # (B, h w, C)
        return self.transformer(tokens).transpose(1, 2).unflatten(2, (self.side, self.side))


class GlobalPool(nn.Module):
    """A trunk followed by the mean over its map: (B, 3, H, W) -> (B, C)."""

    def __init__(self, trunk: nn.Module):
        super().__init__()
        self.trunk = trunk
        self.out_features: int = trunk.out_features

    def forward(self, images: Tensor) -> Tensor:
        return self.pool(self.trunk(images))

    def pool(self, maps: Tensor) -> Tensor:
        """The mean of the trunk's maps (B, C, h, w) over their places: (B, C)."""
        return maps.mean(dim=(2, 3))
