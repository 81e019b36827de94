"""The study that the Trifeature chapters share."""

import pytest
import torch

from mmlib.pair_study import PairStudy
from mmlib.presets.base import resolve


def study(**changes):
    return PairStudy(resolve("comm", {"preset": "smoke", **changes}), torch.device("cpu"))


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


def test_biased_pairs_follow_the_map_and_free_ones_do_not_know_it(first):
    assert first.training_pairs[True].labels["S"].all()
    assert 0 < first.training_pairs[False].labels["S"].double().mean() < 1
    for pairs in first.probe_pairs.values():
        assert 0 < pairs.labels["S"].double().mean() < 1


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
    labels = torch.arange(len(first.training_pairs[True]))
    models = [Recorder() for _ in range(2)]
    for model in models:
        history = first.train(
            model, 3, biased=True, generator=torch.Generator().manual_seed(0), name="x",
            labels=[labels],
        )  # fmt: skip
        assert history[-1]["step"] == 3
    pairs = first.training_pairs[True]
    for (x1, x2, rows), again in zip(*(m.seen for m in models), strict=True):
        assert torch.equal(x1, first.images["train"][pairs.first[rows]])
        assert torch.equal(x2, first.images["train"][pairs.second[rows]])
        assert torch.equal(rows, again[2])


def test_embeddings_are_the_models_own(first):
    model = first.untrained("comm").eval()
    pairs = first.probe_pairs["test"]
    batch = [first.images["test"][side] for side in (pairs.first, pairs.second)]
    with torch.no_grad():
        torch.testing.assert_close(first.embed(model, "test"), model.embed(batch))


def test_pairs_are_counted_as_they_are_drawn(first):
    for split in ("train", "test"):
        for biased in (False, True):
            drawn = first.world.pairs(split, None, biased=biased, seed=0)
            assert first.world.count(split, biased=biased) == len(drawn)


def test_a_probe_takes_a_task_or_labels_and_is_fitted_on_training_pairs(first):
    codes = {
        split: torch.nn.functional.one_hot(pairs.labels["R"]).float()
        for split, pairs in first.probe_pairs.items()
    }
    labels = {split: pairs.labels["R"] for split, pairs in first.probe_pairs.items()}
    for asked in ("R", labels):
        result = first.probe(codes, asked, generator=torch.Generator().manual_seed(0))
        assert result.balanced_accuracy == 100
    mixed = {"train": codes["train"], "test": 1 - codes["test"]}  # other shapes than those fitted
    result = first.probe(mixed, "R", generator=torch.Generator().manual_seed(0))
    assert result.balanced_accuracy == 0


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
