"""Releases cost what their terms say, add up, say why no bound holds, and hide what is private."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mmlib.label_dp.accounting import epsilon_of
from mmlib.label_dp.bounds import mismatch_cost
from mmlib.label_dp.exact import class_images, double_rr_law, renyi_divergence
from mmlib.label_dp.release import TEACHING, Ledger, total_cost
from mmlib.label_dp.terms import CoupledRR, DoubleRR, LabelRR
from mmlib.label_dp.terms_variants import Anchored, Laplace, NoisyQuery, PriorRR, TwoStageRR

K, ONE, TWO = 286, 0.6598779, 0.9623725  # lambda of one and of two responses at epsilon 5


def double(**changes):
    values = {"n_classes": K, "noise_label": TWO, "noise_image": TWO, "pools": "given"}
    return DoubleRR(**(values | {"divergence": 0.0} | changes))


def near(floor, k, **changes):
    return double(neighbours=k, floor=floor, largest_pool=1980, **changes)


# --- costs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("terms", "standard", "population"),
    [
        (LabelRR(n_classes=K, noise=ONE), 5, math.inf),
        (double(), 2.5, 5),
        (double(noise_label=ONE), 5, 7.5),  # unequal coins
        (double(divergence=math.inf), 2.5, math.inf),
        (double(divergence=math.inf, noise_image=1.0), 2.5, 2.5),  # no image is kept
        (double(divergence=1.0), 2.5, 2.5 + mismatch_cost(TWO, K, 1.0)),
        (double(pools="released"), 2.5, math.inf),
        (double(pools="records"), math.inf, math.inf),
        (double(table="moves"), 2.5, 5),
        (double(table="stays"), 2.5, math.inf),
        (near(0.0, 10), 2.5, math.inf),
        (near(0.0, 10, pools="records"), math.inf, math.inf),
        (near(0.0, 1980), 2.5, 5),  # the whole pool
        (near(0.2, 10), 2.5, 9.24),
        (near(0.5, 10), 2.5, 7.90),
        (near(0.2, 50), 2.5, 7.87),
        (near(1.0, 10), 2.5, 5),
        (near(0.2, 10, divergence=0.1), 2.5, math.inf),
        (near(0.2, 10, pools="records"), math.inf, math.inf),
        (CoupledRR(n_classes=K, noise=ONE, divergence=0.0), math.inf, 5),
        (CoupledRR(n_classes=K, noise=ONE), math.inf, math.inf),
        (CoupledRR(n_classes=K, noise=1.0), 0, 0),
        (Anchored(n_classes=K, noise=ONE, neighbours=3), 5, 5),
        (NoisyQuery(n_classes=K, noise=ONE, neighbours=3, clip=1, sigma=1), 5, math.inf),
        (PriorRR(n_classes=K, epsilon=5.0), 5, math.inf),
        (TwoStageRR(n_classes=K, epsilon=5.0), 5, math.inf),
        (Laplace(n_classes=K, epsilon=5.0), 5, math.inf),
    ],
)
def test_pure_cost_under_each_notion_and_a_reason(terms, standard, population):
    for notion, cost in (("standard", standard), ("population", population)):
        found = terms.cost(notion)
        assert found.epsilon == pytest.approx(cost, abs=5e-3)
        assert len(found.reason) > 20
        assert found.order == math.inf
        for order in (1.0, 2.0, 8.0):  # orders only help, or cannot either
            assert terms.cost(notion, order).epsilon <= found.epsilon + 1e-12


def test_reasons_differ_where_the_bound_is_another_or_lost_for_another_cause():
    lost = [
        LabelRR(n_classes=K, noise=ONE), double(table="stays"), double(pools="released"),
        double(pools="records"), double(divergence=math.inf), near(0.0, 10),
        near(0.2, 10, divergence=0.1), NoisyQuery(n_classes=K, noise=ONE, neighbours=3, clip=1,
        sigma=1),
    ]  # fmt: skip
    reasons = {terms.cost("population").reason for terms in lost}
    assert len(reasons) == len(lost)
    assert "near" in near(0.0, 10).cost("population").reason
    known = [double(), double(pools="records"), near(0.0, 10, pools="records")]
    reasons |= {terms.cost("standard").reason for terms in known}
    reasons |= {double().cost("population").reason}
    assert len(reasons) == len(lost) + len(known)  # the pools' own is the same for both notions


def test_the_theorem_holds_for_pools_that_are_the_classes_and_for_no_smaller_ones():
    """In a world of two classes of two images: the laws themselves, not a bound."""
    images = class_images(torch.tensor([0, 0, 1, 1]), 2)
    smaller = torch.eye(4, dtype=torch.float64)[[1, 3]]  # a public image of each class
    terms = DoubleRR(n_classes=2, noise_label=0.5, noise_image=0.5, pools="given")
    for draws, divergence in ((images, 0.0), (smaller, math.inf)):
        law = double_rr_law(images, 0.5, draws[:, None].expand(-1, 4, -1))
        for order in (2.0, math.inf):
            exact = renyi_divergence(law[0], law[1], order)
            cost = dataclasses.replace(terms, divergence=divergence).cost("population", order)
            assert cost.epsilon == pytest.approx(exact), (divergence, order)
    assert terms.cost("population").epsilon == math.inf  # unless it is said, no pool is a class


def test_terms_are_frozen_and_checked():
    with pytest.raises(dataclasses.FrozenInstanceError):
        double().noise_image = 0.0
    for wrong, message in (
        ({"pools": "public"}, "pools is 'public'; allowed"),
        ({"table": "away"}, "table is 'away'; allowed"),
        ({"largest_pool": 3}, "largest_pool needs neighbours"),
        ({"neighbours": 3, "floor": 0.2}, "floor needs neighbours and largest_pool"),
        ({"neighbours": 0}, "neighbours is 0"),
        ({"n_classes": 1}, "n_classes is 1; allowed"),
    ):
        with pytest.raises(ValueError, match=message):
            double(**wrong)
    with pytest.raises(ValueError, match="notion is 'local'"):
        double().cost("local")


# --- sums ----------------------------------------------------------------------------------------


def labels_of(n=1000, n_classes=7, seed=0):
    return torch.randint(n_classes, (n,), generator=torch.Generator().manual_seed(seed))


def test_a_second_release_must_be_asked_for_and_adds():
    ledger = Ledger(labels_of())
    terms = LabelRR(n_classes=7, noise=0.5)
    first = ledger.release(terms)
    with pytest.raises(ValueError, match="released already, 1 time; to pay"):
        ledger.release(terms)
    assert ledger.total("standard") == first.total("standard")  # nothing drawn, nothing paid
    second = ledger.release(dataclasses.replace(terms, noise=0.9), again=True)
    third = ledger.release(terms, again=True)
    for order in (1.0, 2.0, math.inf):
        costs = [epsilon_of(noise, 7, order=order) for noise in (0.5, 0.9, 0.5)]
        for release, n in ((first, 1), (second, 2), (third, 3)):
            assert release.total("standard", order=order).epsilon == pytest.approx(sum(costs[:n]))
            assert release.cost("standard", order).epsilon == pytest.approx(costs[n - 1])
    assert not torch.equal(first.labels, third.labels)
    assert third.earlier == (first.terms, second.terms)
    assert ledger.total("standard") == third.total("standard")
    assert ledger.total("population").epsilon == math.inf


def test_sums_and_deltas_are_googles():
    dp = pytest.importorskip("dp_accounting")
    from dp_accounting.rdp.rdp_privacy_accountant import RdpAccountant

    from mmlib.label_dp.release import _ORDERS

    terms = (double(), NoisyQuery(n_classes=K, noise=0.9, neighbours=3, clip=1.0, sigma=3.0))
    accountant = RdpAccountant(_ORDERS, dp.NeighboringRelation.REPLACE_ONE)
    for noise in (TWO, TWO, 0.9):
        accountant.compose(dp.dp_event.RandomizedResponseDpEvent(noise, K))
    gaussian = RdpAccountant(_ORDERS)
    gaussian.compose(dp.dp_event.GaussianDpEvent(3.0 / 2))  # two features differ by 2
    rdp = accountant._rdp + gaussian._rdp
    for order, theirs in zip(_ORDERS[::7], rdp[::7], strict=True):
        ours = total_cost(terms, "population", order=order).epsilon
        assert ours == pytest.approx(theirs, rel=1e-9)
    accountant._rdp = rdp
    for delta in (1e-6, 1e-3):
        ours = total_cost(terms, "population", delta=delta)
        assert ours.delta == delta
        assert ours.epsilon == pytest.approx(accountant.get_epsilon(delta), rel=1e-9)
    assert total_cost(terms, "population").epsilon == math.inf
    # A delta never costs: randomized response has its pure bound beside it.
    assert total_cost((double(),), "population", delta=1e-9).epsilon <= 5.0 + 1e-5


# --- draws ---------------------------------------------------------------------------------------


def test_coins_of_the_system_or_of_a_seed_which_says_it_is_no_release():
    terms = LabelRR(n_classes=7, noise=0.8)

    def draw(generator=None):
        return Ledger(labels_of()).release(terms, generator=generator)

    seeded = [draw(torch.Generator().manual_seed(3)) for _ in range(2)]
    real = [draw() for _ in range(2)]
    assert torch.equal(seeded[0].labels, seeded[1].labels)
    assert not torch.equal(real[0].labels, real[1].labels)
    assert [r.teaching for r in seeded + real] == [True, True, False, False]
    assert seeded[0].card()["teaching"] == TEACHING
    kept = (real[0].labels == labels_of()).double().mean().item()
    assert kept == pytest.approx(0.2 + 0.8 / 7, abs=0.07)


def test_labels_changed_outside_change_no_release():
    labels = labels_of()
    ledger = Ledger(labels)
    labels.zero_()
    assert ledger.release(LabelRR(n_classes=7, noise=1e-9)).labels.unique().numel() == 7


def test_every_mechanism_draws_through_the_ledger():
    g = torch.Generator().manual_seed(0)
    labels, features = labels_of(300), torch.randn(300, 4, generator=g)
    pool, places = labels_of(80, seed=1), torch.randn(80, 4, generator=g)
    public = {"pool_labels": pool, "pool_features": places}
    two = {"n_classes": 7, "noise_label": 0.5, "noise_image": 0.5}
    knn = {"neighbours": 3, "largest_pool": 80}
    for terms, options in (
        (LabelRR(n_classes=7, noise=0.5), {}),
        (DoubleRR(**two, pools="records"), {}),
        (DoubleRR(**two, pools="released"), {}),
        (DoubleRR(**two, pools="given"), {"pool_labels": pool}),
        (DoubleRR(**two, pools="given", floor=0.3, **knn), {"features": features, **public}),
        (CoupledRR(n_classes=7, noise=0.5), {"pool_labels": pool}),
        (
            Anchored(n_classes=7, noise=0.5, neighbours=2),
            {"anchors": torch.randn(7, 4, generator=g), **public},
        ),
        (
            NoisyQuery(n_classes=7, noise=0.5, neighbours=2, clip=1.0, sigma=1.0),
            {"features": features, **public},
        ),
        (PriorRR(n_classes=7, epsilon=2.0), {"prior": torch.ones(7) / 7}),
        (
            TwoStageRR(n_classes=7, epsilon=2.0),
            {"first": torch.arange(300) < 200, "predict": lambda r: torch.ones(100, 7) / 7},
        ),
        (Laplace(n_classes=7, epsilon=2.0), {}),
    ):
        release = Ledger(labels).release(terms, generator=g, **options)
        assert len(release.labels) == 300
        assert release.labels.shape[1:] == ((7,) if isinstance(terms, Laplace) else ())
        pooled = "pool_labels" in options
        if release.source is None:
            assert not pooled
            continue
        assert release.source.min() >= 0
        assert release.source.max() < 300 + 80 * pooled
        own = release.source < 300
        assert torch.equal(release.source[own], torch.arange(300)[own]) == pooled
        if pooled:
            shown = release.shown(features, places)
            assert torch.equal(shown[own], features[own])
            assert torch.equal(shown[~own], places[release.source[~own] - 300])
            classes = pool[release.source[~own] - 300]
            if isinstance(terms, DoubleRR):  # every class about equally often, whatever the label
                assert classes.bincount(minlength=7).min() > 5
            else:
                assert torch.equal(classes, release.labels[~own])
        else:
            assert torch.equal(release.shown(features), features[release.source])


def test_given_pools_do_not_look_at_labels():
    def draw(labels):
        return Ledger(labels).release(
            DoubleRR(n_classes=7, noise_label=0.5, noise_image=0.5, pools="given"),
            generator=torch.Generator().manual_seed(5), pool_labels=labels_of(80, seed=1),
        )  # fmt: skip

    assert torch.equal(draw(labels_of()).source, draw(labels_of(seed=9)).source)


def test_a_pool_larger_than_the_terms_say_is_refused():
    terms = DoubleRR(n_classes=7, noise_label=0.5, noise_image=0.5, pools="records", neighbours=3,
                     floor=0.2, largest_pool=50)  # fmt: skip
    with pytest.raises(ValueError, match="size of the largest pool is 1"):
        Ledger(labels_of()).release(terms, features=torch.zeros(1000, 2))
    with pytest.raises(ValueError, match="pool_labels go with 'given'"):
        Ledger(labels_of()).release(terms, pool_labels=labels_of())


# --- what others see -----------------------------------------------------------------------------


def encodings(values):
    return [np.asarray(values, dtype=t).tobytes() for t in "u1 i1 <i2 >i2 <i4 >i4 <i8 >i8".split()]


@pytest.mark.parametrize("noise", [0.3, 0.9])
def test_what_is_saved_holds_no_seed_no_true_label_and_no_index_map(tmp_path, noise):
    seed = 8_243_721_069_517_283_641
    n = 120
    labels = labels_of(n, seed=2)
    images = torch.randint(256, (n, 3, 4, 4), generator=torch.Generator().manual_seed(1)).byte()
    table = torch.randn(n, 5, generator=torch.Generator().manual_seed(1))
    release = Ledger(labels).release(
        DoubleRR(n_classes=7, noise_label=noise, noise_image=noise, pools="records",
                 table="moves"),
        generator=torch.Generator().manual_seed(seed),
    )  # fmt: skip
    release.save(tmp_path / "out", moves={"images": images, "table": table})
    written = b"".join(path.read_bytes() for path in sorted((tmp_path / "out").iterdir()))
    bare = b"".join(written.split())  # however a list is set
    assert encodings(release.labels)[6] in written  # the search finds what is there
    for secret in (labels, release.source, (release.source == torch.arange(n)).long()):
        for found in encodings(secret):
            assert found not in written
        # nor a piece of it, long enough not to be there by chance
        moved = (secret != release.labels).nonzero().flatten().tolist()
        for start in moved:
            piece = secret[start : start + 24]
            if len(piece) == 24:
                assert not any(code in written for code in encodings(piece))
        assert ",".join(map(str, secret.tolist())).encode() not in bare
    state = torch.Generator().manual_seed(seed).get_state().numpy().tobytes()
    for found in (*(seed.to_bytes(8, e) for e in ("little", "big")), str(seed).encode(), b"seed\"",
                  hex(seed)[2:].encode(), state[:64]):  # fmt: skip
        assert found not in written
    data = load_file(tmp_path / "out" / "data.safetensors")
    assert set(data) == {"labels", "images", "table"}
    assert torch.equal(data["images"], images[release.source])
    assert torch.equal(data["table"], table[release.source])
    assert "source" not in repr(release)
    assert "tensor" not in repr(release)


def test_the_card_says_what_was_drawn_what_it_costs_and_why(tmp_path):
    ledger = Ledger(labels_of())
    ledger.release(LabelRR(n_classes=7, noise=0.5))
    release = ledger.release(
        DoubleRR(n_classes=7, noise_label=0.5, noise_image=0.6, pools="released", neighbours=3,
                 floor=0.25, largest_pool=400, table="stays"),
        again=True, features=torch.randn(1000, 2),
    )  # fmt: skip
    release.save(tmp_path / "out", stays={"table": torch.zeros(1000, 2)}, delta=1e-5)
    card = json.loads(
        (tmp_path / "out" / "card.json").read_text(), parse_constant=lambda c: pytest.fail(c)
    )
    assert card["teaching"] is False
    assert card["records"] == 1000
    assert card["terms"] == {
        "mechanism": "double randomized response", "n_classes": 7, "table": "stays",
        "noise_label": 0.5, "noise_image": 0.6, "pools": "released", "neighbours": 3,
        "floor": 0.25, "largest_pool": 400, "divergence": "infinite",
    }  # fmt: skip
    assert [terms["mechanism"] for terms in card["earlier"]] == ["label randomized response"]
    assert card["this release"]["standard"]["epsilon"] == pytest.approx(epsilon_of(0.5, 7))
    assert card["this release"]["population"]["epsilon"] == "infinite"
    assert "table" in card["this release"]["population"]["reason"]
    total = card["total"]["standard"]
    assert total["epsilon"] <= 2 * epsilon_of(0.5, 7)
    assert total["delta"] == 1e-5
    assert set(card["adjacency"]) == {"standard", "population"}


def test_what_is_drawn_is_written_once_and_a_table_stays_only_if_the_terms_say_so(tmp_path):
    release = Ledger(labels_of()).release(
        DoubleRR(n_classes=7, noise_label=0.5, noise_image=0.6, pools="released")
    )
    release.save(tmp_path / "out")
    with pytest.raises(FileExistsError):
        release.save(tmp_path / "out")
    with pytest.raises(ValueError, match="table of the terms, with columns that stay is 'none'"):
        release.save(tmp_path / "two", stays={"table": torch.zeros(1000, 2)})
    assert not (tmp_path / "two").exists()


def test_no_column_takes_the_place_of_the_released_labels_or_of_another(tmp_path):
    """Whoever has the true labels among the columns would write them over the released ones."""
    release = Ledger(labels_of()).release(
        DoubleRR(n_classes=7, noise_label=0.5, noise_image=0.6, pools="released", table="stays")
    )
    own = {"labels": labels_of()}
    for columns in ({"moves": own}, {"stays": own}):
        with pytest.raises(ValueError, match="labels is written twice"):
            release.save(tmp_path / "out", **columns)
    table = {"table": torch.zeros(1000, 2)}
    with pytest.raises(ValueError, match="table is written twice"):
        release.save(tmp_path / "out", moves=table, stays=table)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("n", [999, 1001])
def test_a_column_has_a_row_for_each_record(tmp_path, n):
    """One row more, and an index into the public pool would show a private record."""
    release = Ledger(labels_of()).release(
        DoubleRR(n_classes=7, noise_label=0.5, noise_image=0.6, pools="given", table="stays"),
        pool_labels=labels_of(80),
    )
    for show in (
        lambda column: release.shown(column, column[:80]),
        lambda column: release.save(tmp_path / "out", stays={"table": column}),
    ):
        with pytest.raises(ValueError, match=rf"rows of a column is {n}; allowed: \[1000, 1000\]"):
            show(torch.zeros(n, 2))
    assert not (tmp_path / "out").exists()


def test_what_a_failing_second_stage_saw_of_the_first_is_paid_for():
    def curious(released):
        seen.append(released)
        raise RuntimeError("after a look")

    seen, ledger, terms = [], Ledger(labels_of()), TwoStageRR(n_classes=7, epsilon=1.0)
    with pytest.raises(RuntimeError, match="after a look"):
        ledger.release(terms, first=torch.arange(1000) < 500, predict=curious)
    assert len(seen[0]) == 500
    assert ledger.total("standard").epsilon == 1.0
    with pytest.raises(ValueError, match="released already, 1 time"):
        ledger.release(terms, first=torch.arange(1000) < 500, predict=curious)


@pytest.mark.parametrize("terms", [PriorRR, TwoStageRR, Laplace])
def test_no_mechanism_promises_less_than_nothing(terms):
    for epsilon in (-1.0, math.nan):
        with pytest.raises(ValueError, match=f"epsilon is {epsilon}"):
            terms(n_classes=3, epsilon=epsilon)
