"""The study that the Trifeature chapters share."""

import copy
import functools
import itertools
from dataclasses import replace

import pytest
import torch
from sklearn.decomposition import PCA

from mmlib.data import trifeature
from mmlib.evaluate.probe import PROBES
from mmlib.fusion import PooledFusion
from mmlib.presets.base import resolve
from mmlib.studies import pairs as pair_study
from mmlib.studies.pairs import PairStudy, halves_multiplied, products
from mmlib.train import EpochSampler, Optim


def study(**changes):
    return PairStudy(resolve("comm", {"preset": "smoke", **changes}), torch.device("cpu"))


@pytest.fixture(scope="module", autouse=True)
def each_world_is_rendered_once():
    """To render worlds takes longest, and nothing here changes one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trifeature, "load", functools.cache(trifeature.load))
        yield


@pytest.fixture(scope="module")
def first():
    return study()


class Recorder(torch.nn.Module):
    """A model whose loss notes what it is given."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen = []

    def loss(self, batch, generator):
        self.seen.append(batch)
        return {"loss": self.weight.sum()}


class Shown(torch.nn.Module):
    """Gives its batch back: what came in."""

    def embed(self, batch):
        return torch.cat([x.flatten(1).float() for x in batch], dim=1)


def test_biased_pairs_follow_the_map_and_free_ones_do_not_know_it(first):
    assert first.training_pairs[True].labels["S"].all()
    assert 0 < first.training_pairs[False].labels["S"].double().mean() < 1
    for pairs in first.probe_pairs.values():
        assert 0 < pairs.labels["S"].double().mean() < 1


def test_the_world_and_its_pairs_are_as_large_as_the_settings_say():
    it = study(train_renderings=4, test_renderings=3, train_pairs=40, probe_pairs=30)
    for split, renderings in {"train": 4, "test": 3}.items():
        combinations = it.labels[split].unique(dim=0)
        assert len(it.images[split]) == renderings * len(combinations)
        assert len(it.probe_pairs[split]) == 30
    assert len(it.training_pairs[False]) == 40


def test_no_pair_shows_one_texture_twice_where_that_is_asked(first):
    apart = study(same_texture=False)
    for it, expected in ((first, True), (apart, False)):
        found = [*it.training_pairs.values(), *it.probe_pairs.values()]
        assert [bool((p.labels["U1"] == p.labels["U2"]).any()) for p in found] == [expected] * 4


def test_models_are_of_other_settings_and_parts_where_asked(first):
    wide = first.cfg.model_copy(update={"width": 32})
    assert first.untrained("comm", cfg=wide).fusion.width == 32
    assert isinstance(first.untrained("comm", fusion="linear").fusion, PooledFusion)


def test_a_supervised_method_is_told_the_labels_that_are_probed(first):
    labels = first.training_pairs[False].labels
    assert torch.equal(first.classes(of_synergy=True), labels["S"])
    others = list(zip(*(labels[task].tolist() for task in ("R", "U1", "U2")), strict=True))
    numbers = first.classes(of_synergy=False).tolist()
    assert len({*zip(numbers, others, strict=True)}) == len({*numbers}) == len({*others}) > 3


def test_no_image_and_no_combination_of_the_test_is_trained_on(first):
    trained, probed = (
        {tuple(row) for row in first.labels[split].tolist()} for split in ("train", "test")
    )
    assert not trained & probed
    for pairs in first.training_pairs.values():
        assert max(pairs.first.max(), pairs.second.max()) < len(first.images["train"])


def test_seeds_draw_the_probe_but_not_the_training(first):
    other = study(seed=1)
    for biased in (False, True):
        assert torch.equal(first.training_pairs[biased].first, other.training_pairs[biased].first)
    assert not torch.equal(first.probe_pairs["train"].first, other.probe_pairs["train"].first)


def test_training_gives_whole_pairs_with_their_labels_in_the_seeds_order(first):
    def seen(biased, labelled):
        model = Recorder()
        history = first.train(
            model, 3, biased=biased, labelled=labelled,
            generator=torch.Generator().manual_seed(0), name="x",
        )  # fmt: skip
        assert history[-1]["step"] == 3
        return model.seen

    for biased, labelled in itertools.product((False, True), repeat=2):
        pairs = first.training_pairs[biased and not labelled]  # biased ones have one class
        size = min(first.cfg.batch_size, len(pairs))
        order = EpochSampler(len(pairs), size, seed=first.cfg.seed, drop_last=False, device="cpu")
        batches = seen(biased, labelled)
        for step, batch in enumerate(batches):
            rows = order(step)
            assert torch.equal(batch[0], first.images["train"][pairs.first[rows]])
            assert torch.equal(batch[1], first.images["train"][pairs.second[rows]])
            assert len(batch) == 2 + labelled
            if labelled:
                assert torch.equal(batch[2], first.classes(of_synergy=biased)[rows])


