"""Pairs as private records: what is shown of them, and what that leaves, drawn and exact."""

import pytest
import torch

from mmlib.evaluate.metrics import roc_auc
from mmlib.label_dp.accounting import epsilon_of
from mmlib.methods.fused import FusedEncoder
from mmlib.presets.base import resolve
from mmlib.studies.pairs import PairStudy
from mmlib.studies.private_pairs import PrivatePairs, pairing, ways

CFG = resolve(
    "private_information", {"preset": "smoke", "train_renderings": 8, "train_pairs": 3000}
)
WAYS = ways(CFG)


@pytest.fixture(scope="module")
def private():
    return PrivatePairs(PairStudy(CFG, torch.device("cpu")))


def test_every_way_costs_its_epsilon_by_two_responses():
    for name, way in WAYS.items():
        epsilon = {"none": float("inf")}.get(name, float(name.partition(".eps")[2] or CFG.epsilon))
        terms = way.terms
        assert terms.noise_label == terms.noise_image
        found = epsilon_of(terms.noise_image, terms.n_classes, responses=2)
        assert found == pytest.approx(epsilon, abs=1e-9)
    assert {f"double_rr.eps{e}" for e in (0, 1, 3, 5)} <= set(WAYS)  # of 0 nothing is left


@pytest.mark.parametrize("name", WAYS)
def test_shares_of_many_releases_are_the_exact_ones(private, name):
    way, g = WAYS[name], torch.Generator().manual_seed(1)
    draws = [private.measured(way, private.release(way, g)) for _ in range(40)]
    mean = {what: sum(d[what] for d in draws) / len(draws) for what in draws[0]}
    exact = private.exact(way)
    for what in ("agree", "follow"):
        assert mean[what] == pytest.approx(exact[what], abs=0.01)
    by_chance = 0.02 if way.terms.noise_image else 0  # of a class of some 60 images
    assert exact["own"] - 0.01 <= mean["own"] <= exact["own"] + 0.01 + by_chance
    # A row that stays gives the label away; one that moves is as private as a response.
    kept = 1 - way.terms.noise_image * (1 - 1 / way.terms.n_classes)
    assert mean["row"] == pytest.approx(kept if way.moves else 1, abs=0.01)


def test_a_row_that_stays_stays_and_one_that_moves_comes_with_its_own_image(private):
    own, g = private.own, torch.Generator().manual_seed(1)
    pairs = set(zip(own.first.tolist(), own.second.tolist(), strict=True))
    for name, way in WAYS.items():
        shown = private.release(way, g)
        assert torch.equal(shown.second, own.second) == (not way.moves)
        found = set(zip(shown.first.tolist(), shown.second.tolist(), strict=True))
        assert (found <= pairs) == (name in ("none", "moves"))
        assert not shown.labels


class Codes(torch.nn.Module):
    """Each image's own vector says its shape, and which texture its colour goes with, or M."""

    prepare = [lambda x, _: x] * 2

    def __init__(self, study, weights):
        super().__init__()
        shape, texture, color = study.labels["test"].T
        size = len(study.world.textures)
        of_texture = study.world.mapping.argsort()[color]
        vectors = [
            torch.cat([w * torch.eye(size)[x] for w, x in zip(weights, side, strict=True)], dim=1)
            for side in ((shape, texture), (shape, of_texture))
        ]
        self.encoders = [lambda _, vector=vector: vector for vector in vectors]
        self.projections = [torch.nn.Identity()] * 2


def test_cosines_tell_the_rule_that_vectors_hold_and_guess_the_other_one():
    study = PairStudy(CFG, torch.device("cpu"))
    for weights, told in (((1, 0), (100, 50)), ((0, 1), (50, 100)), ((1, 1), (100, 100))):
        assert tuple(pairing(study, Codes(study, weights)).values()) == told


def test_vectors_of_a_fused_model_are_of_either_image_alone_by_its_head_as_trained():
    study = PairStudy(CFG, torch.device("cpu"))
    model = study.untrained("comm")
    assert isinstance(model, FusedEncoder)
    images, (shape, texture, color) = study.images["test"], study.labels["test"].T
    with torch.no_grad():
        model.head(4 + 3 * torch.randn(200, CFG.width))  # its running statistics: of no image
        model.eval()
        alone = ((images, None), (True, False)), ((None, images), (False, True))
        embedded = [model.embed(batch, mask) for batch, mask in alone]
        model.head.train()
        z = [torch.nn.functional.normalize(model.head(x), dim=1) for x in embedded]
    first, second = torch.cartesian_prod(torch.arange(len(shape)), torch.arange(len(shape))).T
    same = shape[first] == shape[second]
    follows = study.world.mapping[texture[first]] == color[second]
    cosine = (z[0][first] * z[1][second]).sum(1)
    found = pairing(study, model)
    assert found["shape"] == pytest.approx(roc_auc(cosine[follows], same[follows].long()), abs=0.1)
    assert found["map"] == pytest.approx(roc_auc(cosine[same], follows[same].long()), abs=0.1)
