"""A resumed fit is the uninterrupted one, and nothing but plain data is in its file."""

import json
import math
import os
import struct

import pytest
import torch
from torch import nn

from mmlib import _checkpoint
from mmlib.train import EpochSampler, Optim, fit

X = torch.randn(50, 5, generator=torch.Generator().manual_seed(0))
Y = X.sin().sum(1, keepdim=True)


class Stopped(Exception):
    """Stands for whatever ends a run in the middle."""


def make_model():
    """Everything that could make a resumed run differ: buffers, dropout, tied and 3-D tensors."""
    torch.manual_seed(3)
    model = nn.Sequential(
        nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.GELU(), nn.Linear(8, 8), nn.GELU(),
        nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 1),
    )  # fmt: skip
    model[6].weight = model[4].weight
    return model


def train(optim, *, stop_after=None, checkpoint=None, model=None, seed=7):
    """Fit on noisy inputs; return history, state and the generator's state, or None if stopped."""
    model = model or make_model()
    generator = torch.Generator().manual_seed(seed)

    def loss(indices, generator):
        noise = torch.randn(len(indices), 5, generator=generator)
        error = (model(X[indices] + 0.1 * noise) - Y[indices]).square().mean()
        return {"loss": error, "half": error / 2}

    def on_step(done):
        if done == stop_after:
            raise Stopped

    try:
        history = fit(
            model, loss, optim, EpochSampler(50, 8, seed=1), generator=generator,
            checkpoint=checkpoint, checkpoint_every=7, on_step=on_step,
        )  # fmt: skip
    except Stopped:
        return None
    return history, model.state_dict(), generator.get_state()


def same(a, b):
    return (
        a[0] == b[0]
        and a[1].keys() == b[1].keys()
        and all(torch.equal(a[1][key], b[1][key]) for key in a[1])
        and torch.equal(a[2], b[2])
    )


OPTIM = Optim(steps=40, learning_rate=0.01, schedule="cosine", warmup_steps=5)


@pytest.mark.parametrize(
    "optim",
    [
        OPTIM,
        Optim(steps=40, learning_rate=0.01, optimizer="adam", precision="bfloat16"),
    ],
    ids=lambda optim: optim.optimizer,
)
def test_resumed_is_bit_equal_to_uninterrupted(optim, tmp_path):
    checkpoint = tmp_path / "deep" / "fit.safetensors"
    whole = train(optim)
    for stop_after in (18, 33):  # between two checkpoints and between two rows, then again
        assert train(optim, stop_after=stop_after, checkpoint=checkpoint) is None
    assert same(train(optim, checkpoint=checkpoint), whole)
    # A finished fit is read, not repeated.
    assert same(train(optim, checkpoint=checkpoint, stop_after=40), whole)
    assert [path.name for path in checkpoint.parent.iterdir()] == ["fit.safetensors"]


@pytest.mark.parametrize("forgotten", ["generator", "optimizer", "buffers", "window", "step"])
def test_a_resume_that_forgets_something_is_noticed(forgotten, tmp_path, monkeypatch):
    checkpoint = tmp_path / "fit.safetensors"
    train(OPTIM, stop_after=18, checkpoint=checkpoint)
    restore = _checkpoint.restore

    def forgetful(path, made_by, model, optimizer, generator):
        before = generator.get_state()
        buffers = {key: value.clone() for key, value in model.named_buffers()}
        numbers = restore(path, made_by, model, optimizer, generator)
        if forgotten == "generator":
            generator.set_state(before)
        elif forgotten == "optimizer":
            optimizer.state.clear()
        elif forgotten == "buffers":
            for key, value in model.named_buffers():
                value.copy_(buffers[key])
        elif forgotten == "window":
            numbers["window"] = []
        else:
            numbers["step"] -= 1
        return numbers

    monkeypatch.setattr(_checkpoint, "restore", forgetful)
    assert not same(train(OPTIM, checkpoint=checkpoint), train(OPTIM))


def test_a_crash_while_writing_keeps_the_checkpoint_before(tmp_path, monkeypatch):
    checkpoint = tmp_path / "fit.safetensors"
    train(OPTIM, stop_after=10, checkpoint=checkpoint)
    before = checkpoint.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(Stopped))
        assert train(OPTIM, checkpoint=checkpoint) is None
    assert checkpoint.read_bytes() == before
    assert list(tmp_path.iterdir()) == [checkpoint]  # nothing is left of the other one
    assert same(train(OPTIM, checkpoint=checkpoint), train(OPTIM))


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    checkpoint = tmp_path / "fit.safetensors"
    train(OPTIM, stop_after=10, checkpoint=checkpoint)
    with pytest.raises(ValueError, match=r"of another run: optim is .*'steps': 41.*'steps': 40"):
        train(Optim(**{**vars(OPTIM), "steps": 41}), checkpoint=checkpoint)
    with pytest.raises(ValueError, match=r"of another run: seed is 8, there 7. Delete it"):
        train(OPTIM, checkpoint=checkpoint, seed=8)


