"""Pairs of images as private records: ways to release them, and exactly what is left of a pair.

A record is a pair of a :class:`mmlib.studies.pairs.PairStudy` that follows the map M, with a
private label: the shape of image 1, which image 2 shows too, or its texture. Image 1 is released
as label-DP's image, image 2 as the table row beside it. No method of these pairs sees a label, so
what a release costs them is what it does to the pairing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from mmlib.data.trifeature import Pairs
from mmlib.evaluate.features import head_inputs
from mmlib.evaluate.metrics import roc_auc
from mmlib.information import encode, mutual_information
from mmlib.label_dp.accounting import noise_for
from mmlib.label_dp.exact import pairs_law
from mmlib.label_dp.ledger import Ledger
from mmlib.label_dp.mechanisms.double_rr import DoubleRR
from mmlib.label_dp.mechanisms.redrawn_rr import RedrawnRR
from mmlib.methods import by_batch
from mmlib.presets.private_information import PrivateInformationSettings
from mmlib.studies.pairs import PairStudy

COLUMNS = {"shape": 0, "texture": 1}  # of an image's labels


@dataclass(frozen=True)
class Way:
    """How records are released: which label is private, and the mechanism's terms."""

    title: str
    private: Literal["shape", "texture"]
    terms: DoubleRR | RedrawnRR

    @property
    def moves(self) -> bool:
        return self.terms.table == "moves"


def ways(cfg: PrivateInformationSettings) -> dict[str, Way]:
    """The ways to release that a run compares, by name, as ``cfg`` says.

    Names of double RR end in its epsilon, whose lambda is of two responses. At ``cfg.epsilon``
    also: the texture private in place of the shape, image 2 moving with image 1, and image 1
    redrawn for every record, for either private label.
    """
    classes = {"shape": len(cfg.shapes), "texture": len(cfg.textures)}

    def two(private: str, epsilon: float) -> dict[str, float]:
        noise = noise_for(epsilon, classes[private], responses=2)
        return {"n_classes": classes[private], "noise_label": noise, "noise_image": noise}

    def swapped(title: str, private: str, epsilon: float, table: str = "stays") -> Way:
        return Way(title, private, DoubleRR(**two(private, epsilon), pools="records", table=table))

    none = DoubleRR(
        n_classes=classes["shape"], noise_label=0.0, noise_image=0.0, pools="records",
        table="stays",
    )  # fmt: skip
    rows = {"none": Way("no noise", "shape", none)}
    for e in sorted({*cfg.epsilons, cfg.epsilon, 0.0}, reverse=True):
        rows[f"double_rr.eps{e:g}"] = swapped(f"double RR, ε = {e:g}", "shape", e)
    e = cfg.epsilon
    rows["texture"] = swapped("double RR, private texture", "texture", e)
    rows["moves"] = swapped("double RR, image 2 moves", "shape", e, "moves")
    for private in COLUMNS:
        terms = RedrawnRR(**two(private, e), table="stays")
        rows[f"redrawn_{private}"] = Way(f"redrawn, private {private}", private, terms)
    return rows


