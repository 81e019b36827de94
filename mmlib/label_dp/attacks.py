"""Attackers: what they make of labels from a release, from a table, from an image they recognise.

Whether that is more than was known anyway, and more than epsilon allows:
:mod:`mmlib.label_dp.advantage`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mmlib._checks import check_range, check_shape
from mmlib.label_dp._checks import check_labels, prior_of_each


def label_posterior(
    released: Tensor,
    noise: float,
    prior: Tensor,
    *,
    shown: Tensor | None = None,
    noise_image: float = 0.0,
) -> Tensor:
    """What (double) randomized response tells of the labels: Bayes' rule, hence the best guess.

    Args:
        released: labels (N,) from 0 to K - 1.
        noise: lambda of the label; 1 if the released label is not looked at.
        prior: chances (K,) of the labels, or (N, K) given what else is known of each record, such
            as its table.
        shown: likelihoods (N, K) of each shown image in each class, up to a factor for each.
            Default: images are not looked at.
        noise_image: lambda of the image; 0 for images that are released as they are.

    Returns chances (N, K) in float64, nan where the prior rules out what was released. Raises
    ``ValueError`` for values out of range and shapes that do not fit.

    >>> prior, shown = torch.ones(2) / 2, torch.tensor([[1.0, 0.0]])
    >>> label_posterior(torch.tensor([0]), 0.5, prior, shown=shown, noise_image=0.5)  # 3^2 to 1
    tensor([[0.9000, 0.1000]], dtype=torch.float64)
    """
    prior = prior_of_each(prior, len(released)).double()
    n_classes = prior.shape[1]
    check_labels(released, n_classes)
    check_range("noise", noise, 0.0, 1.0)
    check_range("noise_image", noise_image, 0.0, 1.0)
    joint = prior * (noise / n_classes)
    own = torch.arange(len(released), device=released.device), released.long()
    joint = joint.index_put(own, joint[own] + prior[own] * (1 - noise))
    if shown is not None:
        check_shape("shown", shown, "N K", N=len(released), K=n_classes)
        shown = shown.double()
        joint = joint * ((1 - noise_image) * shown + noise_image * shown.mean(1, keepdim=True))
    return joint / joint.sum(1, keepdim=True)


def table_posterior(
    known_table: Tensor,
    known_labels: Tensor,
    table: Tensor,
    n_classes: int,
    *,
    categorical: Sequence[int] = (),
    seed: int,
) -> Tensor:
    """What a table that stays in place tells: gradient boosting, fitted where labels are public.

    Args:
        known_table: (M, C), of records whose labels the attacker has.
        known_labels: (M,), integers from 0 to K - 1.
        table: (N, C), beside what was released.
        n_classes: K.
        categorical: columns whose numbers are codes of categories, at most 255 each.
        seed: of the boosting.

    Returns chances (N, K); classes that no known record has get 0.

    >>> known = torch.randn(300, 2, generator=torch.Generator().manual_seed(0))
    >>> classes = (known[:, 0] > 0).long()
    >>> found = table_posterior(known, classes, torch.tensor([[-1.0, 0.0]]), 3, seed=0)
    >>> found.argmax().item(), found[0, 2].item()
    (0, 0.0)
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    check_labels(known_labels, n_classes)
    size = check_shape("known_table", known_table, "M C", M=len(known_labels))
    check_shape("table", table, "N C", C=size["C"])
    model = HistGradientBoostingClassifier(
        max_iter=25,
        max_leaf_nodes=8,
        learning_rate=0.1,
        l2_regularization=1.0,  # or a rare class's Newton step runs away, and with it all others
        categorical_features=list(categorical),
        early_stopping=False,
        random_state=seed,
    )
    model.fit(known_table.cpu().numpy(), known_labels.cpu().numpy())
    found = torch.zeros(len(table), n_classes, dtype=torch.float64)
    chances = torch.from_numpy(model.predict_proba(table.cpu().numpy())).double()
    found[:, torch.from_numpy(model.classes_)] = chances
    return found.to(table.device)


def recognised(shown: Tensor, own: Tensor) -> Tensor:
    """Whether each record shows its own image (N,): who knows that image sees which coins fell.

    >>> recognised(torch.tensor([[1, 2], [3, 4]]), torch.tensor([[1, 2], [1, 2]]))
    tensor([ True, False])
    """
    if shown.shape != own.shape:
        raise ValueError(f"shown has shape {tuple(shown.shape)}; expected {tuple(own.shape)}")
    return (shown == own).flatten(1).all(1)
