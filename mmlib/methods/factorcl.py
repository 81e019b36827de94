"""FactorCL, self-supervised form: one objective for what is shared and one for what is unique."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from mmlib import losses
from mmlib._checks import check_range
from mmlib.methods import Transform, check_lengths, transformed
from mmlib.methods.towers import Towers


class Critic(nn.Module):
    """Score of each x_i with each y_j: (B, A), (B', A') -> (B, B'), by two hidden layers.

    The perceptron reads x_i and y_j side by side; its first layer is computed once for each x and
    each y and then added, which is the same.

    >>> Critic(3, 4, hidden=8)(torch.zeros(5, 3), torch.zeros(6, 4)).shape
    torch.Size([5, 6])
    """

    def __init__(self, x_features: int, y_features: int, hidden: int):
        super().__init__()
        check_range("hidden", hidden, 1)
        self.x_features = x_features
        self.first = nn.Linear(x_features + y_features, hidden)
        self.rest = nn.Sequential(
            nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1)
        )

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        on_x, on_y = self.first.weight.split([self.x_features, y.shape[1]], dim=1)
        hidden = (x @ on_x.T)[:, None] + (y @ on_y.T + self.first.bias)
        return self.rest(hidden)[:, :, 0]


class FactorCL(nn.Module):
    """Bounds on what two modalities share and on what each has alone, six critics in all.

    With x', y' augmented x1 and x2, and a pair of a sample and its augmentation standing for the
    task's condition, the loss is minus the sum of the lower bounds

        I(x1; x2)    I(x1; x')    I(x2; y')    I(x1; x2 | x', y')

    plus the sum of the upper bounds of I(x1; x2) and of I(x1; x2 | x', y'). Lower bounds are
    InfoNCE's. Upper bounds are those of :func:`mmlib.losses.club_bound` and hold for a critic that
    InfoNCE has trained, so their two critics learn by InfoNCE only, and nothing else learns from
    that. (The released code alternates two optimisers for it; here both gradients are of one step.)

    Args:
        encoders: one per modality, of ``features`` (C1, C2) outputs.
        width: of each of the ten projections, of which the embedding is made.
        hidden: of the critics.
        augment: one random transform per modality that keeps what the task needs.
        prepare: one transform per modality that makes the encoder's input without chance.

    Source: Liang et al. 2023 (FactorCL-SSL), and its released code.
    """

    def __init__(
        self,
        encoders: Sequence[nn.Module],
        features: Sequence[int],
        *,
        width: int,
        hidden: int,
        augment: Sequence[Transform],
        prepare: Sequence[Transform],
    ):
        super().__init__()
        check_lengths(2, encoders=encoders, features=features, augment=augment, prepare=prepare)
        self.encoders = nn.ModuleList(encoders)

        def head(k: int) -> nn.Sequential:
            c = features[k]
            return nn.Sequential(nn.Linear(c, c), nn.ReLU(), nn.Linear(c, width))

        def both() -> nn.ModuleList:
            return nn.ModuleList([head(0), head(1)])

        kinds = ("shared_low", "shared_high", "given_low", "given_high", "own")
        self.heads = nn.ModuleDict({kind: both() for kind in kinds})
        self.own1, self.own2 = Critic(width, width, hidden), Critic(width, width, hidden)
        self.shared_low = Critic(width, width, hidden)
        self.shared_high = Critic(width, width, hidden)
        self.given_low = Critic(2 * width, 2 * width, hidden)
        self.given_high = Critic(2 * width, 2 * width, hidden)
        self.augment = augment
        self.prepare = prepare

    def loss(self, batch: Sequence[Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Minus the lower plus the upper bounds, and what the upper bounds' critics learn by."""
        plain = self._encoded(transformed(self.prepare, batch, None))
        view = self._encoded(transformed(self.augment, batch, generator))

        def projected(kind: str, features: list[Tensor]) -> list[Tensor]:
            return [h(f) for h, f in zip(self.heads[kind], features, strict=True)]

        def given(kind: str) -> list[Tensor]:
            pairs = zip(projected(kind, plain), projected(kind, view), strict=True)
            return [torch.cat(pair, dim=1) for pair in pairs]

        own, own_view = projected("own", plain), projected("own", view)
        gain = (
            _information(self.shared_low, *projected("shared_low", plain))
            + _information(self.given_low, *given("given_low"))
            + _information(self.own1, own[0], own_view[0])
            + _information(self.own2, own[1], own_view[1])
        )
        excess, learning = 0.0, 0.0
        for critic, x, y in (
            (self.shared_high, *projected("shared_high", plain)),
            (self.given_high, *given("given_high")),
        ):
            fixed = {name: p.detach() for name, p in critic.named_parameters()}
            excess = excess + losses.club_bound(functional_call(critic, fixed, (x, y)))
            learning = learning - _information(critic, x.detach(), y.detach())
        bound = excess - gain
        return {
            "loss": bound + learning,
            "bound": bound.detach(),
            "match": losses.match_accuracy(*projected("shared_low", plain)),
        }

    def encode(self, modality: int, batch: Tensor) -> Tensor:
        """The five projections (B, 5 width) of one modality."""
        features = self.encoders[modality](self.prepare[modality](batch, None))
        return torch.cat([heads[modality](features) for heads in self.heads.values()], dim=1)

    embed, combine = Towers.embed, Towers.combine

    def _encoded(self, view: Sequence[Tensor]) -> list[Tensor]:
        return [encoder(x) for encoder, x in zip(self.encoders, view, strict=True)]


def _information(critic: Critic, x: Tensor, y: Tensor) -> Tensor:
    """InfoNCE's lower bound: each y picks its x, as in the released code."""
    return losses.information_bound(critic(x, y).mT)
