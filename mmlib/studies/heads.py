"""Linear heads on what chapter 5's encoders give: of released labels, or of what is known of them.

Each takes records and settings from a study.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from mmlib.evaluate.metrics import accuracy, balanced_accuracy
from mmlib.evaluate.noised import noised_probe
from mmlib.evaluate.probe import LinearClassifier
from mmlib.label_dp.release import Release
from mmlib.studies.image_table import ImageTableStudy
from mmlib.train import Optim, fit


def train_head(
    study: ImageTableStudy,
    embedded: tuple[Tensor, Tensor],
    release: Release | None,
    name: str,
    note: Callable[[int, float], None],
) -> None:
    """A linear layer on standardised features; ``note`` gets epochs and test accuracy (%)."""
    x, labels = (seen[: study.n] for seen in study.seen_features(embedded[0], release))
    epoch, (sd, mean) = study.sampler.steps_per_epoch, torch.std_mean(x, dim=0)
    x, x_test = (x - mean) / (sd + 1e-6), (embedded[1] - mean) / (sd + 1e-6)
    torch.manual_seed(study.cfg.seed)
    layer = nn.Linear(x.shape[1], study.classes).to(study.device)

    def watch(step: int) -> None:
        if step % epoch == 0:
            with torch.no_grad():
                note(step // epoch, accuracy(layer(x_test).argmax(dim=1), study.test.labels))

    fit(
        layer,
        lambda batch, g: cross_entropy(layer(x[batch]), labels[batch]),
        Optim(
            steps=study.cfg.head_epochs * epoch,
            learning_rate=study.cfg.head_learning_rate,
            weight_decay=0.0,
            optimizer="adam",
        ),
        study.sampler,
        generator=study.generator(2),
        name=name,
        on_step=watch,
        progress=False,
    )


def first_stage(study: ImageTableStudy) -> Tensor:
    """Who responds first in two stages (N,): validation, and half of the training records."""
    first = torch.ones(len(study.private), dtype=torch.bool, device=study.device)
    order = torch.randperm(study.n, generator=study.generator(300), device=study.device)
    first[order[: study.n // 2]] = False
    return first


def fit_informed(study: ImageTableStudy, x: Tensor, likelihood: Tensor) -> LinearClassifier:
    """A linear head for the true class from likelihoods (M, K) of what was released.

    Of the M records the last ones are for validation, as many as there are of the private.
    """
    m = len(x) - (len(study.private) - study.n)
    strengths = [C for C in study.cfg.probe_strengths if 1e-3 <= C <= 1]
    return noised_probe(
        x[:m],
        likelihood[:m],
        validation=(x[m:], likelihood[m:]),
        strengths=strengths or study.cfg.probe_strengths,
    )


def score_informed(
    study: ImageTableStudy, x: Tensor, likelihood: Tensor, x_test: Tensor
) -> tuple[float, float]:
    """Micro and macro accuracy (%) on test images of what :func:`fit_informed` gives."""
    guess = fit_informed(study, x, likelihood).logits(x_test).argmax(dim=1)
    return accuracy(guess, study.test.labels), balanced_accuracy(guess, study.test.labels)
