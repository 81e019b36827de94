"""Images (B, 3, H, W) to feature maps (B, C, h, w). All start from random weights."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmlib._checks import check_choice, check_range, check_shape
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

    Raises ``ValueError`` for another depth.
    """

    def __init__(self, depth: int):
        import torchvision

        makers = {18: torchvision.models.resnet18, 50: torchvision.models.resnet50}
        network = makers[check_choice("depth", depth, makers)](weights=None)
        super().__init__(*list(network.children())[:-2])
        self.out_features: int = network.fc.in_features


class ClipResNetTrunk(nn.Sequential):
    """CLIP's ResNet-50 or -101 without its pooling: C = 32 * width, h = H / 32.

    Of torchvision's it differs where maps get smaller: the stem has three convolutions and a mean
    in place of one convolution and a maximum, and blocks take the mean of 2 x 2 places where those
    stride (anti-aliasing). ``width`` is the number of channels after the stem, 64 in CLIP. The last
    normalisation of each block starts at 0.

    Raises ``ValueError`` for another depth. Source: CLIP, section 2.4 and released code.

    >>> ClipResNetTrunk(50, width=2)(torch.rand(2, 3, 64, 64)).shape
    torch.Size([2, 64, 2, 2])
    """

    def __init__(self, depth: int, width: int = 64):
        made = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
        counts = made[check_choice("depth", depth, made)]
        check_range("width", width, 2)
        half = width // 2
        layers: list[nn.Module] = [
            *_convolved(3, half, 3, stride=2), nn.ReLU(inplace=True),
            *_convolved(half, half, 3), nn.ReLU(inplace=True),
            *_convolved(half, width, 3), nn.ReLU(inplace=True),
            nn.AvgPool2d(2),
        ]  # fmt: skip
        channels = width
        for stage, count in enumerate(counts):
            for k in range(count):
                halved = stage > 0 and k == 0
                layers.append(_ClipBottleneck(channels, width * 2**stage, halved))
                channels = 4 * width * 2**stage
        super().__init__(*layers)
        self.out_features = channels


def _convolved(channels: int, out: int, size: int, stride: int = 1) -> tuple[nn.Module, nn.Module]:
    return (
        nn.Conv2d(channels, out, size, stride=stride, padding=size // 2, bias=False),
        nn.BatchNorm2d(out),
    )


class _ClipBottleneck(nn.Module):
    """relu(x + body(x)) with four times ``narrow`` channels, ``halved`` with half the places."""

    def __init__(self, channels: int, narrow: int, halved: bool):
        super().__init__()
        wide = 4 * narrow
        mean = [nn.AvgPool2d(2)] if halved else []
        self.body = nn.Sequential(
            *_convolved(channels, narrow, 1), nn.ReLU(inplace=True),
            *_convolved(narrow, narrow, 3), nn.ReLU(inplace=True),
            *mean, *_convolved(narrow, wide, 1),
        )  # fmt: skip
        nn.init.zeros_(self.body[-1].weight)
        changed = halved or channels != wide
        self.shortcut = nn.Sequential(*mean, *_convolved(channels, wide, 1) if changed else ())

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.shortcut(x))


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
    ``ValueError`` unless ``patch`` divides ``size``, and for images of another size.
    Source: Dosovitskiy et al. 2021 (ViT).

    >>> PatchTransformer(32, patch=8, width=64, depth=1, heads=4)(torch.rand(2, 3, 32, 32)).shape
    torch.Size([2, 64, 4, 4])
    """

    def __init__(self, size: int, patch: int, width: int, depth: int, heads: int):
        super().__init__()
        check_range("patch", patch, 1, size)
        if size % patch:
            raise ValueError(f"patch is {patch}; allowed: divisors of size={size}")
        self.size, self.out_features = size, width
        self.side = size // patch
        self.embed = nn.Conv2d(3, width, kernel_size=patch, stride=patch)
        self.position = nn.Parameter(0.02 * torch.randn(self.side**2, width))
        self.transformer = Transformer(width, depth, heads)

    def forward(self, images: Tensor) -> Tensor:
        check_shape("images", images, "B 3 S S", S=self.size)  # places of another would be added
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


class AttentionPool(nn.Module):
    """A trunk followed by one query on its map: (B, 3, H, W) -> (B, C).

    The map's mean asks, and takes from itself and from all places, each of which has a learned
    vector. CLIP's own goes on to the joint embedding by a linear layer, which is a projection here.

    Args:
        trunk: to maps of ``places`` = h w places.
        heads: among which the C channels are divided.

    Raises ``ValueError`` unless ``heads`` divides C. Source: CLIP, section 2.4 and released code.

    >>> pool = AttentionPool(SmallConvNet(4), places=16, heads=2)
    >>> pool(torch.rand(2, 3, 32, 32)).shape
    torch.Size([2, 16])
    """

    def __init__(self, trunk: nn.Module, places: int, heads: int):
        super().__init__()
        width: int = trunk.out_features
        check_range("places", places, 1)
        check_range("heads", heads, 1, width)
        if width % heads:
            raise ValueError(f"heads is {heads}; allowed: divisors of the trunk's {width} channels")
        self.trunk, self.heads, self.out_features = trunk, heads, width
        self.position = nn.Parameter(torch.randn(places + 1, width) * width**-0.5)
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        for layer in (self.query, self.key, self.value):
            nn.init.normal_(layer.weight, std=width**-0.5)

    def forward(self, images: Tensor) -> Tensor:
        return self.pool(self.trunk(images))

    def pool(self, maps: Tensor) -> Tensor:
        """What the mean of the trunk's maps (B, C, h, w) takes from their places: (B, C)."""
        tokens = maps.flatten(2).transpose(1, 2)  # (B, h w, C)
        tokens = torch.cat([tokens.mean(dim=1, keepdim=True), tokens], dim=1) + self.position
        parts = self.query(tokens[:, :1]), self.key(tokens), self.value(tokens)
        split = (p.unflatten(-1, (self.heads, -1)).transpose(1, 2) for p in parts)
        return F.scaled_dot_product_attention(*split).flatten(1)  # (B, heads, 1, C / heads)
