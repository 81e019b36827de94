"""CoMM with one more term: is this pair one of the data, or put together from two?"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmlib._checks import check_range
from mmlib.methods import transformed
from mmlib.methods.comm import CoMM


def recombined(tokens: Sequence[Tensor], generator: torch.Generator) -> list[Tensor]:
    """Samples whose modalities come from different samples: tokens (B, T_m, D), same shapes.

    The first modality stays; every other one is moved on by a random number of rows, not 0 and, as
    far as the batch is long enough, another for each. Raises ``ValueError`` for a batch of one.

    >>> x, y = torch.arange(3), torch.arange(3)
    >>> fixed, moved = recombined([x, y], torch.Generator().manual_seed(0))
    >>> (fixed == moved).any().item()
    False
    """
    n = len(tokens[0])
    check_range("batch size", n, 2)
    device = generator.device
    shifts = 1 + torch.randperm(n - 1, generator=generator, device=device)
    rows = torch.arange(n, device=device)
    moved = [t[(rows + shifts[k % (n - 1)]) % n] for k, t in enumerate(tokens[1:])]
    return [tokens[0], *moved]


class MatchingCoMM(CoMM):
    """CoMM, and a linear map on its embedding that tells pairs of the data from recombined ones.

    Args (the others are :class:`mmlib.methods.comm.CoMM`'s):
        matching: weight of the term, a binary cross-entropy of as many recombined samples as true
            ones. It sees a view of its own.

    At the optimum the map gives log p(x_1, ..., x_M) - sum log p(x_m), so the embedding holds in a
    linear form whatever of one modality goes with the others. Source: image-text matching of ALBEF
    (Li et al. 2021), without its hard negatives.
    """

    def __init__(self, *parts, matching: float = 1.0, **others):
        super().__init__(*parts, **others)
        self.matching = check_range("matching", matching, 0)
        self.judge = nn.Linear(self.fusion.width, 1)

    def loss(self, batch: Sequence[Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """CoMM's loss and match, the matching term, and their weighted sum as the loss."""
        parts = super().loss(batch, generator)
        view = transformed(self.augment, batch, generator)
        tokens = [self._tokens(k, x) for k, x in enumerate(view)]
        both = torch.cat([self.fusion(tokens), self.fusion(recombined(tokens, generator))])
        truth = torch.arange(2, device=both.device).flip(0).repeat_interleave(len(both) // 2)
        term = F.binary_cross_entropy_with_logits(self.judge(both)[:, 0].float(), truth.float())
        return {**parts, "loss": parts["loss"] + self.matching * term, "matching": term}
