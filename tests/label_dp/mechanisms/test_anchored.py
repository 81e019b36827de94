"""An image near an anchor of the released label costs nothing beside that label."""

import pytest
import torch

from mmlib.label_dp.accounting import epsilon_of
from mmlib.label_dp.exact import response_law
from mmlib.label_dp.mechanisms.anchored import Anchored

from ..chances import agrees, generator, worst

DRAWS = 50_000
LINE = torch.tensor([0.0, 1.0, 3.0, 4.5, 0.5, 2.0, 6.0])[:, None]
SIDES = torch.tensor([0, 0, 0, 0, 1, 1, 1])


def test_an_anchor_of_the_released_label_costs_that_response_alone():
    anchors = torch.tensor([[3.9], [1.0]])  # the other class's has other neighbours
    near = torch.zeros(2, 7, dtype=torch.float64)  # q_j: the two nearest of class j
    near[0, [2, 3]] = near[1, [4, 5]] = 0.5
    law = response_law(0.6, 2)[:, :, None] * near  # released label and image; no own image
    assert worst(law) == pytest.approx(epsilon_of(0.6, 2), abs=1e-14)
    released, shown = Anchored(n_classes=2, noise=0.6, neighbours=2).draw(
        torch.zeros(DRAWS, dtype=torch.long), generator(), anchors=anchors, pool_labels=SIDES,
        pool_features=LINE,
    )  # fmt: skip
    assert agrees((released * 7 + shown - DRAWS).bincount(minlength=14), law[0].flatten())
