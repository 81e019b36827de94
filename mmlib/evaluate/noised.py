"""A linear probe that learns from what was released of the labels, knowing how that came about."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mmlib.evaluate.probe import STRENGTHS, LinearClassifier, check_parts, logistic_path
from mmlib.label_dp.learning import forward_loss

_CHOICE, _FINAL = 1e-3, 1e-4  # tolerances: to choose C, and of the classifier


def noised_probe(
    x: Tensor,
    likelihood: Tensor,
    *,
    validation: tuple[Tensor, Tensor],
    strengths: Sequence[float] = STRENGTHS,
) -> LinearClassifier:
    """A linear classifier of the true class, fitted to likelihoods of what was released.

    Its strength is the one whose classifier explains best what was released of the validation
    records, by the same loss; it is then fitted to both parts. No true label is looked at.

    Args:
        x: embeddings (N, D), standardised inside.
        likelihood: (N, K), see :mod:`mmlib.label_dp.learning`. One-hot rows are plain logistic
            regression of released labels taken as they are.
        validation: embeddings (V, D) and likelihoods (V, K), released as the others were.
        strengths: C, see :func:`mmlib.evaluate.probe.logistic_path`.

    Raises ``ValueError`` for shapes that do not fit, and if no record's likelihoods differ: nothing
    is left to learn from.

    >>> x, y = torch.eye(4).repeat(25, 1), torch.arange(4).repeat(25)
    >>> told = 0.1 + 0.6 * torch.eye(4)[y]
    >>> noised_probe(x, told, validation=(x, told)).logits(torch.eye(4)).argmax(1)
    tensor([0, 1, 2, 3])
    """
    check_parts("N K", training=(x, likelihood), validation=validation)
    val_x, val_likelihood = validation
    if torch.equal(likelihood.amin(1), likelihood.amax(1)):
        raise ValueError("likelihood is the same for all classes, in every record: no signal")
    best = strengths[0]
    if len(strengths) > 1:
        path = logistic_path(x, likelihood, strengths, standardize=True, tolerance=_CHOICE)
        best = min(path, key=lambda c: forward_loss(c.logits(val_x).double(), val_likelihood)).C
    both = torch.cat([x, val_x]), torch.cat([likelihood, val_likelihood])
    (classifier,) = logistic_path(*both, [best], standardize=True, tolerance=_FINAL)
    return classifier
