"""Pre-training on images alone: SimCLR, BYOL and Barlow Twins, to set beside image-table pairs."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmlib import losses
from mmlib._checks import check_choice, check_range, check_shape
from mmlib.methods import Transform

OBJECTIVES = ("simclr", "byol", "barlow")
TEMPERATURE = 0.1  # of SimCLR
SIZES = {  # of ImageOnly by objective: for runs of some hundred steps, and of the code base
    "small": {
        "simclr": {"features": 128},
        "byol": {"hidden": 512, "features": 128, "momentum": 0.99},
        "barlow": {"hidden": 512, "features": 128},
    },
    "published": {
        "simclr": {"features": 128},
        "byol": {"hidden": 4096, "features": 256, "momentum": 0.9996},
        "barlow": {"hidden": 8192, "features": 8192},
    },
}


def barlow_twins(view1: Tensor, view2: Tensor, *, weight: float = 5e-3) -> Tensor:
    """Barlow Twins' loss: both views' features are to agree, and to tell different things.

    With both (B, D) standardised over the batch and C = view1^T view2 / B, the sum of (1 - C_ii)^2
    plus ``weight`` times the sum of the squares off the diagonal. Raises ``ValueError`` for shapes
    that do not match and a batch of one. Source: Zbontar et al. 2021, equation 1.

    >>> z = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    >>> [round(barlow_twins(z, x, weight=0.5).item(), 2) for x in (z, z[:, [1, 0]])]
    [0.0, 3.0]
    """
    size = check_shape("first embeddings", view1, "B D")
    check_shape("second embeddings", view2, "B D", **size)
    check_range("batch size", size["B"], 2)
    check_range("weight", weight, 0.0)
    with torch.autocast(view1.device.type, enabled=False):
        z1, z2 = (_standardised(losses.at_least_float32(z)) for z in (view1, view2))
        squares = (z1.T @ z2 / len(z1) - torch.eye(size["D"], device=z1.device)).square()
    diagonal = squares.diagonal().sum()
    return diagonal + weight * (squares.sum() - diagonal)


def byol(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean squared distance on the unit sphere of predictions (B, D) from targets, 0 to 4.

    No gradient goes to the target. Source: Grill et al. 2020, equation 2.

    >>> byol(torch.eye(2), 3 * torch.eye(2)), byol(torch.eye(2), -torch.eye(2))
    (tensor(0.), tensor(4.))
    """
    size = check_shape("predictions", predicted, "B D")
    check_shape("targets", target, "B D", **size)
    cosine = F.cosine_similarity(
        losses.at_least_float32(predicted), losses.at_least_float32(target.detach()), dim=1
    )
    return (2 - 2 * cosine).mean()


class ImageOnly(nn.Module):
    """An image encoder pre-trained on two views of each image, no table and no label.

    Args:
        encoder: images to (B, C), with ``out_features`` C.
        objective: "simclr" (NT-Xent; projection C, C, ``features``), "byol" (projection and
            predictor C, ``hidden``, ``features`` with batch normalisation, and a slow copy of
            encoder and projection that makes the targets) or "barlow" (three layers, ``hidden``
            wide, ``features`` at the end).
        augment: random transform that makes a view.
        prepare: transform that makes the encoder's input without chance.
        hidden, features: widths of projection and predictor.
        momentum: of BYOL's slow copy, which keeps this share of itself at each step.

    Raises ``ValueError`` for another objective and values out of range. Source: Chen et al. 2020;
    Grill et al. 2020; Zbontar et al. 2021; widths and momentum of the label-DP paper's code base
    are the published ones of ``SIZES``.

    >>> from mmlib.augment.image import Resize
    >>> from mmlib.encoders.image import GlobalPool, SmallConvNet
    >>> encoder = GlobalPool(SmallConvNet(4))
    >>> model = ImageOnly(encoder, "byol", augment=Resize(8), prepare=Resize(8), hidden=32)
    >>> images = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
    >>> list(model.loss([images], torch.Generator())), model.embed([images]).shape
    (['loss'], torch.Size([4, 16]))
    """

    def __init__(
        self,
        encoder: nn.Module,
        objective: str,
        *,
        augment: Transform,
        prepare: Transform,
        hidden: int = 512,
        features: int = 128,
        momentum: float = 0.996,
    ):
        super().__init__()
        self.objective = check_choice("objective", objective, OBJECTIVES)
        self.momentum = check_range("momentum", momentum, 0, 1)
        check_range("hidden", hidden, 1)
        check_range("features", features, 2)
        self.augment, self.prepare = [augment], [prepare]
        width = encoder.out_features
        projection = {
            "simclr": [nn.Linear(width, width), nn.ReLU(), nn.Linear(width, features)],
            "byol": _perceptron(width, hidden, features),
            "barlow": [*_normed(width, hidden), *_perceptron(hidden, hidden, features)],
        }[objective]
        self.encoders = nn.ModuleList([encoder])
        self.projection = nn.Sequential(*projection)
        self.predictor, self.slow = None, None
        if objective == "byol":
            self.predictor = nn.Sequential(*_perceptron(features, hidden, features))
            self.slow = copy.deepcopy(self._online()).requires_grad_(False)

    def loss(self, batch: list[Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """The objective on two views of each image of the one modality of ``batch``."""
        (images,) = batch
        x1, x2 = (self.augment[0](images, generator) for _ in range(2))
        z1, z2 = (self.projection(self.encoders[0](x)) for x in (x1, x2))
        if self.objective == "simclr":
            return {"loss": losses.nt_xent(z1, z2, temperature=TEMPERATURE)}
        if self.objective == "barlow":
            return {"loss": barlow_twins(z1, z2)}
        with torch.no_grad():  # catches up with what the step before changed
            if self.training:
                self._follow()
            t1, t2 = self.slow(x1), self.slow(x2)
        return {"loss": byol(self.predictor(z1), t2) + byol(self.predictor(z2), t1)}

    def embed(self, batch: list[Tensor]) -> Tensor:
        """The encoder's output (B, C) of the images as they are."""
        return self.encode(0, batch[0])

    def encode(self, modality: int, batch: Tensor) -> Tensor:
        """The encoder's output (B, C); there is one modality, number 0."""
        return self.encoders[modality](self.prepare[modality](batch, None))

    def combine(self, parts: list[Tensor]) -> Tensor:
        """The one part."""
        return parts[0]

    def _online(self) -> nn.Sequential:
        return nn.Sequential(self.encoders[0], self.projection)

    def _follow(self) -> None:
        for slow, fast in zip(self.slow.parameters(), self._online().parameters(), strict=True):
            slow.lerp_(fast, 1 - self.momentum)


def _normed(width: int, hidden: int) -> list[nn.Module]:
    return [nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.ReLU()]


def _perceptron(width: int, hidden: int, features: int) -> list[nn.Module]:
    return [*_normed(width, hidden), nn.Linear(hidden, features)]


def _standardised(z: Tensor) -> Tensor:
    return (z - z.mean(0)) / (z.std(0, correction=0) + 1e-5)
