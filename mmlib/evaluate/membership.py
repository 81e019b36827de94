"""Who was trained on? Scores of records by a trained model, and how well they tell members."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import starmap

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from mmlib._checks import check_range, check_shape
from mmlib.evaluate.features import head_inputs
from mmlib.methods import by_batch
from mmlib.methods.cross_self import CrossSelf
from mmlib.methods.fused import FusedEncoder

_BATCH = 2048  # records compared at once


def pair_fit(
    pairs: tuple[Tensor, Tensor], held: tuple[Tensor, Tensor], *, scale: float | Tensor
) -> Tensor:
    """How well the two vectors of each record fit each other, (N,), in nats.

    It is the log chance, by a softmax of scale times cosine, of a record's own partner among it and
    the H held partners; the mean of both directions. A vector that fits every partner gains
    nothing by it.

    Args:
        pairs: two embeddings (N, D) of the same records, not normalised.
        held: the same (H, D) of records on which nobody trained, H of 1 or more.

    >>> z = torch.eye(2)
    >>> pair_fit((z, z), (z[:1], z[:1]), scale=1.0)  # the first meets its own likeness
    tensor([-0.6931, -0.3133])
    """
    sizes = check_shape("first embeddings", pairs[0], "N D")
    check_shape("second embeddings", pairs[1], "N D", **sizes)
    held_sizes = check_shape("first held embeddings", held[0], "H D", D=sizes["D"])
    check_shape("second held embeddings", held[1], "H D", **held_sizes)
    check_range("held records", held_sizes["H"], 1)
    (z1, z2), (held1, held2) = map(normalize, pairs), map(normalize, held)
    true, fit = scale * (z1 * z2).sum(1), 0
    for own, partner in ((z1, held2), (z2, held1)):
        others = scale * partner.T
        beside = torch.cat([(part @ others).logsumexp(1) for part in own.split(_BATCH)])
        fit = fit + (true - true.logaddexp(beside)) / 2
    return fit


def true_positive_rate(scores: Tensor, members: Tensor, at: float) -> float:
    """Share of members, in percent, that a threshold finds with at most ``at`` % false alarms.

    The threshold is the lowest that no more than that share of the non-members is above; a record
    on it is taken for none. ``scores`` (N,) are higher for members; ``members`` (N,) are 0 or 1.
    Raises ``ValueError`` on nan, unequal lengths, and unless both kinds are there.
    Source: Carlini et al. 2022, section II.

    >>> scores, members = torch.tensor([3.0, 2.0, 1.0, 2.5, 0.0]), torch.tensor([1, 1, 1, 0, 0])
    >>> round(true_positive_rate(scores, members, at=0), 1), true_positive_rate(scores, members, 50)
    (33.3, 100.0)
    """
    total = check_shape("scores", scores, "N")["N"]
    check_shape("members", members, "N", N=total)
    check_range("at", at, 0, 100)
    if scores.isnan().any():
        raise ValueError("scores hold nan; allowed: numbers and infinities")
    if torch.unique(members).tolist() != [0, 1]:
        raise ValueError(f"members are {torch.unique(members).tolist()}; allowed: 0 and 1, both")
    others = scores[members == 0].sort(descending=True).values
    alarms = int(len(others) * at / 100 + 1e-9)
    own = scores[members == 1]
    if alarms >= len(others):
        return 100.0
    return 100 * (own > others[alarms]).double().mean().item()


@torch.no_grad()
def attacks(
    method: nn.Module,
    inputs: Sequence[Tensor],
    held: Sequence[Tensor],
    *,
    draws: int,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """Scores (N,) of records, higher for members, by each attack on a method that sees no label.

    All are fits (:func:`pair_fit`) in the method's own vectors, at its own temperature, among
    records ``held`` on which it was not trained:

    * ``pair``: of the first with the second modality, as they are;
    * ``running``: the same, but by the heads' running statistics;
    * ``masked``: of each modality alone with the fusion of all, as they are; the mean;
    * ``first``, ``second``: of two random views of that modality alone;
    * ``views``: of two random views of all that the method fuses;
    * ``own``: what the method's loss asks of a record, its terms' fits weighted as there.

    Those of views are means over ``draws`` pairs of views, the held records' drawn as well. A
    method without a fusion has no ``masked`` and no ``views``; of one modality alone all but
    ``own``, which is then of two views, are missing.

    But for ``running`` heads work as in training: their batch normalisations take the statistics of
    what they are given, of records and ``held`` together. Running ones are of all masks at once,
    and so of none.
    """
    check_range("draws", draws, 1)
    scale = getattr(method, "scale", None)
    scale = 1 / method.temperature if scale is None else scale
    fused, count, n = isinstance(method, FusedEncoder), len(inputs), len(inputs[0])
    together = [torch.cat(parts) for parts in zip(inputs, held, strict=True)]

    def parted(found: Iterable[Tensor]) -> tuple[list, list]:
        """Vectors of the records, and of those held."""
        found = [z.float() for z in found]
        return [z[:n] for z in found], [z[n:] for z in found]

    def view() -> tuple[list, list]:
        return parted(starmap(by_batch, head_inputs(method, together, generator)))

    alone = fused and count == 1

    def fit(one: tuple[list, list], other: tuple[list, list], a: int, b: int) -> Tensor:
        return pair_fit((one[0][a], other[0][b]), (one[1][a], other[1][b]), scale=scale)

    scores, given = {}, head_inputs(method, together)
    plain = parted(starmap(by_batch, given))
    if not alone:
        running = parted(head(x) for head, x in given)
        scores = {"pair": fit(plain, plain, 0, 1), "running": fit(running, running, 0, 1)}
    if fused and not alone:
        scores["masked"] = sum(fit(plain, plain, k, -1) for k in range(count)) / count
    found: dict[str, list[Tensor]] = {}
    for _ in range(draws):
        one, other = view(), view()
        own = [fit(one, other, k, k) for k in range(len(one[0]))]
        if not alone:
            for name, value in zip(("first", "second", "views"), own, strict=False):
                found.setdefault(name, []).append(value)
        if fused:
            terms = [(fit(one, other, k, -1) + fit(other, one, k, -1)) / 2 for k in range(count)]
            terms = [] if alone else terms
            weights = method.weights or [1.0] * (len(terms) + 1)
            parts = zip(weights, [*terms, own[-1]], strict=True)
            asked = sum(weight * term for weight, term in parts) / sum(weights)
        else:
            asked = fit(one, one, 0, 1)
            if isinstance(method, CrossSelf):
                asked = asked + sum(own) / count
        found.setdefault("own", []).append(asked)
    return scores | {name: torch.stack(values).mean(dim=0) for name, values in found.items()}
