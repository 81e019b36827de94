"""What chapter 9's trainings and scores share: which part does what, and what is drawn again."""

import copy
import dataclasses

import pytest
import torch
from torch import nn

from mmlib.data.multimodal import Modality, Multimodal, Part
from mmlib.evaluate.bootstrap import bootstrap
from mmlib.evaluate.metrics import balanced_accuracy
from mmlib.evaluate.probe import PROBES
from mmlib.evaluate.targets import Probed
from mmlib.presets.base import resolve
from mmlib.studies import modalities as modality_study
from mmlib.studies.modalities import ModalityStudy
from mmlib.train import Optim

CPU = torch.device("cpu")
MODALITIES = (Modality("a", "vector", 3), Modality("b", "vector", 4))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def part(n, seed, roles=1):
    """Labels that the first feature tells; a task that the second tells; few units."""
    draw = seeded(seed)
    inputs = tuple(torch.randn(n, m.features, generator=draw) for m in MODALITIES)
    units = torch.randint(n // 4, (n, roles), generator=draw)
    tasks = {"second": (inputs[0][:, 1] > 0).long()}
    return Part(inputs, (inputs[0][:, 0] > 0).long(), units[:, 0] if roles == 1 else units, tasks)


def study(learn=None, roles=1, **changes):
    cfg = resolve("comm_real", {"preset": "smoke", "batch_size": 8, **changes})
    parts = (part(24, 0), part(16, 1), part(40, 2, roles))
    return ModalityStudy(Multimodal(MODALITIES, *parts, ("no", "yes"), learn=learn), cfg, CPU)


class Watched(nn.Module):
    """Notes what it learns from; its loss on validation samples is given, epoch by epoch."""

    def __init__(self, losses=()):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.fitted, self.held, self.losses, self.at = [], [], list(losses), []

    def loss(self, batch, generator):
        if self.training:
            self.fitted.append(batch)
            return {"loss": self.weight.sum(), "match": torch.zeros(())}
        self.held.append(batch)
        if len(batch[0]) < 9:  # the first half of the validation part of 16
            self.at.append(self.weight.item())
        epoch = (len(self.held) - 1) // 2
        return {"loss": torch.tensor(self.losses[epoch])}


def trained(study, model, labelled, seen=(0, 1)):
    points = []
    study.train(
        model, seen, labelled=labelled, draw=lambda k: seeded(k), name="x",
        note=lambda *point: points.append(point),
    )  # fmt: skip
    return points


def samples(batches, k=0):
    return {tuple(row.tolist()) for batch in batches for row in batch[k]}


def rows(x):
    return {tuple(row.tolist()) for row in x}


def test_who_sees_no_label_learns_from_its_own_part_for_all_epochs():
    own = part(20, 5)
    for it, expected in ((study(epochs=3), study().parts["train"]), (study(own, epochs=3), own)):
        model = Watched()
        points = trained(it, model, False)
        assert samples(model.fitted) == rows(expected.inputs[0])
        assert all(len(batch) == 2 for batch in model.fitted)
        assert not model.held
        assert len(model.fitted) == 3 * -(-len(expected) // 8)
        assert {curve for curve, *_ in points} == {"match"}
    model = Watched()
    trained(study(), model, False, seen=(1,))
    assert samples(model.fitted) == rows(study().parts["train"].inputs[1])


def test_who_sees_labels_ends_at_the_lowest_loss_on_the_validation_part():
    it = study(part(20, 5), epochs=6, patience=2)
    model = Watched([3.0, 1.0, 2.0, 2.5, 0.1, 0.1])
    points = trained(it, model, True)
    train, validation = it.parts["train"], it.parts["validation"]
    assert samples(model.fitted) == rows(train.inputs[0])
    told = {tuple(x.tolist()): y for x, y in zip(train.inputs[0], train.labels, strict=True)}
    assert all(y == told[tuple(x.tolist())] for x, _, ys in model.fitted
               for x, y in zip(x, ys, strict=True))  # fmt: skip
    assert samples(model.held) == rows(validation.inputs[0])
    held = torch.cat([labels for *_, labels in model.held[:2]])
    assert torch.equal(held, validation.labels)
    assert points == [("validation_loss", k, v) for k, v in enumerate([3.0, 1.0, 2.0, 2.5], 1)]
    assert model.at[0] != model.at[2]
    assert model.weight.item() == model.at[2]  # of the second epoch, of two looks each


def test_who_takes_all_epochs_of_labels_chooses_none_and_is_followed():
    it, model, seen = study(epochs=4), Watched(), []
    it.train(
        model, (0, 1), labelled=True, to_best=False, draw=seeded, name="x",
        note=lambda *_: None, on_epoch=lambda epoch: seen.append((epoch, model.weight.item())),
    )  # fmt: skip
    assert not model.held  # the validation part
    assert all(len(batch) == 3 for batch in model.fitted)
    assert len(model.fitted) == 4 * 3
    assert [epoch for epoch, _ in seen] == [1, 2, 3, 4]
    weights = [weight for _, weight in seen]
    assert weights[-1] == model.weight.item()
    assert len(set(weights)) == 4


def test_trainings_are_optimised_as_the_settings_say(monkeypatch):
    seen = []

    def fit(model, loss, optim, sampler, **_):
        seen.append((optim, sampler.seed))
        return []

    for name in ("fit", "fit_to_best"):
        monkeypatch.setattr(modality_study, name, fit)
    same = {"learning_rate": 2e-3, "weight_decay": 0.3, "schedule": "cosine"}
    same |= {"precision": "bfloat16"}
    it = study(epochs=5, warmup_epochs=2, seed=4, **same)
    for labelled in (False, True):
        trained(it, Watched(), labelled)
    assert seen == [(Optim(steps=15, warmup_steps=6, **same), 4)] * 2  # epochs of 24 samples


def test_the_test_part_is_looked_at_by_no_training_and_no_choice():
    it = study(epochs=2)
    hidden = copy.copy(it)
    hidden.parts = it.parts | {"test": None}  # a look at it raises
    for labelled in (False, True):
        trained(hidden, Watched([1.0, 2.0]), labelled)
    features = it.raw(0)
    other = copy.copy(it)
    test = it.parts["test"]
    other.parts = it.parts | {"test": dataclasses.replace(test, labels=1 - test.labels)}
    one, again = it.probe(features), other.probe(features)
    assert torch.equal(one.predictions, again.predictions)
    assert one.validation == again.validation


def test_raw_features_are_reduced_by_the_training_part():
    it = study(components=2)
    found = it.raw(1)
    assert found["test"].shape == (40, 2)
    torch.testing.assert_close(found["train"].mean(dim=0), torch.zeros(2), atol=1e-6, rtol=0)
    assert found["test"].mean(dim=0).abs().min() > 1e-3
    assert torch.equal(study().raw(1)["test"], it.parts["test"].inputs[1])


def test_a_probe_is_of_the_labels_or_of_a_task():
    it = study()
    raw = it.raw(0)
    for task, labels in (
        (None, it.parts["test"].labels),
        ("second", it.parts["test"].tasks["second"]),
    ):
        probed = it.probe(raw, task)
        said = balanced_accuracy(probed.predictions, labels)
        assert said > 85
        assert it.score(probed, task) == said
    assert it.score(it.probe(raw), "second") < 85
    few = torch.arange(7)
    assert it.score(probed, "second", few) == balanced_accuracy(
        probed.predictions[few], labels[few]
    )


@pytest.mark.parametrize("penalty", PROBES)
def test_a_probe_has_the_penalty_of_the_settings(penalty):
    it = study(probe_penalty=penalty)
    it.target = dataclasses.replace(it.target, probe=lambda features, labels, **options: options)
    validation = {"validation": PROBES[penalty]["validation"]}  # a part here
    assert it.probe(it.raw(0)) | validation == PROBES[penalty]


@pytest.mark.parametrize("roles", [1, 2])
def test_intervals_draw_units_and_differences_the_same_ones_for_both(roles):
    it = study(roles=roles, resamples=40)
    test = it.parts["test"]
    labels = test.labels
    one = Probed(torch.where(torch.arange(40) % 5 == 0, 1 - labels, labels), 0.0)
    other = Probed(torch.where(torch.arange(40) % 2 == 0, 1 - labels, labels), 0.0)

    def score(probed, k):
        return balanced_accuracy(probed.predictions[k], labels[k])

    units = list(test.units.T) if roles == 2 else [test.units]
    options = {"repeats": 40, "units": units}
    by_hand = bootstrap(lambda k: score(one, k), 40, generator=seeded(), **options)
    assert it.interval(one) == by_hand
    by_sample = bootstrap(lambda k: score(one, k), 40, generator=seeded(), repeats=40)
    assert it.interval(one, by_unit=False) == by_sample != by_hand
    gap, around = it.above(one, other)
    assert gap == it.score(one) - it.score(other) > 0
    assert around == bootstrap(
        lambda k: score(one, k) - score(other, k), 40, generator=seeded(), **options
    )
    task_gap, _ = it.above(one, other, "second")
    assert task_gap == it.score(one, "second") - it.score(other, "second") != gap
