"""The training loop against plain reference loops; what stops it and what it names."""

import json
import math

import pytest
import torch
from torch import nn

from mmlib import _checkpoint
from mmlib.fusion import VectorAdapter
from mmlib.train import EpochSampler, Optim, fit, parameter_groups

X = torch.randn(50, 5, generator=torch.Generator().manual_seed(0))
Y = X.sin().sum(1, keepdim=True)
OPTIM = Optim(steps=40, learning_rate=0.01, schedule="cosine", warmup_steps=5)


@pytest.mark.parametrize("kind", ["adamw", "adam"])
def test_equals_a_plain_loop(kind):
    optim = Optim(
        steps=12, learning_rate=0.05, weight_decay=0.1, optimizer=kind,
        schedule="cosine", warmup_steps=3,
    )  # fmt: skip
    torch.manual_seed(0)
    model, sampler = nn.Linear(5, 1), EpochSampler(50, 8, seed=1)
    torch.manual_seed(0)
    plain = nn.Linear(5, 1)

    def loss(indices, _):
        error = (model(X[indices]) - Y[indices]).square().mean()
        return {"loss": error, "logged only": model.weight.sum()}

    history = fit(
        model, loss, optim, sampler, generator=torch.Generator().manual_seed(0), log_every=5,
        on_step=lambda _: model.eval(),
    )  # fmt: skip
    assert model.training

    groups = [
        {"params": [plain.weight], "weight_decay": 0.1},
        {"params": [plain.bias], "weight_decay": 0.0},
    ]
    made = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[kind]
    reference = made(groups, lr=0.05, betas=(0.9, 0.999), foreach=False)
    schedule = torch.optim.lr_scheduler.SequentialLR(
        reference,
        [
            torch.optim.lr_scheduler.LinearLR(reference, 1 / 3, 1, total_iters=2),
            torch.optim.lr_scheduler.CosineAnnealingLR(reference, T_max=9),
        ],
        milestones=[3],
    )
    losses, rates = [], []
    for step in range(12):
        indices = sampler(step)
        error = (plain(X[indices]) - Y[indices]).square().mean()
        reference.zero_grad()
        error.backward()
        losses.append(error.item())
        rates.append(reference.param_groups[0]["lr"])
        reference.step()
        schedule.step()
    torch.testing.assert_close(model.state_dict(), plain.state_dict(), rtol=1e-4, atol=1e-6)
    assert [row["step"] for row in history] == [5, 10, 12]
    for row, (start, stop) in zip(history, [(0, 5), (5, 10), (10, 12)], strict=True):
        mean = sum(losses[start:stop]) / (stop - start)
        assert row["loss"] == pytest.approx(mean, rel=1e-5)
        assert row["lr"] == pytest.approx(rates[stop - 1], rel=1e-6)


