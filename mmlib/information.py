"""Exact information in small discrete distributions, in bits.

A joint distribution is a tensor with one axis for each variable, whose entries sum to one. The
partial information decomposition splits what X1 and X2 tell about Y into what both tell
(redundancy), what only one tells (unique), and what only both together tell (synergy):

    I(X1,X2;Y) = R + U1 + U2 + S,    I(X1;Y) = R + U1,    I(X2;Y) = R + U2.

These are three equations for four numbers; a definition adds the fourth. Two are here.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from mmlib._checks import check_choice, check_range, check_shape

DEFINITIONS = ("broja", "imin")


@dataclass(frozen=True)
class Decomposition:
    """What two variables tell about a third, in bits."""

    redundancy: float
    unique1: float
    unique2: float
    synergy: float


def uniform_over(outcomes: Iterable[Sequence[Hashable]]) -> Tensor:
    """Joint distribution (float64) of variables whose joint values are drawn uniformly from a list.

    Outcomes are tuples, one entry for each variable; one listed twice is twice as likely. The
    values of each variable are numbered as they first occur. Raises ``ValueError`` on an empty
    list.

    >>> uniform_over([(0, 0), (0, 1), (1, 1), (1, 1)])
    tensor([[0.2500, 0.2500],
            [0.0000, 0.5000]], dtype=torch.float64)
    """
    columns = list(zip(*outcomes, strict=True))
    if not columns:
        raise ValueError("outcomes is empty; allowed: one or more tuples")
    numbers = [{value: k for k, value in enumerate(dict.fromkeys(c))} for c in columns]
    where = [torch.tensor([n[v] for v in c]) for n, c in zip(numbers, columns, strict=True)]
    joint = torch.zeros([len(n) for n in numbers], dtype=torch.float64)
    share = torch.full((len(columns[0]),), 1 / len(columns[0]), dtype=torch.float64)
    return joint.index_put_(where, share, accumulate=True)


def entropy(joint: Tensor) -> float:
    """Entropy of all variables of ``joint`` together, in bits. Raises unless it is a distribution.

    >>> entropy(torch.full((2, 2), 0.25))
    2.0
    """
    return torch.special.entr(_distribution(joint)).sum().item() / math.log(2)


def mutual_information(joint: Tensor) -> float:
    """I(A;B) of ``joint`` (A, B), in bits.

    >>> mutual_information(torch.eye(2) / 2)
    1.0
    """
    check_shape("joint", joint, "A B")
    return entropy(joint.sum(1)) + entropy(joint.sum(0)) - entropy(joint)


def decompose(joint: Tensor, definition: str = "broja") -> Decomposition:
    """Redundancy, unique and synergistic information of ``joint`` (X1, X2, Y).

    ``broja``: unique information is what remains when X1 and X2 are as dependent as suits best,
    given what each alone has to do with Y: the smallest I(X1;Y|X2) over all distributions with the
    same pairs (X1, Y) and (X2, Y). A convex problem, solved to 1e-6 bits or better and certified
    by its dual; meant for some hundred joint values.
    ``imin``: redundancy is, for each value of Y, the smaller of what X1 and X2 say about it.

    Raises ``ValueError`` unless ``joint`` is a distribution over three variables and
    ``RuntimeError`` if the solution cannot be certified.
    Source: CoMM (the four parts); Bertschinger et al. 2014 (broja); Williams and Beer 2010 (imin).

    >>> decompose(uniform_over([(a, b, a ^ b) for a in (0, 1) for b in (0, 1)]))
    Decomposition(redundancy=0.0, unique1=0.0, unique2=0.0, synergy=1.0)
    """
    check_shape("joint", joint, "A B Y")
    check_choice("definition", definition, DEFINITIONS)
    joint = _distribution(joint)
    one, two = mutual_information(joint.sum(1)), mutual_information(joint.sum(0))
    both = mutual_information(joint.flatten(0, 1))
    if definition == "imin":
        redundancy = _specific_minimum(joint)
    else:
        redundancy = one + two - _least_information(joint)
    # All four are non-negative in theory; rounding must not make them less.
    redundancy = min(max(redundancy, one + two - both, 0.0), one, two)
    return Decomposition(
        redundancy, one - redundancy, two - redundancy, both - one - two + redundancy
    )


def encoders(values: int) -> Tensor:
    """All deterministic encoders of a variable with that many values, up to renaming their codes.

    Returns (encoders, values): the code of each value. They are the partitions of the values, so
    their number grows fast: 2, 15, 203 and 4,140 for 2, 4, 6 and 8 values.

    >>> encoders(3).tolist()
    [[0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1], [0, 1, 2]]
    """
    check_range("values", values, 1, 10)
    codes = [[0]]
    for _ in range(values - 1):
        codes = [[*code, new] for code in codes for new in range(max(code) + 2)]
    return torch.tensor(codes)


def encode(joint: Tensor, *codes: Tensor | None) -> Tensor:
    """Joint distribution after the leading variables went through encoders (None: unchanged).

    >>> encode(torch.eye(2) / 2, torch.tensor([0, 0]))
    tensor([[0.5000, 0.5000]])
    """
    for axis, code in enumerate(codes):
        if code is not None:
            check_shape("code", code, "N", N=joint.shape[axis])
            shape = list(joint.shape)
            shape[axis] = int(code.max()) + 1
            joint = joint.new_zeros(shape).index_add(axis, code, joint)
    return joint


def best_alignments(
    pair: Tensor, *, shared: bool = False
) -> tuple[float, list[tuple[Tensor, Tensor]]]:
    """The largest I(f(A); g(B)) over all encoders f, g of ``pair`` (A, B), and all that attain it.

    Every pair of encoders is tried, so A and B may have some five values each; with ``shared``
    f = g, as for two views that one network sees, and A = B may have seven.

    Returns the information in bits and the optimal (f, g).

    >>> information, optima = best_alignments(torch.full((2, 2), 0.25))
    >>> information, len(optima)
    (0.0, 4)
    """
    check_shape("pair", pair, "A A" if shared else "A B")
    first, second = (encoders(values) for values in pair.shape)
    pairs = [(f, f) for f in first] if shared else list(product(first, second))
    kept = [mutual_information(encode(pair, f, g)) for f, g in pairs]
    most = max(kept)
    return most, [fg for fg, value in zip(pairs, kept, strict=True) if value > most - 1e-9]


def _distribution(joint: Tensor) -> Tensor:
    joint = joint.detach().double()
    total = joint.sum().item()
    if not (joint >= 0).all() or not math.isclose(total, 1, abs_tol=1e-6):
        least = joint.min().item()
        raise ValueError(f"joint sums to {total:g}, least {least:g}; allowed: sum 1, least 0")
    return joint / total


def _specific_minimum(joint: Tensor) -> float:
    """Sum over y of p(y) times the smaller specific information I(X_i; Y = y), in bits."""
    label = joint.sum((0, 1))
    parts = []
    for pair in (joint.sum(1), joint.sum(0)):
        independent = pair.sum(1, keepdim=True) * label
        parts.append((torch.xlogy(pair, pair) - torch.xlogy(pair, independent)).sum(0))
    return torch.minimum(*parts).sum().item() / math.log(2)


def _least_information(joint: Tensor) -> float:
    """The smallest I(X1,X2;Y) in bits over all distributions with the pairs (X1,Y), (X2,Y).

    It is H(Y) - max H(Y|X1,X2). The dual of the maximum is smooth and small, where the primal is
    neither (its optimum lies where probabilities vanish and logarithms have no derivative): with a
    multiplier u(x1,y), v(x2,y) for each entry of the two pairs, maximise their mean under the pairs
    so that log sum_y exp(u + v) <= 0 for all x1, x2.
    """
    import numpy as np
    from scipy.optimize import minimize, nnls

    pair1, pair2 = joint.sum(1).cpu().numpy(), joint.sum(0).cpu().numpy()
    n1, n2 = np.count_nonzero(pair1), np.count_nonzero(pair2)
    place1 = (pair1 > 0).cumsum().reshape(pair1.shape) - 1  # of the multipliers among all
    place2 = (pair2 > 0).cumsum().reshape(pair2.shape) - 1 + n1
    i, j, y = np.nonzero((pair1 > 0)[:, None] & (pair2 > 0))
    cells, cell = np.unique(i * len(pair2) + j, return_inverse=True)
    term = np.arange(len(cell))
    picks = np.zeros((len(cell), n1 + n2))  # u + v of each term
    picks[term, place1[i, y]] = picks[term, place2[j, y]] = 1
    sums = np.zeros((len(cells), len(cell)))  # over y, for each cell (x1, x2)
    sums[cell, term] = 1
    weights = np.concatenate([pair1[pair1 > 0], pair2[pair2 > 0]])

    def bounds(z):
        """log sum_y exp(u + v) for each cell, and each term's share of its sum."""
        terms = picks @ z
        top = np.full(len(cells), -np.inf)
        np.maximum.at(top, cell, terms)
        shares = sums * np.exp(terms - top[cell])
        total = shares.sum(1, keepdims=True)
        return top + np.log(total[:, 0]), shares / total

    # u = log p(y), v = 0 is feasible, and any slack below it. The solver may stall where it starts,
    # mostly on the bounds, so it has several starts.
    start = np.concatenate([np.log(pair1.sum(0)[np.nonzero(pair1)[1]]), np.zeros(n2)])
    best = math.inf
    for slack in (0.5, 0.0, 1.0, 2.0, 0.25):
        z = minimize(
            lambda z: -weights @ z,
            np.concatenate([start[:n1] - slack, start[n1:]]),
            jac=lambda z: -weights,
            constraints={
                "type": "ineq",
                "fun": lambda z: -bounds(z)[0],
                "jac": lambda z: -bounds(z)[1] @ picks,
            },
            method="SLSQP",
            options={"maxiter": 1000, "ftol": 1e-14},
        ).x
        bound, shares = bounds(z)
        # A primal solution, the mass of each cell, that only uses cells where the bound is tight
        # and has the right pairs: where there is one, both are optimal.
        conditions = np.vstack([(shares @ picks).T, bound.max() - bound])
        residual = nnls(conditions, np.append(weights, 0))[1]
        best = min(best, residual)
        if residual < 1e-6:
            break
    else:
        raise RuntimeError(f"the optimum is not certified: residual {best:.1e}")
    most = float(bound.max() - weights @ z) / math.log(2)
    return entropy(joint.sum((0, 1))) - most
