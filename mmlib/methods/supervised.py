"""A pre-trained fusion trained further on labels: "CoMM (fine-tuned)" of the paper's tables."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmlib._checks import check_choice, check_range, check_shape
from mmlib.methods import transformed
from mmlib.methods.fused import FusedEncoder
from mmlib.methods.supcon import SupCon

TEMPERATURE = 0.07  # of SupCon, as released
CRITERIA: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "classes": F.cross_entropy,
    "labels": lambda logits, labels: F.binary_cross_entropy_with_logits(logits, labels.float()),
    "numbers": F.mse_loss,
}


class LinearHead(FusedEncoder):
    """A linear head on the embedding of one view, trained on classes, several labels or numbers.

    ``head`` gives K outputs. The batch of :meth:`loss` ends with the labels (B, K): 0 or 1 for
    ``target`` ``"labels"``, whose loss is the mean binary cross-entropy, any numbers for
    ``"numbers"``, whose loss is the mean squared error. For ``"classes"`` they are class numbers
    (B,), and the loss is the cross-entropy, which CoMM's code does not have. Raises ``ValueError``
    for another target and for labels of another shape.
    Source: CoMM, released code.
    """

    def __init__(self, *parts, target: str, **others):
        super().__init__(*parts, **others)
        self.criterion = CRITERIA[check_choice("target", target, CRITERIA)]
        self.shape = "B" if target == "classes" else "B K"

    def loss(self, batch: Sequence[Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """The mean loss of the head's outputs for one random view of each sample."""
        modalities, labels = self.with_labels(batch)
        view = transformed(self.augment, modalities, generator)
        (outputs,) = self.project(view, [[True] * len(self.encoders)])
        check_shape("labels", labels, self.shape, B=len(outputs), K=outputs.shape[1])
        return {"loss": self.criterion(outputs, labels)}


def fine_tuned(model: FusedEncoder, target: str, outputs: int) -> FusedEncoder:
    """A copy of ``model`` that is ready to be trained on labels; ``model`` stays as it is.

    It keeps encoders, adapters, fusion and views. For ``target`` ``"classes"`` it is SupCon on the
    embedding itself, without a head, at temperature 0.07; for ``"labels"`` and ``"numbers"`` it is
    :class:`LinearHead` with ``outputs`` of them, which starts at zero. Either is probed as every
    other method is: what was added is left out.

    Raises ``ValueError`` for another target. Source: CoMM, released code.
    """
    check_choice("target", target, CRITERIA)
    check_range("outputs", outputs, 1)
    if target != "classes":
        return classifier(model, target, outputs)
    model = copy.deepcopy(model)
    return SupCon(*_parts(model), nn.Identity(), temperature=TEMPERATURE, **_views(model))


def classifier(model: FusedEncoder, target: str, outputs: int) -> LinearHead:
    """A copy of ``model`` under a linear head of ``outputs``, which starts at zero."""
    model = copy.deepcopy(model)
    like = model.fusion.class_token
    head = nn.Linear(like.shape[-1], outputs, device=like.device, dtype=like.dtype)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return LinearHead(*_parts(model), head, target=target, **_views(model))


def _parts(model: FusedEncoder) -> tuple[nn.Module, ...]:
    return model.encoders, model.adapters, model.fusion


def _views(model: FusedEncoder) -> dict[str, Sequence]:
    return {"augment": model.augment, "prepare": model.prepare}


@torch.no_grad()
def mean_loss(
    method: nn.Module, batch: Sequence[Tensor], generator: torch.Generator, *, batch_size: int
) -> float:
    """The loss of ``method`` on all samples of ``batch``, without learning from them.

    It is the mean over parts of at most ``batch_size`` samples, of sizes that differ by one at
    most, each as often as its samples. The method is left in evaluation mode.
    """
    n = len(batch[0])
    check_range("batch_size", batch_size, 2)
    method.eval()
    parts = torch.arange(n, device=batch[0].device).tensor_split(-(-n // batch_size))
    losses = [method.loss([x[k] for x in batch], generator)["loss"] * len(k) for k in parts]
    return torch.stack(losses).sum().item() / n
