"""Fine-tuning starts where CoMM ended, learns what the labels say, and leaves CoMM as it was."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmlib import losses
from mmlib.data.multimodal import Modality
from mmlib.methods.modalities import build, views
from mmlib.methods.supervised import CRITERIA, LinearHead, classifier, fine_tuned, mean_loss
from mmlib.presets.base import resolve

MODALITIES = [Modality("a", "vector", 3), Modality("b", "vector", 4)]
LABELS = {
    "classes": torch.tensor([0, 1, 2, 0, 1, 2]),
    "labels": torch.tensor([[0, 1], [1, 1], [0, 0], [1, 0], [1, 1], [0, 1]]),
    "numbers": torch.tensor([[0.1], [0.4], [-1.0], [2.0], [0.0], [0.3]]),
}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def batch(n=6):
    generator = seeded(1)
    return [torch.randn(n, m.features, generator=generator) for m in MODALITIES]


@pytest.fixture
def comm():
    return build("comm", MODALITIES, resolve("comm_real", {"preset": "smoke"}))


def by_hand(model, x, target, labels, generator):
    """Views, fusion, and then what the labels say, one after the other."""

    def view():
        seen = [views(m, 1.0)(v, generator) for m, v in zip(MODALITIES, x, strict=True)]
        parts = zip(model.adapters, model.encoders, seen, strict=True)
        return model.fusion([a(e(v)) for a, e, v in parts])

    if target == "classes":
        z = torch.stack([view(), view()], dim=1)
        return losses.supcon(z, labels, temperature=0.07)
    outputs = model.head(view())
    if target == "labels":
        p = outputs.sigmoid()
        return -(labels * p.log() + (1 - labels) * (1 - p).log()).mean()
    return (outputs - labels).square().mean()


@pytest.mark.parametrize("target", LABELS)
def test_loss_is_the_one_of_the_target(comm, target):
    model = fine_tuned(comm, target, 2 if target == "labels" else 1)
    if target != "classes":
        assert not model.head.weight.any()  # else the first steps would undo what CoMM learned
        nn.init.normal_(model.head.weight, generator=seeded(2))
    found = model.loss([*batch(), LABELS[target]], seeded(3))["loss"]
    torch.testing.assert_close(found, by_hand(model, batch(), target, LABELS[target], seeded(3)))


@pytest.mark.parametrize("target", LABELS)
def test_starts_as_comm_and_moves_only_the_copy(comm, target):
    before = {key: value.clone() for key, value in comm.state_dict().items()}
    model = fine_tuned(comm, target, 2 if target == "labels" else 1)
    first = comm.eval().embed(batch())
    assert torch.equal(model.eval().embed(batch()), first)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):  # a head of zeros gives the embedding no gradient in the first
        optimizer.zero_grad()
        model.train().loss([*batch(), LABELS[target]], seeded())["loss"].backward()
        optimizer.step()
    assert not torch.allclose(model.eval().embed(batch()), first)
    assert all(torch.equal(value, before[key]) for key, value in comm.state_dict().items())


def test_supcon_in_the_builder_is_comms_network_with_another_loss(comm):
    supcon = build("supcon", MODALITIES, resolve("comm_real", {"preset": "smoke"}))
    assert supcon.temperature == 0.07
    assert all(map(torch.equal, supcon.state_dict().values(), comm.state_dict().values()))


def test_factorcl_in_the_builder_is_of_two():
    cfg = resolve("comm_real", {"preset": "smoke"})
    model = build("factorcl", MODALITIES, cfg)
    assert model.eval().embed(batch()).shape == (6, 10 * cfg.width)
    with pytest.raises(ValueError, match="encoders has 3 entries for 2 modalities"):
        build("factorcl", [*MODALITIES, MODALITIES[0]], cfg)


def test_mean_loss_weighs_parts_by_their_samples_and_learns_nothing():
    class Mean(nn.BatchNorm1d):
        def loss(self, batch, generator):
            return {"loss": self(batch[0]).mean()}

    x = torch.arange(7.0)[:, None]
    method = Mean(1, eps=1e-12)
    assert mean_loss(method, [x], seeded(), batch_size=3) == pytest.approx(3.0)
    assert method.running_mean.item() == 0
    assert not method.training


def test_each_validation_loss_is_of_the_same_views(comm):
    x = [*batch(), LABELS["classes"]]
    model = fine_tuned(comm, "classes", 3)
    first, again = (mean_loss(model, x, seeded(5), batch_size=4) for _ in range(2))
    assert first == again != mean_loss(model, x, seeded(6), batch_size=4)


def test_errors(comm):
    with pytest.raises(ValueError, match="target is 'ranks'; allowed: 'classes', 'labels'"):
        fine_tuned(comm, "ranks", 2)
    with pytest.raises(ValueError, match="outputs is 0"):
        fine_tuned(comm, "labels", 0)
    model = fine_tuned(comm, "numbers", 1)
    assert isinstance(model, LinearHead)
    with pytest.raises(ValueError, match="batch has 2 entries; allowed: 2 modalities and labels"):
        model.loss(batch(), seeded())
    for labels in (torch.zeros(6), torch.zeros(6, 2)):  # else each output would meet all labels
        with pytest.raises(ValueError, match=r"labels has shape .* expected \(B=6, K=1\)"):
            model.loss([*batch(), labels], seeded())
    assert CRITERIA["numbers"] is F.mse_loss


def test_a_classifier_of_classes_has_their_cross_entropy(comm):
    model = classifier(comm, "classes", 3)
    labels = LABELS["classes"]
    uniform = model.loss([*batch(), labels], seeded(3))["loss"]
    torch.testing.assert_close(uniform, torch.tensor(3.0).log())  # the head starts at zero
    nn.init.normal_(model.head.weight, generator=seeded(2))
    generator = seeded(3)
    seen = [views(m, 1.0)(v, generator) for m, v in zip(MODALITIES, batch(), strict=True)]
    parts = zip(model.adapters, model.encoders, seen, strict=True)
    outputs = model.head(model.fusion([a(e(v)) for a, e, v in parts]))
    expected = -outputs.log_softmax(1)[torch.arange(6), labels].mean()
    torch.testing.assert_close(model.loss([*batch(), labels], seeded(3))["loss"], expected)
    with pytest.raises(ValueError, match="labels"):
        model.loss([*batch(), labels[:, None]], seeded(3))
