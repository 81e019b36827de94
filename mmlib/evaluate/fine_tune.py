"""A pre-trained encoder under a linear classifier: both trained, or the classifier alone."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmlib._checks import check_range
from mmlib.evaluate.metrics import accuracy, balanced_accuracy
from mmlib.methods import Transform
from mmlib.train import EpochSampler, Optim, Scalars, fit

_BATCH = 1024  # images scored at once
_RISE = 0.02  # points that validation has to rise by, or patience runs out


@dataclass(frozen=True)
class Tuned:
    """Scores on the test set, in percent, of the epoch that validation chose."""

    accuracy: float
    balanced_accuracy: float
    epoch: int  # that was scored; the first is 1
    validation: tuple[float, ...]  # accuracy in percent after every epoch that was trained
    classifier: nn.Module  # in evaluation mode

    @property
    def scores(self) -> tuple[float, float]:
        """Micro and macro accuracy."""
        return self.accuracy, self.balanced_accuracy


class Patience:
    """When to stop, and what to keep: ``seen(value)`` after every epoch.

    ``best`` is the epoch (from 1) of the highest value, the first of equals. ``over`` is true once
    ``patience`` epochs in a row have not passed, by more than ``min_delta``, the last value that
    did.

    >>> rule = Patience(2, min_delta=1.0)
    >>> [rule.seen(value).over for value in (50.0, 52.0, 52.5, 53.0)], rule.best
    ([False, False, False, True], 4)
    """

    def __init__(self, patience: int, min_delta: float):
        self.patience = check_range("patience", patience, 1)
        self.min_delta = check_range("min_delta", min_delta, 0)
        self.values: list[float] = []
        self.reached, self.waited = -float("inf"), 0

    def seen(self, value: float) -> Patience:
        self.values.append(value)
        risen = value > self.reached + self.min_delta
        self.reached, self.waited = (value, 0) if risen else (self.reached, self.waited + 1)
        return self

    @property
    def best(self) -> int:
        return 1 + self.values.index(max(self.values))

    @property
    def over(self) -> bool:
        return self.waited >= self.patience


class _Classifier(nn.Module):
    """An encoder and a linear layer that starts at zero; a frozen encoder stays in eval mode.

    The layer sees standardised features: those of an encoder that nobody trained differ by so
    little that its first steps would be lost.
    """

    def __init__(self, encoder: nn.Module, classes: int, trainable: bool):
        super().__init__()
        self.encoder = copy.deepcopy(encoder).requires_grad_(trainable)
        self.trainable = trainable
        like = next(encoder.parameters())
        made = {"device": like.device, "dtype": like.dtype}
        self.norm = nn.BatchNorm1d(encoder.out_features, affine=False, eps=1e-6, **made)
        if not trainable:  # features stay as they are, so all batches seen count alike
            self.norm.momentum = None
        self.head = nn.Linear(encoder.out_features, classes, **made)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.norm(self.encoder(images)))

    def train(self, mode: bool = True) -> _Classifier:
        super().train(mode)
        if not self.trainable:  # or the running means of its batch norms would drift
            self.encoder.eval()
        return self


class _Over(Exception):
    """Leaves a fit whose patience is over."""


def fit_to_best(
    model: nn.Module,
    loss: Callable[[Tensor, torch.Generator], Tensor | Scalars],
    optim: Optim,
    sampler: EpochSampler,
    *,
    score: Callable[[], float],
    rule: Patience,
    **others,
) -> None:
    """:func:`mmlib.train.fit` until ``rule`` says stop; ``model`` ends as its best epoch left it.

    ``score()`` is of the validation samples, more is better; ``rule`` sees it after each epoch of
    ``sampler``. ``optim.steps`` are the most that are made; ``others`` are ``fit``'s. Raises
    ``ValueError`` for less than one epoch of steps.
    """
    check_range("steps", optim.steps, sampler.steps_per_epoch)
    best: dict[str, Tensor] = {}

    def watch(step: int) -> None:
        if step % sampler.steps_per_epoch:
            return
        rule.seen(score())
        if rule.best == len(rule.values):
            best.update({key: value.clone() for key, value in model.state_dict().items()})
        if rule.over:
            raise _Over

    with suppress(_Over):
        fit(model, loss, optim, sampler, on_step=watch, **others)
    model.load_state_dict(best)


def fine_tune(
    encoder: nn.Module,
    train_x: Tensor,
    train_y: Tensor,
    test_x: Tensor,
    test_y: Tensor,
    *,
    validation: tuple[Tensor, Tensor],
    classes: int,
    trainable: bool,
    views: Transform,
    prepare: Transform,
    optim: Optim,
    sampler: EpochSampler,
    generator: torch.Generator,
    patience: int = 10,
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
    name: str = "fine-tuning",
) -> Tuned:
    """Train a classifier on a copy of ``encoder`` until validation stops rising; test the best.

    The classifier is a batch norm without weights and a linear layer. An encoder of random weights
    that is trained, too, is a plain supervised model.

    Args:
        encoder: inputs (B, ...) to features (B, ``encoder.out_features``); it stays as it is.
        train_x, train_y: inputs (N, ...) and classes (N,) from 0 to K - 1, or what ``loss`` takes
            in their place, (N, ...).
        test_x, test_y: inputs (M, ...) and classes (M,), looked at once, at the end.
        validation: inputs and classes that choose the epoch by accuracy, the first of equals.
            Where training labels are noised these have to be, too, or the choice spends privacy.
        classes: K, at least 2.
        trainable: whether the encoder is trained as well. If not, its weights and the running
            statistics of its batch norms stay bit by bit as they are.
        views: random transform of training inputs.
        prepare: transform without chance of the inputs that are scored.
        optim: its ``steps`` are the most that are made.
        sampler: of N records; validation is looked at after each of its epochs.
        generator: of the views.
        patience: epochs in a row without a rise of more than 0.02 points that end it.
        loss: of logits (B, K) and the batch's part of ``train_y``.

    Raises ``ValueError`` for values out of range and for less than one epoch of steps.

    Source: "Best of both worlds" (CVPR 2023), released code: Adam, no decay, patience 10 and a rise
    of 2e-4. There the layer starts from random weights, sees features as they are, and the running
    statistics of a frozen encoder drift; here it starts from zero, sees standardised ones (He et
    al. 2022, masked autoencoders), and they do not.
    """
    check_range("classes", classes, 2)
    check_range("length of train_y", len(train_y), sampler.n, sampler.n)
    model, rule = _Classifier(encoder, classes, trainable), Patience(patience, _RISE)
    fit_to_best(
        model,
        lambda batch, g: loss(model(views(train_x[batch], g)), train_y[batch]),
        optim,
        sampler,
        score=lambda: accuracy(predict(model, validation[0], prepare), validation[1]),
        rule=rule,
        generator=generator,
        name=name,
    )
    guess = predict(model, test_x, prepare)
    return Tuned(
        accuracy(guess, test_y),
        balanced_accuracy(guess, test_y),
        rule.best,
        tuple(rule.values),
        model.eval(),
    )


@torch.no_grad()
def outputs(model: nn.Module, x: Tensor, prepare: Transform, *, batch_size: int = _BATCH) -> Tensor:
    """What a model, which is left in evaluation mode, makes of ``prepare(x)``: (N, ...)."""
    model.eval()
    return torch.cat([model(prepare(part, None)) for part in x.split(batch_size)])


def predict(model: nn.Module, x: Tensor, prepare: Transform) -> Tensor:
    """The classes (N,) of the highest of a classifier's outputs."""
    return outputs(model, x, prepare).argmax(dim=1)