def test_weight_decay_shrinks_matrices_only():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.conv = nn.Linear(3, 3), nn.Conv2d(1, 2, 2)
            self.norm, self.batch = nn.LayerNorm((2, 2)), nn.BatchNorm2d(2)
            self.attention = nn.MultiheadAttention(4, 2)
            self.tokens = VectorAdapter(3, 2)  # its bias has two dimensions
            self.tied = nn.Linear(3, 3)
            self.tied.weight = self.linear.weight
            self.cls = nn.Parameter(torch.ones(1, 1, 4))
            self.log_scale = nn.Parameter(torch.tensor(2.0))
            self.position = nn.Parameter(torch.ones(2, 2), requires_grad=False)

    model = Model()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    fit(
        model, lambda i, _: 0.0 * sum(p.sum() for p in model.parameters()),
        Optim(steps=1, learning_rate=0.5, weight_decay=0.1), EpochSampler(1, 1, seed=0),
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    shrunk = set()
    for name, parameter in model.named_parameters():
        if not torch.equal(parameter, before[name]):
            torch.testing.assert_close(parameter.detach(), before[name] * 0.95)
            shrunk.add(name)
    assert shrunk == {
        "linear.weight", "conv.weight", "attention.in_proj_weight", "attention.out_proj.weight",
        "tokens.weight", "cls",
    }  # fmt: skip
    counted = [p for group in parameter_groups(model, 0.1) for p in group["params"]]
    assert len(counted) == len({id(p) for p in counted}) == len(before) - 1  # all but the frozen


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("log_every", [1, 10])
def test_a_part_that_is_not_finite_stops_and_is_named(bad, log_every, tmp_path):
    model, checkpoint, calls = nn.Linear(5, 1), tmp_path / "fit.safetensors", []

    def loss(indices, _):
        calls.append(None)
        error = model(X[indices]).square().mean()
        return {"loss": error, "synergy": error.detach() * (bad if len(calls) == 13 else 1)}

    with pytest.raises(FloatingPointError, match=rf"^mine: synergy is {bad} at step 13 of 40$"):
        fit(
            model, loss, OPTIM, EpochSampler(50, 8, seed=1), name="mine", log_every=log_every,
            generator=torch.Generator().manual_seed(0), checkpoint=checkpoint, checkpoint_every=4,
        )  # fmt: skip
    with _checkpoint.safe_open(checkpoint, framework="pt") as file:
        assert json.loads(file.metadata()["numbers"])["step"] == 12


def test_parameters_that_are_not_finite_at_the_end_stop():
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    with pytest.raises(FloatingPointError, match="parameter weight is not finite after step 1"):
        fit(
            model, lambda i, _: model.weight.abs().sqrt().sum(),  # 0, with an infinite slope
            Optim(steps=1, learning_rate=0.1), EpochSampler(1, 1, seed=0),
            generator=torch.Generator().manual_seed(0),
        )  # fmt: skip


def test_parameters_that_are_not_finite_are_not_kept(tmp_path):
    model, checkpoint = nn.Linear(1, 1, bias=False), tmp_path / "fit.safetensors"
    nn.init.zeros_(model.weight)
    with pytest.raises(FloatingPointError, match="parameter weight is not finite after step 1"):
        fit(
            model, lambda i, _: model.weight.abs().sqrt().sum(),
            Optim(steps=9, learning_rate=0.1), EpochSampler(1, 1, seed=0), checkpoint=checkpoint,
            checkpoint_every=1, generator=torch.Generator().manual_seed(0),
        )  # fmt: skip
    assert not checkpoint.exists()


def test_bfloat16_is_the_precision_of_the_forward_pass_only():
    model, seen = nn.Linear(5, 1), []

    def loss(indices, _):
        out = model(X[indices])
        seen.append(out.dtype)
        return out.float().square().mean()

    optim = Optim(steps=2, learning_rate=0.1, precision="bfloat16")
    fit(model, loss, optim, EpochSampler(50, 8, seed=1), generator=torch.Generator().manual_seed(0))
    assert seen == [torch.bfloat16] * 2
    assert model.weight.dtype == model.weight.grad.dtype == torch.float32


def test_dropout_follows_the_generators_seed_and_the_step():
    def masks(seed):
        model, met = nn.Linear(5, 1), []

        def loss(indices, _):
            met.append(nn.functional.dropout(torch.ones(64)))
            return model(X[indices]).square().mean()

        fit(
            model, loss, Optim(steps=3, learning_rate=0.1), EpochSampler(50, 8, seed=1),
            generator=torch.Generator().manual_seed(seed),
        )  # fmt: skip
        return torch.stack(met)

    assert torch.equal(masks(0), masks(0))
    assert len(torch.cat([masks(0), masks(1)]).unique(dim=0)) == 6


def test_sampler_passes_every_record_once_an_epoch():
    sampler = EpochSampler(10, 4, seed=0, drop_last=False)
    assert sampler.steps_per_epoch == 3
    steps = [sampler(step) for step in range(9)]
    epochs = [torch.cat(steps[k : k + 3]) for k in (0, 3, 6)]
    for epoch in epochs:
        assert sorted(epoch.tolist()) == list(range(10))
    assert len({tuple(epoch.tolist()) for epoch in epochs}) == 3
    for step in (8, 0, 4):  # no memory of what was asked before
        assert torch.equal(EpochSampler(10, 4, seed=0, drop_last=False)(step), steps[step])
    # A seed's second epoch is not the next seed's first.
    assert not torch.equal(EpochSampler(99, 99, seed=0)(1), EpochSampler(99, 99, seed=1)(0))
    dropped = EpochSampler(10, 4, seed=0)
    assert dropped.steps_per_epoch == 2
    assert torch.equal(dropped(1), steps[1])
    assert torch.equal(dropped(2), steps[3])
    lone = EpochSampler(9, 4, seed=0, drop_last=False)  # its ninth record would have no negatives
    assert [len(lone(step)) for step in range(4)] == [4] * 4


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"steps": 0}, r"steps is 0; allowed: \[1, inf\)"),
        ({"learning_rate": math.nan}, "learning_rate is nan"),
        ({"optimizer": "lion"}, "optimizer is 'lion'; allowed: 'adamw', 'adam'"),
        ({"warmup_steps": 11}, r"warmup_steps is 11; allowed: \[0, 10\]"),
        ({"precision": "float16"}, "precision is 'float16'; allowed: 'float32', 'bfloat16'"),
    ],
)
def test_wrong_settings_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        Optim(**({"steps": 10, "learning_rate": 0.1} | wrong))


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda model: {"total": model.weight.sum()}, "gives 'total'; 'loss' must be among them"),
        (lambda model: model.weight[0], r"loss has shape \(5,\)"),
        (lambda model: {"loss": model.weight.sum(), "rate": 0.5}, "rate is 0.5; allowed: a tensor"),
    ],
)
def test_a_loss_of_the_wrong_form_is_named(loss, message):
    model = nn.Linear(5, 1)
    with pytest.raises(ValueError, match=message):
        fit(
            model, lambda i, _: loss(model), OPTIM, EpochSampler(50, 8, seed=1),
            generator=torch.Generator().manual_seed(0),
        )  # fmt: skip
    with pytest.raises(ValueError, match="no trainable parameter"):
        fit(nn.ReLU(), lambda i, _: None, OPTIM, EpochSampler(5, 1, seed=0),
            generator=torch.Generator())  # fmt: skip