def test_training_is_optimised_as_the_settings_say_in_an_order_of_the_seed(first, monkeypatch):
    seen, asked = [], {"learning_rate": 2e-3, "weight_decay": 0.3, "precision": "bfloat16"}

    def fit(model, loss, optim, sampler, **_):
        seen.append((optim, sampler.seed))

    monkeypatch.setattr(pair_study, "fit", fit)
    other = copy.copy(first)
    other.cfg = first.cfg.model_copy(update=asked | {"seed": 3})
    other.train(Recorder(), 5, biased=False, generator=torch.Generator(), name="x")
    assert seen == [(Optim(5, **asked), 3)]


def test_an_epoch_has_every_pair_also_those_of_an_incomplete_batch(first):
    """As released: of 10,000 pairs the last batch of 64 has 16."""
    model, n = Recorder(), len(first.training_pairs[False])
    whole, rest = divmod(n, 24)
    assert rest
    odd = copy.copy(first)
    odd.cfg = first.cfg.model_copy(update={"batch_size": 24})
    odd.train(model, whole + 1, biased=False, generator=torch.Generator().manual_seed(0), name="x")
    assert [len(x) for x, _ in model.seen] == [24] * whole + [rest]


def test_embeddings_are_the_models_own(first):
    model = first.untrained("comm").eval()
    pairs = first.probe_pairs["test"]
    batch = [first.images["test"][side] for side in (pairs.first, pairs.second)]
    with torch.no_grad():
        torch.testing.assert_close(first.embed(model, "test"), model.embed(batch))