class PrivatePairs:
    """The training pairs of ``study`` that follow M, as private records.

    Attributes:
        own: these pairs, as they are.
        joint: chance (A, B) of each kind of image 1, its shape and texture, beside each kind of
            image 2, its shape and colour, over the records.

    >>> from mmlib.presets.base import resolve
    >>> cfg = resolve("private_information", {"preset": "smoke"})
    >>> private = PrivatePairs(PairStudy(cfg, torch.device("cpu")))
    >>> {name: round(x, 2) for name, x in private.exact(ways(cfg)["none"]).items()}
    {'own': 1.0, 'agree': 1.0, 'follow': 1.0, 'bits_shape': 1.38, 'bits_map': 1.49}
    """

    def __init__(self, study: PairStudy):
        self.world, self.own = study.world, study.training_pairs[True]
        self._labels = study.labels["train"]
        size = [len(v) for v in (self.world.shapes, self.world.textures, self.world.colors)]
        first, second = (self._labels[side] for side in (self.own.first, self.own.second))
        shapes, textures, colors = (torch.arange(n) for n in size)
        self._shape1, self._texture = torch.cartesian_prod(shapes, textures).T  # of each kind
        self._shape2, self._color = torch.cartesian_prod(shapes, colors).T
        kind1, kind2 = first[:, 0] * size[1] + first[:, 1], second[:, 0] * size[2] + second[:, 2]
        cells = size[0] * size[1], size[0] * size[2]
        counts = (kind1 * cells[1] + kind2).bincount(minlength=cells[0] * cells[1])
        self.joint = counts.view(cells).double() / len(self.own)

    def label(self, way: Way) -> Tensor:
        """The private label (N,) of each record."""
        return self._labels[self.own.first, COLUMNS[way.private]]

    def release(self, way: Way, generator: torch.Generator) -> Pairs:
        """What is shown of the records, released once, by a ledger of their own.

        The pools that images come from are the records' images. Pairs have no labels any more.
        """
        labels, first, second = (  # pairs lie on the host, coins fall where the generator is
            x.to(generator.device) for x in (self.label(way), self.own.first, self.own.second)
        )
        pool = {"pool_labels": labels} if isinstance(way.terms, RedrawnRR) else {}
        release = Ledger(labels).release(way.terms, generator=generator, **pool)
        shown = release.shown(second, second) if way.moves else second
        return replace(
            self.own, first=release.shown(first, first).cpu(), second=shown.cpu(), labels={}
        )

    def measured(self, way: Way, pairs: Pairs) -> dict[str, float]:
        """Shares of released ``pairs``, by name.

        Their image 1 is the record's own (``own``); both show one shape (``agree``); they follow M
        (``follow``); image 2 tells the record's private label, by the rules of the world (``row``).
        """
        first, second = (self._labels[side] for side in (pairs.first, pairs.second))
        follows = self.world.mapping[first[:, 1]] == second[:, 2]
        told = {
            "shape": second[:, 0],
            "texture": self.world.mapping.argsort()[second[:, 2]],
        }[way.private]
        found = {
            "own": pairs.first == self.own.first,
            "agree": first[:, 0] == second[:, 0],
            "follow": follows,
            "row": told == self.label(way),
        }
        return {name: x.double().mean().item() for name, x in found.items()}

    def exact(self, way: Way) -> dict[str, float]:
        """Expected shares of a release as in :meth:`measured`, and bits that are left in a pair.

        ``bits_shape`` is what the shapes of both images tell about each other, ``bits_map`` what
        texture 1 and colour 2 do. (``own`` counts no own image that is drawn by chance.)
        """
        classes = {"shape": self._shape1, "texture": self._texture}[way.private]
        law = pairs_law(self.joint, classes, way.terms)
        shapes = encode(law, self._shape1, self._shape2)
        rule = encode(law, self._texture, self._color)
        kept = 0.0 if isinstance(way.terms, RedrawnRR) else 1 - way.terms.noise_image
        return {
            "own": kept,
            "agree": shapes.diagonal().sum().item(),
            "follow": rule[torch.arange(len(rule)), self.world.mapping].sum().item(),
            "bits_shape": max(0.0, mutual_information(shapes)),
            "bits_map": max(0.0, mutual_information(rule)),
        }


@torch.no_grad()
def pairing(study: PairStudy, model: nn.Module) -> dict[str, float]:
    """How well the cosine of two test images' own vectors tells a pair: areas under ROC (%).

    ``shape``: pairs of one shape from others, among those that follow M; ``map``: pairs that follow
    M from others, among those of one shape. The vectors are those that ``model``, Cross or CoMM,
    is trained to align: of image 1 alone and of image 2 alone, by heads that work as in training
    (:func:`mmlib.methods.by_batch`). Nothing is fitted.
    """
    images, (shape, texture, color) = study.images["test"], study.labels["test"].T
    given = head_inputs(model, [images, images])  # of CoMM, of both together, too
    z1, z2, *_ = (normalize(by_batch(head, x).float()) for head, x in given)
    cosine = (z1 @ z2.T).cpu()
    same = shape[:, None] == shape
    follows = study.world.mapping[texture][:, None] == color
    return {
        "shape": roc_auc(cosine[follows], same[follows].long()),
        "map": roc_auc(cosine[same], follows[same].long()),
    }
