import math

import pytest
import torch
from sklearn.metrics import roc_curve
from torch.nn.functional import cosine_similarity

from mmlib.evaluate.features import head_inputs
from mmlib.evaluate.membership import attacks, pair_fit, true_positive_rate
from mmlib.methods import by_batch
from mmlib.methods.modalities import build
from mmlib.presets.base import resolve
from mmlib.sets import load


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def by_hand(pairs, held, scale):
    """One record and one direction at a time."""
    fits = []
    for i in range(len(pairs[0])):
        both = []
        for own, partner, others in (
            (pairs[0][i], pairs[1][i], held[1]),
            (pairs[1][i], pairs[0][i], held[0]),
        ):
            beside = [partner, *others]
            logits = [scale * cosine_similarity(own, z, dim=0).item() for z in beside]
            both.append(logits[0] - math.log(sum(map(math.exp, logits))))
        fits.append(sum(both) / 2)
    return torch.tensor(fits)


def drawn(n, h, seed=0):
    return [
        tuple(torch.randn(k, 5, generator=seeded(seed + i + 2 * j)) for i in range(2))
        for j, k in enumerate((n, h))
    ]


def test_fit_is_the_log_chance_of_the_partner():
    pairs, held = drawn(9, 7)
    assert torch.allclose(pair_fit(pairs, held, scale=4.0), by_hand(pairs, held, 4.0), atol=1e-5)


def test_fit_is_symmetric_never_above_zero_and_heeds_no_length():
    pairs, held = drawn(9, 7)
    fit = pair_fit(pairs, held, scale=4.0)
    assert (fit < 0).all()
    assert torch.allclose(fit, pair_fit(pairs[::-1], held[::-1], scale=4.0))
    assert torch.allclose(fit, pair_fit((3 * pairs[0], pairs[1]), held, scale=4.0), atol=1e-5)


def test_a_partner_that_fits_every_vector_gains_nothing():
    """Where all held partners are the record's own, its chance is one in H + 1."""
    z = torch.ones(3, 5)
    fit = pair_fit((z, z), (z[:2], z[:2]), scale=10.0)
    assert torch.allclose(fit, torch.full((3,), -math.log(3)))


@pytest.mark.parametrize("at", [0, 1, 5, 10, 50, 100])
@pytest.mark.parametrize("ties", [False, True])
def test_rate_is_scikit_learns(at, ties):
    scores = torch.randn(500, generator=seeded())
    scores = scores.round(decimals=1) if ties else scores
    members = torch.randint(2, (500,), generator=seeded(1))
    alarms, found, _ = roc_curve(members, scores, drop_intermediate=False)
    expected = 100 * found[alarms <= at / 100 + 1e-12].max()
    assert true_positive_rate(scores, members, at) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("scores", "members", "message"),
    [
        ([0.0, math.nan], [0, 1], "nan"),
        ([0.0, 1.0], [1, 1], "0 and 1, both"),
        ([0.0, 1.0, 2.0], [0, 1], "members"),
    ],
)
def test_wrong_scores_are_named(scores, members, message):
    with pytest.raises(ValueError, match=message):
        true_positive_rate(torch.tensor(scores), torch.tensor(members), 1)


CFG = resolve("fused_leaks", {"preset": "smoke"})
SEES = {"cross": (0, 1), "cross_self": (0, 1), "comm": (0, 1), "alone": (1,)}


@pytest.fixture(scope="module")
def digits():
    return load("digits", size=8, words=10, length=8)


def scored(method, digits, **changes):
    seen = SEES[method]
    model = build(method, digits.modalities, CFG, seen=seen)
    inputs = [digits.test.inputs[k][:40] for k in seen]
    held = [digits.train.inputs[k][:30] for k in seen]
    options = {"draws": 2, "generator": seeded()} | changes
    return model, attacks(model, inputs, held, **options)


def test_each_method_has_the_attacks_that_its_vectors_allow(digits):
    names = {method: set(scored(method, digits)[1]) for method in SEES}
    assert names["cross"] == names["cross_self"] == {"pair", "running", "first", "second", "own"}
    assert names["comm"] == names["cross"] | {"masked", "views"}
    assert names["alone"] == {"own"}


@pytest.mark.parametrize("method", SEES)
def test_same_views_give_same_scores(method, digits):
    (_, one), (_, other) = scored(method, digits), scored(method, digits)
    for name, scores in one.items():
        assert scores.shape == (40,)
        assert torch.equal(scores, other[name])


def test_own_attack_weighs_the_terms_as_the_loss_does(digits):
    """With the full term alone CoMM asks for two views to fit, and nothing else."""
    model = build("comm", digits.modalities, CFG)
    model.weights = [0.0, 0.0, 1.0]
    inputs, held = digits.test.inputs, [x[:30] for x in digits.train.inputs]
    found = attacks(model, inputs, held, draws=1, generator=seeded())
    assert torch.allclose(found["own"], found["views"])
    model.weights = None
    assert not torch.allclose(
        attacks(model, inputs, held, draws=1, generator=seeded())["own"], found["views"], atol=1e-3
    )


def test_pair_fits_by_the_model_s_own_temperature(digits):
    model, found = scored("cross", digits)
    z1, z2 = model.embed([x[:40] for x in digits.test.inputs]).chunk(2, dim=1)
    held = model.embed([x[:30] for x in digits.train.inputs]).chunk(2, dim=1)
    expected = by_hand((z1, z2), held, model.scale.item())
    assert torch.allclose(found["pair"], expected, atol=1e-4)


@pytest.mark.parametrize("method", SEES)
def test_attacks_compare_the_vectors_that_they_are_named_by(method, digits):
    """Heads take the statistics of both parts together, and scores are means over draws."""
    model, found = scored(method, digits)
    both = [
        torch.cat([digits.test.inputs[k][:40], digits.train.inputs[k][:30]]) for k in SEES[method]
    ]

    def vectors(generator=None, through=by_batch):
        with torch.no_grad():
            found = [through(*given) for given in head_inputs(model, both, generator)]
        return list(zip(*(z.split([40, 30]) for z in found), strict=True))

    scale = model.scale if method == "cross" else 10  # the others' temperature is 0.1
    g, plain, running, drawn = seeded(), vectors(), vectors(through=lambda head, x: head(x)), []

    def fit(one, other, a, b):
        pairs, held = ((x[a], y[b]) for x, y in zip(one, other, strict=True))
        return pair_fit(pairs, held, scale=scale)

    for _ in range(2):
        one, other = vectors(g), vectors(g)
        same = [fit(one, other, k, k) for k in range(len(one[0]))]
        scores = dict(zip(("first", "second", "views"), same, strict=False))
        if method == "alone":
            scores = {"own": same[0]}
        elif method == "comm":
            ways = [fit(*way, k, 2) for way in ((one, other), (other, one)) for k in (0, 1)]
            scores["own"] = (sum(ways) / 2 + same[2]) / 3
        else:
            scores["own"] = fit(one, one, 0, 1) + (method == "cross_self") * sum(same) / 2
        drawn.append(scores)
    expected = {name: (drawn[0][name] + drawn[1][name]) / 2 for name in drawn[0]}
    if method != "alone":
        expected["pair"] = fit(plain, plain, 0, 1)
        expected["running"] = fit(running, running, 0, 1)
        assert torch.equal(found["pair"], found["running"]) == (method == "cross")  # no statistics
    if method == "comm":
        expected["masked"] = (fit(plain, plain, 0, 2) + fit(plain, plain, 1, 2)) / 2
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.allclose(found[name], value, atol=1e-5), name