def test_crops_are_drawn_anew_for_each_pair_and_only_where_asked(first):
    pairs = first.probe_pairs["test"]
    whole = torch.cat(
        [first.images["test"][side].flatten(1) for side in (pairs.first, pairs.second)], 1
    )
    cropped, again, other = (
        first.embed(Shown(), "test", crops=torch.Generator().manual_seed(seed))
        for seed in (0, 0, 1)
    )
    assert cropped.shape == whole.shape
    assert not torch.equal(cropped, whole.float())
    assert torch.equal(cropped, again)
    assert not torch.equal(cropped, other)
    twice = pairs.first == pairs.first.mode().values  # one image, in many pairs
    assert len(cropped[twice, : whole.shape[1] // 2].unique(dim=0)) > 1
    few = replace(pairs, first=pairs.first[:3], second=pairs.second[:3])
    model = first.untrained("comm")
    torch.testing.assert_close(
        first.embed(model, "test", pairs=few), first.embed(model, "test")[:3]
    )


def test_crops_show_half_of_an_image_or_more(first):
    """Levels rise from left to right in one channel and downward in another."""
    other, size = copy.copy(first), first.cfg.image_size
    levels = torch.linspace(0, 255, size).round().byte()
    image = torch.zeros(3, size, size, dtype=torch.uint8)
    image[0], image[1] = levels, levels[:, None]
    other.images = {"test": image.expand_as(first.images["test"])}
    seen = other.embed(Shown(), "test", crops=torch.Generator().manual_seed(0))
    seen = seen.view(-1, 3, size * size)[:, :2]
    share = (seen.amax(dim=2) - seen.amin(dim=2)).prod(dim=1)
    assert 0.4 < share.min() < 0.6  # sides are whole pixels


def test_the_oracle_decides_synergy_by_its_product_only(first):
    follows = {split: pairs.labels["S"] for split, pairs in first.probe_pairs.items()}
    for split, known in follows.items():
        texture, color = first.oracle(split)
        partner = first.world.mapping[texture.argmax(1)]
        assert torch.equal((partner == color.argmax(1)).long(), known)
    wide = study(textures=("stripes", "dots", "pluses"), colors=("yellow", "white", "red"))
    known = {split: wide.oracle(split) for split in wide.probe_pairs}
    scores = [
        wide.probe(
            {split: join(pair) for split, pair in known.items()}, ["S"],
            generator=torch.Generator().manual_seed(0), **PROBES[penalty],
        )["test"].score("synergy")
        for join in (lambda pair: torch.cat(pair, 1), lambda pair: products(*pair))
        for penalty in PROBES
    ]  # fmt: skip
    assert max(scores[:2]) < 70
    assert scores[2:] == [100, 100]


def test_halves_are_reduced_by_the_training_pairs_and_multiplied():
    draw = torch.Generator().manual_seed(0)
    features = {
        split: torch.randn(n, 40, generator=draw, dtype=torch.float64)
        for split, n in (("train", 60), ("test", 7))
    }
    found = halves_multiplied(features)
    reduced = []
    for half in (slice(0, 20), slice(20, 40)):
        fitted = PCA(16, svd_solver="full").fit(features["train"][:, half].numpy())
        scale = fitted.transform(features["train"][:, half].numpy()).std(0, ddof=1)
        reduced.append(fitted.transform(features["test"][:, half].numpy()) / scale)
    expected = (reduced[0][:, :, None] * reduced[1][:, None]).reshape(7, 256)
    # a direction's sign is free, so a product's is
    torch.testing.assert_close(found["test"].abs(), torch.tensor(expected).abs())


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_a_probe_is_fitted_on_training_pairs_alone_and_answers_for_every_split():
    held = PairStudy(
        resolve("comm", {"preset": "smoke", "textures": ("stripes", "dots", "pluses"),
                         "colors": ("yellow", "white", "red")}),
        torch.device("cpu"), validation=0.25,
    )  # fmt: skip
    codes = {
        split: torch.nn.functional.one_hot(pairs.labels["R"]).float()
        for split, pairs in held.probe_pairs.items()
    }
    mixed = codes | {"test": 1 - codes["test"]}  # other shapes than those fitted
    generator = seeded()
    before = generator.get_state()
    told = held.probe(mixed, ["R", "U1"], generator=generator)
    assert [told[split].score("redundancy") for split in ("train", "val", "test")] == [100, 100, 0]
    assert torch.equal(generator.get_state(), before)
    alone = held.probe(mixed, ["U1"], generator=seeded())  # tasks share no draw
    assert torch.equal(alone["test"].logits["U1"], told["test"].logits["U1"])
    shy = held.probe(codes, ["R"], generator=seeded(), strengths=[1e-6])["test"].logits["R"]
    assert shy.softmax(1).std(dim=0).max() < 0.01  # a penalty that leaves the shares of classes
    twisted = {  # labels of another task's name, and of other splits than "train" turned round
        split: replace(p, labels={"S": (p.labels["R"] == 0).long()})
        for split, p in held.probe_pairs.items()
    }
    for split in ("val", "test"):
        twisted[split].labels["S"] = 1 - twisted[split].labels["S"]
    told = held.probe(codes, ["S"], generator=seeded(), pairs=twisted)
    assert [told[split].score("synergy") for split in ("train", "val", "test")] == [100, 0, 0]
    assert torch.equal(
        told["test"].logits["S"],
        held.probe(codes, ["S"], generator=seeded(), pairs=twisted)["test"].logits["S"],
    )


def test_pairs_follow_the_map_they_are_asked_for(first):
    own = first.following(first.world.mapping)
    other = first.following(first.world.mapping.roll(1))
    for split, pairs in first.probe_pairs.items():
        assert torch.equal(own[split].labels["S"], pairs.labels["S"])
        assert torch.equal(other[split].first, pairs.first)
        assert torch.equal(other[split].labels["R"], pairs.labels["R"])
        assert other[split].labels["S"].any()
        assert not (other[split].labels["S"] * pairs.labels["S"]).any()


def test_validation_takes_combinations_from_training_and_from_the_probes_fit(first):
    wide = {"textures": ("stripes", "dots", "pluses"), "colors": ("yellow", "white", "red")}
    settings = resolve("comm", {"preset": "smoke", **wide})
    whole, held = (
        PairStudy(settings, torch.device("cpu"), validation=share) for share in (None, 0.25)
    )
    seen = {
        split: {tuple(labels[k].tolist()) for side in (pairs.first, pairs.second) for k in side}
        for split, pairs in held.probe_pairs.items()
        for labels in (held.labels[split],)
    }
    assert seen.keys() == {"train", "test", "val"}
    assert not seen["val"] & (seen["train"] | seen["test"])
    for pairs in held.training_pairs.values():
        trained = {tuple(held.labels["train"][k].tolist()) for k in (*pairs.first, *pairs.second)}
        assert trained
        assert not trained & seen["val"]
    split = [set(map(tuple, held.labels[part].tolist())) for part in ("train", "val")]
    assert split[0] | split[1] == set(map(tuple, whole.labels["train"].tolist()))
    assert "val" not in whole.probe_pairs
    assert torch.equal(held.images["test"], whole.images["test"])
    again = PairStudy(settings.model_copy(update={"seed": 5}), torch.device("cpu"), validation=0.25)
    assert torch.equal(again.labels["val"], held.labels["val"])  # the seed holds out nothing else


@pytest.mark.parametrize("crops", [False, True])
def test_embeddings_have_the_precision_of_training_and_are_given_as_float32(crops):
    found = {}
    for precision in ("float32", "bfloat16"):
        it = study(precision=precision)
        torch.manual_seed(0)
        model = it.untrained("comm")
        generator = torch.Generator().manual_seed(0) if crops else None
        found[precision] = it.embed(model, "test", crops=generator)
    exact, rounded = found["float32"], found["bfloat16"]
    assert rounded.dtype == torch.float32
    assert 0 < (rounded - exact).norm() / exact.norm() < 0.03


def test_pairs_that_are_given_are_trained_on_in_place_of_the_study_s_own(first):
    own, model = first.training_pairs[True], Recorder()
    given = replace(own, first=torch.full_like(own.first, 3), second=torch.full_like(own.second, 5))
    g = torch.Generator().manual_seed(0)
    first.train(model, 2, biased=True, generator=g, name="", pairs=given)
    for batch in model.seen:
        for side, place in zip(batch, (3, 5), strict=True):
            assert (side == first.images["train"][place]).all()
