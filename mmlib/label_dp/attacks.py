"""Attacks: what can be told of labels from what was released, beyond what was known without it.

A good model tells labels from features, private or not, so an attack's success says nothing by
itself. What counts is its *advantage* over the best guess of somebody who never saw the labels,
which a pure epsilon bounds whatever the attack and the data (:func:`advantage_bound`). Who "never
saw the labels" still sees what the notion calls known: the image under the standard notion, nothing
under the population one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmlib._checks import check_range, check_shape
from mmlib.label_dp.audit import clopper_pearson
from mmlib.label_dp.coins import Generator, uniform
from mmlib.label_dp.mechanisms import check_labels


@dataclass(frozen=True)
class Attack:
    """Shares of right guesses, with the labels' release and ``blind``, and their difference.

    Of the expected ``advantage``, ``low`` and ``high`` are the interval, if records are
    independent.
    """

    success: float
    blind: float
    advantage: float
    low: float
    high: float


def advantage(guesses: Tensor, blind: Tensor, labels: Tensor, *, confidence: float) -> Attack:
    """How much more often ``guesses`` are right than ``blind`` ones, record by record.

    Args:
        guesses: classes (N,), made with what was released.
        blind: classes (N,), made without.
        labels: true classes (N,).
        confidence: of the interval, between 0 and 1: Clopper-Pearson bounds on the shares of
            records that only one of the two gets right, all of which hold at once.

    Raises ``ValueError`` for shapes that do not fit and no records.

    Source: Wu et al. 2023 (expected attack utility advantage); Clopper and Pearson 1934.

    >>> labels = torch.arange(1000) % 4
    >>> blind = torch.zeros(1000, dtype=torch.long)
    >>> found = advantage(labels, blind, labels, confidence=0.95)
    >>> found.success, found.blind, found.advantage, found.low > 0.7
    (1.0, 0.25, 0.75, True)
    """
    check_shape("labels", labels, "N")
    check_range("number of records", len(labels), 1)
    for name, values in (("guesses", guesses), ("blind", blind)):
        check_shape(name, values, "N", N=len(labels))
    check_range("confidence", confidence, 0.0, 1.0, open_low=True, open_high=True)
    right, right_blind = guesses == labels, blind == labels
    only = torch.stack([(right & ~right_blind).sum(), (right_blind & ~right).sum()])
    n = len(labels)
    low, high = (x.tolist() for x in clopper_pearson(only, n, (1 - confidence) / 4))
    won, lost = (x / n for x in only.tolist())
    return Attack(
        success=right.double().mean().item(),
        blind=right_blind.double().mean().item(),
        advantage=won - lost,
        low=low[0] - high[1],
        high=high[0] - low[1],
    )


def advantage_bound(epsilon: float, blind: float | None = None) -> float:
    """The largest advantage that a mechanism of pure ``epsilon`` leaves to any attack.

    Args:
        epsilon: under the notion that fits what the attacker knows, from 0.
        blind: how often the *best* guess without the release is right, above 0 and at most 1, on
            average over all that is known otherwise. Default: unknown, and tanh(epsilon / 2).

    With q for ``blind`` both of these hold for any prior, alike for all records or not:

    * Odds. An outcome moves odds by e^epsilon at most, so no class is likelier after it than
      g(q) = e^epsilon q / (1 + (e^epsilon - 1) q), if none was likelier than q before. As g is
      concave, this holds for averages of q over records, too. The advantage is at most g(q) - q.
      For q = 1 / K it is reached: by randomized response of K equally likely classes.
    * Total variation. Against the blind guess, only outcomes at which another class is guessed can
      gain, of class c at most p_c tanh(epsilon / 2). These p_c sum to 1 - q.

    The first is smaller up to q = 1/2, the second beyond. No q allows more than tanh(epsilon / 4).

    Source: Wu et al. 2023 without ``blind``; with it, this book's audit of label-DP.

    >>> [round(advantage_bound(epsilon), 3) for epsilon in (1, 2, 5)]
    [0.462, 0.762, 0.987]
    >>> round(advantage_bound(5, 1 / 286), 3), round(advantage_bound(1, 0.7), 3)
    (0.339, 0.139)
    """
    apart = math.tanh(check_range("epsilon", epsilon, 0.0) / 2)
    if blind is None:
        return apart
    check_range("blind", blind, 0.0, 1.0, open_low=True)
    wrong = 1 - blind
    # g(q) - q = (1 - q) ((1 - e^-epsilon) q / (q + e^-epsilon (1 - q)))
    odds = -math.expm1(-epsilon) * blind / (blind + math.exp(-epsilon) * wrong)
    return wrong * min(odds, apart)


def exact_advantage(law: Tensor, prior: Tensor | None = None) -> float:
    """Advantage of the best attack there is, from the law of what is released.

    Args:
        law: chances (K, ...) of each outcome given the true label.
        prior: chances (K,) of the labels, or (N, K) given what else is known of each record, over
            which the mean is taken; by default all labels are alike.

    >>> from mmlib.label_dp.exact import response_law
    >>> round(exact_advantage(response_law(0.659878, 286)), 3)  # a - 1 / K
    0.339
    """
    law = law.double().flatten(1)
    prior = law.new_full((len(law),), 1 / len(law)) if prior is None else prior.to(law)
    check_shape("prior", prior, "K" if prior.ndim == 1 else "N K", K=len(law))
    best = (prior[..., None] * law).amax(-2).sum(-1)
    return (best - prior.amax(-1)).mean().item()


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

    Returns chances (N, K) in float64.

    >>> prior, shown = torch.ones(2) / 2, torch.tensor([[1.0, 0.0]])
    >>> label_posterior(torch.tensor([0]), 0.5, prior, shown=shown, noise_image=0.5)  # 3^2 to 1
    tensor([[0.9000, 0.1000]], dtype=torch.float64)
    """
    n_classes = prior.shape[-1]
    check_labels(released, n_classes)
    check_range("noise", noise, 0.0, 1.0)
    check_range("noise_image", noise_image, 0.0, 1.0)
    joint = prior.double().expand(len(released), n_classes) * (noise / n_classes)
    own = torch.arange(len(released), device=released.device), released.long()
    joint = joint.index_put(own, joint[own] + prior.double().expand_as(joint)[own] * (1 - noise))
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


