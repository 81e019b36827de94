import os
import runpy
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from mmlib.mem import noise as noises
from mmlib.mem.alternation import Alternation
from mmlib.mem.protect import protect
from mmlib.mem.settings import Protection
from mmlib.records import ROOT

SMALL = Protection(
    rounds=2,
    trigger_rounds=1,
    surrogate_steps=2,
    batch_size=4,
    candidates=5,
    noise_steps=3,
    learning_rate=1e-2,
)


@pytest.fixture
def run(make_model, make_pairs):
    """Protect nine pairs (three batches a visit) from given seeds."""

    def go(settings=SMALL, folder=None, captions=1, seed=3, images=None, **more):
        drawn, ids = make_pairs(9, captions)
        g = torch.Generator().manual_seed(seed)
        images = drawn if images is None else images
        return protect(
            make_model(), images, ids, settings, generator=g, folder=folder, progress=False, **more
        )

    return go


def assert_same(one, other):
    assert torch.equal(one.images, other.images)
    assert torch.equal(one.triggers, other.triggers)
    assert one.history == other.history
    assert (one.surrogate, one.woven, one.carried) == (other.surrogate, other.woven, other.carried)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"unit": "pair"},
        {"unit": "group", "groups": 4},
        {"text": "none", "body": "own"},
        {"image": "none", "selection": "sample"},
        {"image": "uniform"},
        {"image": "uniform", "text": "random"},  # without a surrogate
        {"image": "spelled", "text": "random", "topics": 3},
        {"place": "woven", "text": "random", "pool": 5},
    ],
)
def test_in_files_and_in_memory_it_is_the_same(run, tmp_path, change):
    settings = replace(SMALL, **change)
    expected = run(settings, captions=2)
    assert_same(run(settings, tmp_path / "run", captions=2), expected)
    assert_same(run(settings, tmp_path / "run", captions=2), expected)  # and found as finished


