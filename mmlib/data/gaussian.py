"""Gaussian worlds whose mutual information is known exactly, in nats.

:class:`CorrelatedGaussians` are two vectors with a known optimal critic. :class:`SharedPrivate` is
a small multimodal world: two modalities that share some factors, have others of their own and a
style that says nothing, all behind fixed invertible maps, so that an encoder has to undo them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mmlib._checks import check_choice, check_range, check_shape


@dataclass(frozen=True)
class CorrelatedGaussians:
    """Two standard normal vectors (D,), correlated coordinate by coordinate and not otherwise.

    Raises ``ValueError`` unless ``coordinates`` is at least 1 and ``correlation`` in (-1, 1).
    Source: Poole et al. 2019.

    >>> pair = CorrelatedGaussians.with_information(2.0, coordinates=4)
    >>> round(pair.correlation, 4), pair.mutual_information
    (0.7951, 2.0)
    """

    coordinates: int
    correlation: float

    def __post_init__(self):
        check_range("coordinates", self.coordinates, 1)
        check_range("correlation", self.correlation, -1, 1, open_low=True, open_high=True)

    @classmethod
    def with_information(cls, nats: float, *, coordinates: int) -> CorrelatedGaussians:
        """The pair whose mutual information is ``nats``, at least 0."""
        check_range("nats", nats, 0)
        return cls(coordinates, math.sqrt(-math.expm1(-2 * nats / coordinates)))

    @property
    def mutual_information(self) -> float:
        """I(X; Y) = -D/2 log(1 - correlation^2)."""
        return gaussian_information(self.coordinates, self.correlation)

    def sample(self, n: int, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """``n`` independent pairs: x (N, D) and y (N, D), float32 on the generator's device."""
        x, noise = (_normal(n, self.coordinates, generator) for _ in range(2))
        return x, _reread(x, noise, self.correlation)

    def critic(self, x: Tensor, y: Tensor) -> Tensor:
        """log p(x, y) / (p(x) p(y)) of each row of x (B, D) with each of y (C, D): (B, C).

        The critic for which InfoNCE is tight. Its mean over pairs is the mutual information.
        """
        check_shape("x", x, "B D", D=self.coordinates)
        check_shape("y", y, "C D", D=self.coordinates)
        r = self.correlation
        squares = x.square().sum(1)[:, None] + y.square().sum(1)
        return self.mutual_information + (r * x @ y.mT - r * r * squares / 2) / (1 - r * r)


def gaussian_information(coordinates: int, correlation: float) -> float:
    """Mutual information of two Gaussian vectors, correlated coordinate by coordinate, in nats.

    >>> gaussian_information(3, 0.0), round(gaussian_information(2, 0.6), 4)
    (0.0, 0.4463)
    """
    check_range("correlation", correlation, -1, 1, open_low=True, open_high=True)
    return coordinates / 2 * -math.log1p(-correlation * correlation)


@dataclass(frozen=True)
class Records:
    """N records of a :class:`SharedPrivate` world; every entry is standard normal before mixing."""

    shared: Tensor  # (N, S) what causes the shared part of both modalities
    content: tuple[Tensor, Tensor]  # (N, S + P) of each modality: its reading of shared, private
    style: tuple[Tensor, Tensor]  # (N, Y) of each modality
    observed: tuple[Tensor, Tensor]  # (N, S + P + Y) of each modality: content and style, mixed

    def __len__(self) -> int:
        return len(self.shared)


@dataclass(frozen=True)
class SharedPrivate:
    """Two modalities with shared factors, private factors and style, behind fixed invertible maps.

    A modality reads the shared factors with noise: two modalities' readings correlate by
    ``agreement``. A *view* reads a modality's content again, with correlation ``echo`` between two
    views of it, and draws the style anew, as a crop or a change of colour does. All mutual
    informations are exact, since the maps are invertible.

    Args:
        shared, private, style: numbers of factors S, P, Y of each modality.
        agreement, echo: correlations, in (0, 1).
        mixing_seed: of the two maps.

    >>> world = SharedPrivate(2, 2, 4, agreement=0.9, echo=0.8, mixing_seed=0)
    >>> records = world.sample(100, generator=torch.Generator().manual_seed(0))
    >>> records.observed[0].shape, round(world.information_across, 3)
    (torch.Size([100, 8]), 1.661)
    """

    shared: int
    private: int
    style: int
    agreement: float
    echo: float
    mixing_seed: int

    def __post_init__(self):
        for name in ("shared", "private", "style"):
            check_range(name, getattr(self, name), 1)
        for name in ("agreement", "echo"):
            check_range(name, getattr(self, name), 0, 1, open_low=True, open_high=True)

    @property
    def width(self) -> int:
        """Columns S + P + Y of an observed modality."""
        return self.shared + self.private + self.style

    @property
    def information_across(self) -> float:
        """Mutual information of the two modalities of a record: of their shared factors alone."""
        return gaussian_information(self.shared, self.agreement)

    @property
    def information_across_views(self) -> float:
        """The same of a view of one modality and a view of the other."""
        return gaussian_information(self.shared, self.agreement * self.echo)

    @property
    def information_within_views(self) -> float:
        """Mutual information of two views of the same modality: of shared and private factors."""
        return gaussian_information(self.shared + self.private, self.echo)

    def sample(self, n: int, *, generator: torch.Generator) -> Records:
        """``n`` records, float32 on the generator's device."""
        shared = _normal(n, self.shared, generator)
        content, style = [], []
        for _ in range(2):
            noise = _normal(n, self.shared, generator)
            reading = _reread(shared, noise, math.sqrt(self.agreement))
            content.append(torch.cat([reading, _normal(n, self.private, generator)], dim=1))
            style.append(_normal(n, self.style, generator))
        observed = [self.mix(c, s, m) for m, (c, s) in enumerate(zip(content, style, strict=True))]
        return Records(shared, tuple(content), tuple(style), tuple(observed))

    def view(self, content: Tensor, modality: int, *, generator: torch.Generator) -> Tensor:
        """A view (B, S + P + Y) of ``modality`` (0 or 1) of records with ``content`` (B, S + P)."""
        b = check_shape("content", content, "B C", C=self.shared + self.private)["B"]
        noise = _normal(b, content.shape[1], generator)
        seen = _reread(content, noise, math.sqrt(self.echo))
        return self.mix(seen, _normal(b, self.style, generator), modality)

    def mix(self, content: Tensor, style: Tensor, modality: int) -> Tensor:
        """Content and style through the modality's map: rotate, bend, rotate, bend.

        Bending divides negative entries by 5 (a leaky ReLU), so no step loses anything.
        """
        check_choice("modality", modality, (0, 1))
        x = torch.cat([content, style], dim=1)
        generator = torch.Generator().manual_seed(2 * self.mixing_seed + modality)
        for _ in range(2):
            rotation, _ = torch.linalg.qr(_normal(self.width, self.width, generator))
            x = torch.nn.functional.leaky_relu(x @ rotation.to(x), 0.2)
        return x


def _normal(n: int, width: int, generator: torch.Generator) -> Tensor:
    return torch.randn(n, width, generator=generator, device=generator.device)


def _reread(x: Tensor, noise: Tensor, correlation: float) -> Tensor:
    return correlation * x + math.sqrt(1 - correlation * correlation) * noise
