"""One epsilon of the label, spent in four ways: what comes out, and how likely that is by class.

Each returns labels (N,), and how likely what was released is in each class, (N, K), for a learner
that knows the noise (:mod:`mmlib.label_dp.learning`). Images stay as they are, so all promise
``epsilon`` under the standard notion; ``generator`` is the privacy noise's own.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from mmlib.label_dp._checks import prior_of_each
from mmlib.label_dp.accounting import noise_for
from mmlib.label_dp.coins import Generator
from mmlib.label_dp.exact import response_law
from mmlib.label_dp.learning import law_likelihood
from mmlib.label_dp.mechanisms.laplace import laplace_labels, laplace_posterior
from mmlib.label_dp.mechanisms.prior_rr import prior_likelihood, rr_with_prior
from mmlib.label_dp.mechanisms.randomized_response import randomized_response
from mmlib.label_dp.mechanisms.two_stage_rr import two_stage_rr

Told = tuple[Tensor, Tensor]


def respond(labels: Tensor, n_classes: int, epsilon: float, *, generator: Generator) -> Told:
    """By plain randomized response.

    >>> import torch
    >>> g = torch.Generator().manual_seed(0)
    >>> released, told = respond(torch.tensor([2]), 3, 2.0, generator=g)
    >>> round((told.max() / told.min()).log().item(), 6)
    2.0
    """
    noise = noise_for(epsilon, n_classes)
    released = randomized_response(labels, noise, n_classes, generator=generator)
    return released, law_likelihood(released, response_law(noise, n_classes))


def respond_with_prior(
    labels: Tensor, n_classes: int, epsilon: float, *, prior: Tensor, generator: Generator
) -> Told:
    """Among the classes that a public ``prior`` (K,) or (N, K) thinks likely."""
    prior = prior_of_each(prior, len(labels), K=n_classes)
    released = rr_with_prior(labels, prior, epsilon, generator=generator)
    return released, prior_likelihood(released, prior, epsilon)


def two_stages(
    labels: Tensor,
    n_classes: int,
    epsilon: float,
    *,
    first: Tensor,
    predict: Callable[[Tensor], Tensor],
    generator: Generator,
) -> Told:
    """LP-2ST: ``first`` (N,) respond plainly, the others by a prior that is learned from these.

    ``predict`` makes of the first stage's likelihoods (M, K) the chances (N - M, K) of the others'
    classes, and must not touch ``labels``.
    """
    law = response_law(noise_for(epsilon, n_classes), n_classes)
    prior: list[Tensor] = []  # of the others, as it was used: their likelihoods depend on it

    def likely(released: Tensor) -> Tensor:
        prior.append(predict(law_likelihood(released, law)))
        return prior[0]

    released = two_stage_rr(labels, first, likely, n_classes, epsilon, generator=generator)
    told = law_likelihood(released, law)
    told[~first] = prior_likelihood(released[~first], prior[0], epsilon)
    return released, told


def laplace(labels: Tensor, n_classes: int, epsilon: float, *, generator: Generator) -> Told:
    """ALIBI: one-hot labels with Laplace noise are released; the largest number names the label.

    That is a likeliest class. Often several are: numbers above 1 all tell as much, and among them
    the largest owes nothing to the order of the classes.
    """
    noisy = laplace_labels(labels, n_classes, epsilon, generator=generator)
    return noisy.argmax(1), laplace_posterior(noisy, epsilon)