def test_checkpoint_is_plain_tensors_and_json(tmp_path):
    checkpoint = tmp_path / "fit.safetensors"
    train(OPTIM, stop_after=10, checkpoint=checkpoint)
    raw = checkpoint.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    numbers = json.loads(header.pop("__metadata__")["numbers"])
    assert numbers["step"] == 7
    assert {"model.1.running_mean", "optimizer.0.exp_avg_sq", "generator"} < set(header)
    assert len(raw) == 8 + length + max(entry["data_offsets"][1] for entry in header.values())


def test_goes_on_with_another_kind_of_device(tmp_path):
    """The generator's state does not carry over; what it becomes depends on seed and step only."""
    checkpoint = tmp_path / "fit.safetensors"
    train(OPTIM, stop_after=18, checkpoint=checkpoint)
    raw = checkpoint.read_bytes()
    there = rb"\"generator_on\": \"cpu\""
    assert there in raw
    results = []
    for _ in range(2):
        checkpoint.write_bytes(raw.replace(there, there.replace(b"cpu", b"gpu")))
        results.append(train(OPTIM, checkpoint=checkpoint))
    assert same(*results)
    whole = train(OPTIM)
    assert results[0][0][0] == whole[0][0]  # the row before the change
    assert math.isclose(results[0][0][-1]["loss"], whole[0][-1]["loss"], rel_tol=0.5)
    assert not same(results[0], whole)
    repeated = torch.Generator().manual_seed(7)
    for _ in range(14, 40):  # the steps made here
        torch.randn(8, 5, generator=repeated)
    assert not torch.equal(results[0][2], repeated.get_state())  # none of the first steps' noise


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("there", ["cpu", "cuda"])
def test_moves_between_cpu_and_cuda(there, tmp_path):
    here = {"cpu": "cuda", "cuda": "cpu"}[there]

    def run(device, stop_after=None):
        model = make_model().to(device)
        x, y = X.to(device), Y.to(device)

        def stop(done):
            if done == stop_after:
                raise Stopped

        return fit(
            model, lambda i, g: (model(x[i]) - y[i]).square().mean(), OPTIM,
            EpochSampler(50, 8, seed=1, device=device), on_step=stop,
            generator=torch.Generator(device).manual_seed(7), checkpoint=tmp_path / "fit",
            checkpoint_every=7,
        )  # fmt: skip

    with pytest.raises(Stopped):
        run(there, stop_after=10)
    assert [row["step"] for row in run(here)] == [10, 20, 30, 40]


def test_the_global_stream_is_left_alone_and_does_not_matter():
    results = []
    for seed in (1, 2):
        model = make_model()
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        results.append(train(OPTIM, model=model))
        assert torch.equal(torch.get_rng_state(), before)
    assert same(*results)


def test_what_a_step_left_undone_can_be_made_good_where_training_goes_on(tmp_path):
    """A checkpoint is older than what ``on_step`` does after its step."""
    told, stop = [], [14]

    def go(steps):
        model = make_model()

        def on_step(done):
            told.append(done)
            if done == stop[0]:
                raise Stopped

        def on_resume(done):
            told.append(("again", done))
            model.eval()  # any mode

        def loss(rows, _):
            assert model.training
            return {"loss": model(X[rows]).square().mean()}

        return fit(
            model, loss,
            Optim(steps=steps, learning_rate=0.01), EpochSampler(50, 8, seed=1),
            generator=torch.Generator().manual_seed(0), checkpoint=tmp_path / "fit.safetensors",
            checkpoint_every=7, on_step=on_step, on_resume=on_resume,
        ), model.training  # fmt: skip

    with pytest.raises(Stopped):
        go(16)
    assert told == [*range(1, 15)]  # nothing to go on from
    told.clear()
    stop[0] = 0
    _, training = go(16)
    assert told == [("again", 14), 15, 16]
    assert training
    told.clear()
    _, training = go(16)  # finished: its last step may have been left undone, too
    assert told == [("again", 16)]
    assert training