def test_a_folder_holds_one_byte_for_each_byte_of_the_images(run, tmp_path):
    made = run(folder=tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {
        "noise", "published", "surrogate.safetensors", "batch.safetensors", "run.json",
    }  # fmt: skip
    for name in ("noise", "published"):
        assert (tmp_path / name).stat().st_size == made.images.numel()
    assert (tmp_path / "published").read_bytes() == made.images.numpy().tobytes()


class Killed(BaseException):
    """Nothing catches it."""


def nothing(*_):
    pass


@pytest.mark.parametrize(
    ("change", "every"), [({}, 1), ({"unit": "group", "groups": 4, "drop_last": True}, 4)]
)
def test_stopped_at_any_point_and_called_again_it_is_the_same(
    run, tmp_path, monkeypatch, change, every
):
    """Stopped at each of the points where something is computed or written.

    What a killed process leaves is its folder: of one run a copy at every point.
    """
    short = {"noise_steps": 1, "trigger_length": 1, "candidates": 2}  # points are as many
    settings, at_point = replace(SMALL, **short, **change), [nothing]

    def tick(*_):
        at_point[0]()

    def watched(before, after, of):
        def call(*arguments, **named):
            before(*arguments)
            value = of(*arguments, **named)
            after(*arguments)
            return value

        return call

    for owner, name, before, after in (
        (Alternation, "loss", tick, nothing),  # in a step of the surrogate
        (Alternation, "improve_triggers", nothing, tick),
        (noises, "pgd", tick, nothing),
        (Alternation, "improve_noise", nothing, tick),  # noise has changed, nothing notes it
        (os, "replace", tick, tick),  # before and after a file is in its place
    ):
        monkeypatch.setattr(owner, name, watched(before, after, getattr(owner, name)))
    expected, whole, left = run(settings), tmp_path / "whole", []
    at_point[0] = lambda: left.append(shutil.copytree(whole, tmp_path / str(len(left))))
    run(settings, whole)
    at_point[0] = nothing
    assert len(left) > 25
    for folder in left[::every]:
        assert_same(run(settings, folder), expected)

    def killed_at_the_eighth():
        passed.append(1)
        if len(passed) == 8:
            raise Killed

    folder, calls, at_point[0] = tmp_path / "often", 0, killed_at_the_eighth
    while True:  # stopped again and again, all in one folder
        passed = []
        try:
            made = run(settings, folder)
        except Killed:
            calls += 1
        else:
            break
    assert calls > 2
    assert_same(made, expected)


SCRIPT = """
import os, signal, sys
from pathlib import Path
import torch
from mmlib.augment.image import ToFloat
from mmlib.augment.transform import as_it_is
from mmlib.encoders.image import GlobalPool, SmallConvNet
from mmlib.encoders.text import TextTransformer
from mmlib.mem.alternation import Alternation
from mmlib.mem.protect import protect
from mmlib.mem.settings import Protection
from mmlib.methods.clip import DualEncoder


def made(folder):
    torch.manual_seed(0)
    encoders = [GlobalPool(SmallConvNet(2)), TextTransformer(20, 8, 1, 2, 8, out_features=4)]
    inputs = [ToFloat(), as_it_is]
    project = [torch.nn.Linear(8, 4), torch.nn.Identity()]
    model = DualEncoder(encoders, project, augment=inputs, prepare=inputs)
    images = torch.randint(256, (40, 3, 16, 16), dtype=torch.uint8)
    captions = torch.tensor([[[1, 9, 2, 0, 0, 0, 0, 0]]]).repeat(40, 1, 1)
    captions[:, 0, 1] = torch.randint(5, 20, (40,))
    settings = Protection(rounds=2, trigger_rounds=1, surrogate_steps=3, batch_size=8, candidates=4)
    g = torch.Generator().manual_seed(1)
    return protect(model, images, captions, settings, generator=g, folder=folder, progress=False)


if __name__ == "__main__":
    improve, calls = Alternation.improve_noise, []

    def killed(self, *arguments):
        improve(self, *arguments)
        calls.append(1)
        if len(calls) == 8:  # in the second visit
            os.kill(os.getpid(), signal.SIGKILL)

    Alternation.improve_noise = killed
    made(Path(sys.argv[1]))
"""


def test_a_process_that_is_killed_loses_nothing(tmp_path):
    script, folder = tmp_path / "script.py", tmp_path / "run"
    script.write_text(SCRIPT)
    ended = subprocess.run(
        [sys.executable, script, folder], env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert ended.returncode == -signal.SIGKILL
    made = runpy.run_path(str(script))["made"]
    assert not (folder / "published").exists()
    begun = (folder / "surrogate.safetensors").stat().st_mtime_ns
    assert_same(made(folder), made(None))
    assert (folder / "surrogate.safetensors").stat().st_mtime_ns == begun  # no step made twice


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"settings": replace(SMALL, epsilon=4)}, "a run of other settings"),
        ({"captions": 2}, "a run of other captions"),
        ({"seed": 4}, "a run of other generator"),
        ({"words": torch.arange(20) > 9}, "a run of other words"),
        ({"images": torch.zeros(9, 3, 16, 16, dtype=torch.uint8)}, "a run of other images"),
    ],
)
def test_another_run_is_not_taken_up(run, tmp_path, change, message):
    run(folder=tmp_path)
    before = (tmp_path / "noise").read_bytes()
    with pytest.raises(ValueError, match=message):
        run(folder=tmp_path, **change)
    assert (tmp_path / "noise").read_bytes() == before


def test_another_surrogate_does_not_go_on(make_model, make_pairs, tmp_path):
    images, ids = make_pairs(9)

    def go(model):
        g = torch.Generator().manual_seed(0)
        protect(model, images, ids, SMALL, generator=g, folder=tmp_path, progress=False)

    go(make_model())
    with pytest.raises(ValueError, match="a run of other surrogate"):
        go(make_model(seed=1))