# --- canaries: a lower bound on epsilon from one run ----------------------------------------------


@dataclass(frozen=True)
class Canaries:
    """``labels`` (N,) with wrong ones planted in ``records`` (M,), and a decoy for each."""

    labels: Tensor
    records: Tensor
    planted: Tensor
    decoys: Tensor

    def margins(self, scores: Tensor) -> Tensor:
        """Score of each planted label minus its decoy's (M,), by ``scores`` (M, K) of ``records``.

        One-hot released labels are such scores, too.
        """
        planted, decoys = (scores.gather(1, x.long()[:, None]) for x in (self.planted, self.decoys))
        return (planted - decoys).squeeze(1).double()


def plant_canaries(labels: Tensor, n_classes: int, count: int, *, generator: Generator) -> Canaries:
    """Give ``count`` random records a random wrong label, and draw another wrong one as decoy.

    Which of the two was planted is a fair coin to anybody who did not see what came out. Needs
    three classes at least.

    >>> g = torch.Generator().manual_seed(0)
    >>> found = plant_canaries(torch.zeros(10, dtype=torch.long), 3, 4, generator=g)
    >>> int((found.labels != 0).sum()), (found.planted + found.decoys).tolist()
    (4, [3, 3, 3, 3])
    """
    check_labels(labels, n_classes)
    check_range("n_classes", n_classes, 3)
    check_range("count", count, 1, len(labels))
    order = torch.zeros(len(labels), dtype=torch.long, device=labels.device)
    order = uniform(2**40, order, generator).argsort()
    records = order[:count]
    first = 1 + uniform(n_classes - 1, records, generator)  # places after the true label's
    second = 1 + uniform(n_classes - 2, records, generator)
    second = second + (second >= first).long()
    true = labels[records].long()
    planted, decoys = ((true + x) % n_classes for x in (first, second))
    changed = labels.clone()
    changed[records] = planted.to(labels.dtype)
    return Canaries(changed, records, planted, decoys)


@dataclass(frozen=True)
class CanaryBound:
    """A lower bound on epsilon: ``right`` of ``guesses`` told the planted label from the decoy."""

    lower_bound: float
    right: int
    guesses: int


def canary_bound(
    margins: Tensor,
    *,
    confidence: float,
    abstain: Sequence[float] = (0.0, 0.5, 0.9, 0.95, 0.99),
) -> CanaryBound:
    """Bound epsilon from below by how well planted labels are told from their decoys.

    Of pure epsilon, each guess is right with chance e^eps / (e^eps + 1) at most. An attacker may
    leave the least certain canaries out; the best of the shares ``abstain`` is taken, and paid for.

    Args:
        margins: (M,), the score of the planted label minus that of the decoy: of a model's
            confidence, or of the released label itself. Where it is 0 nothing is guessed.
        confidence: with which the bound holds, between 0 and 1.
        abstain: shares to leave out.

    Source: Malek et al. 2021; for one run with many canaries Steinke et al. 2023.

    >>> found = canary_bound(torch.tensor([1.0] * 900 + [-1.0] * 100), confidence=0.95)
    >>> 1.5 < found.lower_bound < math.log(9), found.guesses
    (True, 1000)
    """
    check_shape("margins", margins, "M")
    check_range("confidence", confidence, 0.0, 1.0, open_low=True, open_high=True)
    for share in abstain:
        check_range("abstain", share, 0.0, 1.0, open_high=True)
    margins = margins[margins != 0].double()
    surest = margins.abs().sort(descending=True).values
    found = []
    for share in abstain:
        place = math.floor((1 - share) * len(surest) + 1e-9)
        if place == 0:  # too few are left
            continue
        guessed = margins[margins.abs() >= surest[place - 1]]  # equals in or out together
        right, n = int((guessed > 0).sum()), len(guessed)
        low, _ = clopper_pearson(torch.tensor([right]), n, (1 - confidence) / len(abstain))
        bound = math.log(low.item() / (1 - low.item())) if low > 0.5 else 0.0
        found.append(CanaryBound(bound, right, n))
    found.append(CanaryBound(0.0, 0, 0))  # if there was nothing to guess
    return max(found, key=lambda c: c.lower_bound)
