"""Who sees which records belong together: what released labels tell of such groups' classes.

That bounds what can be learned from labels alone: a learner who tells groups apart has nothing left
to find but each group's name.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mmlib._checks import check_range, check_shape
from mmlib.label_dp._checks import check_labels
from mmlib.label_dp.learning import law_likelihood, shown_law


def group_posterior(groups: Tensor, released: Tensor, law: Tensor, prior: Tensor) -> Tensor:
    """Chances (G, K) of the one class that a group's records share, by what was released of them.

    Bayes' rule for each group by itself.

    Args:
        groups: integers (N,) from 0 to G - 1, the group of each record.
        released: integers (N,) from 0 to K - 1, what was released of it.
        law: chances (K, K), positive, of the released label, given the class; see
            :func:`mmlib.label_dp.learning.law_likelihood`.
        prior: chances (K,), positive, of a group's class. They sum to 1.

    Raises ``ValueError`` for shapes or values that do not fit.

    >>> from mmlib.label_dp.exact import response_law
    >>> groups, released = torch.tensor([0, 0, 0, 1]), torch.tensor([2, 2, 0, 1])
    >>> group_posterior(groups, released, response_law(0.5, 3), torch.full((3,), 1 / 3)).argmax(1)
    tensor([2, 1])
    """
    n_classes = check_shape("law", law, "K K")["K"]
    check_shape("prior", prior, "K", K=n_classes)
    check_shape("groups", groups, "N", N=check_shape("released", released, "N")["N"])
    check_labels(released, n_classes)
    check_range("number of labels", len(released), 1)
    check_range("smallest group", groups.min().item(), 0)
    by_label = law_likelihood(torch.arange(n_classes, device=released.device), law).double()
    check_range("smallest chance in law", by_label.min().item(), 0.0, open_low=True)
    check_range("smallest chance in prior", prior.min().item(), 0.0, open_low=True)
    check_range("distance of the prior's sum from 1", abs(prior.sum().item() - 1), 0.0, 1e-5)
    n_groups = int(groups.max()) + 1
    told = (groups.long() * n_classes + released.long()).bincount(minlength=n_groups * n_classes)
    told = told.view(n_groups, n_classes).double()
    return (told @ by_label.log() + prior.to(told.device).double().log()).softmax(dim=1)


def linked_posterior(
    images: Tensor, rows: Tensor, released: Tensor, noise: float, misread: float, shares: Tensor
) -> Tensor:
    """Chances (G, K) of the class of each group of images, where rows that stay tell groups, too.

    Double RR swaps a record's image and randomises its label, each with lambda ``noise``. Its row,
    released as it is, tells which records have one class, but not which. So labels name the groups
    of rows, each by the class that is likeliest, and these names, as if they were released, name
    the groups of images.

    Args:
        images, rows: integers (N,) from 0 to G - 1, the class of the image that is shown and the
            class that is read off the row, both under numbers that mean nothing by themselves.
        released: integers (N,) from 0 to K - 1, the labels.
        noise: lambda of both coins, above 0 and below 1, which leaves nothing to be told.
        misread: share of rows that are read as of a class drawn at random, from 0 to below 1.
        shares: (K,), positive, of the classes among the records. They sum to 1.

    Raises ``ValueError`` for shapes or values that do not fit.

    >>> images, rows = torch.tensor([0, 1, 1, 0]), torch.tensor([1, 0, 0, 1])
    >>> released, half = torch.tensor([0, 1, 1, 0]), torch.tensor([0.5, 0.5])
    >>> linked_posterior(images, rows, released, 0.5, 0.0, half).argmax(1)
    tensor([0, 1])
    """
    by_row = shown_law(noise, misread, shares)  # of a label, in a group of rows
    names = group_posterior(rows, released, by_row, shares).argmax(1)
    by_image = shown_law(misread, noise, shares)  # of a row's name, in a group of images
    return group_posterior(images, names[rows], by_image, shares)


def names_given_once(chances: Tensor, sizes: Tensor, expected: Tensor, prior: Tensor) -> Tensor:
    """The name (K,) of each of K groups, if their sizes count and each name is given (nearly) once.

    Sizes are taken as Poisson numbers. Scaling rows and columns in turn (Sinkhorn) makes of the
    chances of each name by itself those of a matching of names and groups.

    Args:
        chances: (K, K) of each group's names, of :func:`group_posterior`.
        sizes: records (K,) in each group.
        expected: records (K,), positive, that a group of each name has on average.
        prior: (K,), positive, that ``chances`` were made with; it settles what is left open.

    Raises ``ValueError`` for shapes that do not fit.

    >>> even = torch.full((2,), 0.5)
    >>> names_given_once(torch.full((2, 2), 0.5), torch.tensor([9, 1]), torch.tensor([1, 9]), even)
    tensor([1, 0])
    """
    k = check_shape("chances", chances, "K K")["K"]
    for name, values in (("sizes", sizes), ("expected", expected), ("prior", prior)):
        check_shape(name, values, "K", K=k)
    by_size = torch.special.xlogy(sizes.double()[:, None], expected) - expected
    fit = chances.clamp(min=1e-300).log() - prior.log() + by_size
    for _ in range(200):
        fit = fit.log_softmax(1).log_softmax(0)
    return (fit.exp() * prior).argmax(1)


def oracle_accuracy(names: Tensor, shares: Tensor) -> float:
    """Accuracy (%) of who tells groups apart and gives group k, of share k (K,), ``names`` (K,)[k].

    >>> oracle_accuracy(torch.tensor([0, 0, 2]), torch.tensor([0.5, 0.25, 0.25]))
    75.0
    """
    check_shape("names", names, "K", K=check_shape("shares", shares, "K")["K"])
    return 100 * shares[names == torch.arange(len(shares), device=names.device)].sum().item()
