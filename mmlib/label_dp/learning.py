"""Learning from labels whose noise is known: what was released, said as likelihoods of classes.

Whatever a mechanism releases of a record, a learner that knows the mechanism needs one thing of it:
how likely it was in each class, (N, K), up to a factor for each record. Labels that are taken as
they are have the likelihood of a mechanism without noise, one in their class and zero elsewhere.
All of this is post-processing, so it costs no privacy.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mmlib._checks import check_range, check_shape
from mmlib.label_dp._checks import check_labels
from mmlib.label_dp.exact import response_law


def forward_loss(logits: Tensor, likelihood: Tensor) -> Tensor:
    """Mean of -log(sum_c softmax(logits)_c likelihood_c): forward loss correction.

    It asks a model of the *true* class to explain what was *released*. Its gradient in the logits
    is the model's chances less what Bayes' rule makes of them, so that a step of it is a step of
    plain cross-entropy to soft targets with the model's own prediction as their prior (ALIBI).

    Args:
        logits: scores (N, K) of the classes.
        likelihood: chances (N, K), from 0, up to a factor for each record, which adds a constant.

    Raises ``ValueError`` for shapes that do not fit.

    Source: Patrini et al. 2017, Theorem 2, there with one matrix for all records; Malek et al.
    2021.

    >>> logits, labels = torch.tensor([[2.0, 0.0, 1.0]]), torch.tensor([2])
    >>> forward_loss(logits, torch.eye(3)[labels]).item()  # without noise
    1.407...
    >>> torch.nn.functional.cross_entropy(logits, labels).item()
    1.407...
    """
    size = check_shape("logits", logits, "N K")
    check_shape("likelihood", likelihood, "N K", **size)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))  # also under autocast
    told = logits + likelihood.to(logits.dtype).log()
    return (logits.logsumexp(dim=1) - told.logsumexp(dim=1)).mean()


def law_likelihood(released: Tensor, law: Tensor) -> Tensor:
    """How likely each released label (N,) is in each class (N, K), by the mechanism's ``law``.

    Args:
        released: integers (N,) from 0 to K - 1.
        law: chances (K, K) of the released label, given the class: of
            :func:`mmlib.label_dp.exact.response_law` or :func:`shown_law`.

    Raises ``ValueError`` for a law whose rows are no distributions, or all alike: what it releases
    says nothing of the class, and nothing can be learned.

    >>> from mmlib.label_dp.exact import response_law
    >>> law_likelihood(torch.tensor([1]), response_law(0.75, 3))
    tensor([[0.2500, 0.5000, 0.2500]], dtype=torch.float64)
    """
    n_classes = check_shape("law", law, "K K")["K"]
    check_labels(released, n_classes)
    check_range("smallest chance in law", law.min().item(), 0.0)
    off = (law.sum(1) - 1).abs().max().item()
    check_range("distance of law's row sums from 1", off, 0.0, 1e-6)
    if torch.allclose(law, law[:1].expand_as(law), rtol=1e-9, atol=0.0):
        raise ValueError("law has the same row for every class; allowed: rows that differ")
    return law.to(released.device).T[released.long()]


def shown_law(noise_label: float, noise_image: float, shares: Tensor) -> Tensor:
    """Chances (K, K) of double RR's released label, given the class of the image that is *shown*.

    The shown image is the record's own, and the label then a response to its class, with chance

        own_c = (1 - noise_image) p_c / ((1 - noise_image) p_c + noise_image / K),

    since swapped images have uniform classes. If it is another's, the record is anybody, and its
    label a response to a class that is drawn from the ``shares`` p. With equal shares this is
    plain response with one coin for both, of noise 1 - (1 - noise_label) (1 - noise_image).

    Args:
        noise_label, noise_image: lambda of the coins, from 0 to 1.
        shares: p (K,), of the classes among the records. They sum to 1.

    It is exact for uniform draws, also from pools that are the records themselves without the own
    one, if a learner does not tell images of a class apart. Raises ``ValueError`` out of range.

    >>> shown_law(0.5, 0.5, torch.full((2,), 0.5))  # keeps a quarter, draws three
    tensor([[0.6250, 0.3750],
            [0.3750, 0.6250]], dtype=torch.float64)
    """
    n_classes = check_shape("shares", shares, "K")["K"]
    check_range("noise_label", noise_label, 0.0, 1.0)
    check_range("noise_image", noise_image, 0.0, 1.0)
    check_range("smallest share", shares.min().item(), 0.0)
    check_range("distance of the shares' sum from 1", abs(shares.sum().item() - 1), 0.0, 1e-5)
    shares = shares.double()
    respond = response_law(noise_label, n_classes).to(shares.device)
    kept = (1 - noise_image) * shares
    # Of a class that nobody has no own image is shown; 0 / 0 only if none is swapped either.
    own = torch.where(kept > 0, kept / (kept + noise_image / n_classes), 0.0)
    if noise_image == 0:
        own = torch.ones_like(own)
    return own[:, None] * respond + (1 - own)[:, None] * (shares @ respond)


def shown_likelihood(
    released: Tensor, noise_label: float, noise_image: float, n_classes: int
) -> Tensor:
    """How likely each label (N,) of double RR is by the class of the image beside it: (N, K).

    By :func:`shown_law` of shares that are estimated from these labels alone.

    >>> shown_likelihood(torch.tensor([0, 1]), 0.5, 0.5, 2)
    tensor([[0.6250, 0.3750],
            [0.3750, 0.6250]], dtype=torch.float64)
    """
    shares = class_shares(released, noise_label, n_classes)
    return law_likelihood(released, shown_law(noise_label, noise_image, shares))


def class_shares(released: Tensor, noise: float, n_classes: int) -> Tensor:
    """Estimated shares (K,) of the true classes, from labels that went through one response.

    The released histogram without the noise's mean is right on average, but its scatter may be
    wider than that of the shares. So it is drawn towards equal shares by the part of its scatter
    that the coins alone would make (Stein's estimator); what is negative then is set to zero.

    Args:
        released: integers (N,) from 0 to K - 1, at least one.
        noise: lambda of the label's coin, from 0 (the histogram) to 1 (equal shares).
        n_classes: K, at least 2.

    Source: James and Stein 1961, towards a point, positive part.

    >>> class_shares(torch.tensor([0, 0, 0, 1]), 0.0, 2)
    tensor([0.7500, 0.2500], dtype=torch.float64)
    """
    check_labels(released, n_classes)
    n = check_range("number of labels", len(released), 1)
    check_range("noise", noise, 0.0, 1.0)
    apart = released.bincount(minlength=n_classes).double() / n - 1 / n_classes
    other = noise / n_classes
    keep = 1 - noise + other
    coins = (keep * (1 - keep) + (n_classes - 1) * other * (1 - other)) / n  # of all classes
    found = apart.square().sum()
    if noise == 1 or found <= coins:
        return torch.full_like(apart, 1 / n_classes)
    shares = (1 / n_classes + (1 - coins / found) * apart / (1 - noise)).clamp(min=0)
    return shares / shares.sum()
