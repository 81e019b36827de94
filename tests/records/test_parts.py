"""A run that was cut short goes on from its parts, and from nobody else's."""

import errno
import json
import shutil
import time
import warnings

import pytest
import torch

from mmlib import records
from mmlib.records import run as run_module


@pytest.fixture
def attempt(tmp_path, monkeypatch):
    """A new attempt at a run, in a folder of its own as the workflow makes them."""
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    numbers = iter(range(100))

    def start(toy=0, **parameters):
        folder = str(tmp_path / f"seed-3.{next(numbers)}.running")
        given = {"preset": "smoke", "seed": 3, "folder": folder} | parameters
        run = records.start("label_dp", given)
        run.data("toy", torch.arange(4) + toy)
        return run

    return start


def worker(run, calls):
    """A part of a run that notes, counts its calls and gives a model."""

    def work(bias, *, step=1):
        calls.append(bias)
        run.metric(f"accuracy.b{bias}", 50.0 + bias, "accuracy in %")
        run.curve("loss", step, 2.5, method="comm")
        layer = torch.nn.Linear(1, 1)
        layer.bias.data.fill_(bias)
        return layer, {"bias": bias}

    return work


def test_an_attempt_goes_on_from_the_parts_of_one_that_was_cut_short(attempt, tmp_path, capsys):
    first, calls = attempt(), []
    first.metric("before", 1, "noted by no part")
    first.once("a", worker(first, calls), 1, step=2)
    second = attempt()
    layer, told = second.once("a", worker(second, calls), 1, step=2)
    second.once("b", worker(second, calls), 2)
    assert calls == [1, 2]
    assert (layer.bias.item(), told) == (1.0, {"bias": 1})
    assert second.metrics == {"accuracy.b1": 51.0, "accuracy.b2": 52.0}
    assert list(second.curves("loss")["step"]) == [2, 1]
    assert "a: taken up from an earlier attempt" in capsys.readouterr().out
    both = attempt()
    for part, (bias, step) in {"a": (1, 2), "b": (2, 1)}.items():
        both.once(part, worker(both, calls), bias, step=step)
    assert calls == [1, 2]
    assert (both.metrics, list(both.curves("loss")["step"])) == (second.metrics, [2, 1])
    second.finish()
    assert not list(tmp_path.glob("*.parts"))  # the next run of this seed makes all of it
    third = attempt()
    third.once("a", worker(third, calls), 1)
    assert calls == [1, 2, 1]


def test_a_record_counts_the_seconds_of_all_attempts(attempt):
    first = attempt()
    first.once("a", time.sleep, 1.5)
    second = attempt()
    second.once("a", time.sleep, 1.5)
    second.metric("a", 1, "one")
    second.finish()
    assert 1.5 <= json.loads((second.folder / "record.json").read_text())["seconds"] < 3


def test_a_part_that_is_cut_short_is_made_again(attempt):
    first = attempt()
    with pytest.raises(ZeroDivisionError):
        first.once("a", lambda: first.metric("x", 1, "one") or 1 / 0)
    second, calls = attempt(), []
    second.once("a", worker(second, calls), 1)
    assert calls == [1]
    assert set(second.metrics) == {"accuracy.b1"}


@pytest.mark.parametrize("left", [b"", b"no part", 300])
def test_a_part_that_is_damaged_is_made_again(left, attempt, tmp_path):
    first, calls = attempt(), []
    first.once("a", worker(first, calls), 1)
    (part,) = (path for path in tmp_path.glob("*.parts/*/*") if path.is_file())
    part.write_bytes(part.read_bytes()[:left] if isinstance(left, int) else left)
    second, third = attempt(), attempt()
    with pytest.warns(UserWarning, match="damaged and is made again"):
        second.once("a", worker(second, calls), 1)
    third.once("a", worker(third, calls), 1)
    assert calls == [1, 1]
    assert third.metrics == first.metrics


def test_parts_are_of_the_same_settings_data_code_and_name_only(attempt, tmp_path, monkeypatch):
    calls = []

    def taken_up(run, part="a"):
        with monkeypatch.context() as unchanged:  # there is a part of an attempt as it should be
            for name, value in as_it_is.items():
                unchanged.setattr(run_module, name, value)
            first = attempt()
            first.once("a", worker(first, calls), 1)
        made = len(calls)
        run.once(part, worker(run, calls), 1)
        return len(calls) == made

    as_it_is = {name: getattr(run_module, name) for name in ("ROOT", "device_name", "_versions")}
    assert taken_up(attempt())
    assert not taken_up(attempt(), "b")
    other_data = attempt()
    other_data.data("more", torch.arange(5))
    assert not taken_up(other_data)
    with pytest.raises(ValueError, match="part 'a' of the run is there already"):
        taken_up(other_data)
    assert not taken_up(attempt(toy=1))
    assert not taken_up(attempt(epsilon=4.0))
    for name in ("device_name", "_versions"):
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr(run_module, name, lambda *_: "another")
            assert not taken_up(attempt()), name
    for changed in ("notebooks/04_label_dp.ipynb", "mmlib/label_dp/release.py"):
        copy = tmp_path / changed.partition(".")[0]
        for folder in ("notebooks", "mmlib"):
            shutil.copytree(records.ROOT / folder, copy / folder)
        with (copy / changed).open("a") as file:
            file.write("\n")
        with monkeypatch.context() as changed_code:
            changed_code.setattr(run_module, "ROOT", copy)
            assert not taken_up(attempt()), changed


def test_parts_of_other_code_make_room(attempt, tmp_path):
    for epsilon in (4.0, 5.0):
        run = attempt(epsilon=epsilon)
        for bias in (1, 2):
            run.once(f"part {bias}", worker(run, []), bias)
    assert len(list(tmp_path.glob("*.parts/*"))) == 1
    assert len(list(tmp_path.glob("*.parts/*/*"))) == 2


def test_runs_whose_folders_differ_behind_a_dot_have_parts_of_their_own(attempt, tmp_path):
    for rate in ("0.1", "0.2"):
        run = attempt(folder=str(tmp_path / f"lr-{rate}"))
        run.once("a", worker(run, []), 1)
    run.finish()
    assert [path.name for path in tmp_path.glob("*.parts")] == ["lr-0.1.parts"]


def test_a_part_that_has_no_room_on_the_disk_ends_no_run(attempt, tmp_path, monkeypatch):
    def half(part, file):
        file.write(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", half)
    run = attempt()
    with pytest.warns(UserWarning, match="a part of the run is not kept: .*No space left"):
        _, told = run.once("a", worker(run, []), 1)
    assert told == {"bias": 1}
    assert not [path for path in tmp_path.glob("*.parts/**/*") if path.is_file()]
    calls, again = [], attempt()
    with pytest.warns(UserWarning, match="not kept"):
        again.once("a", worker(again, calls), 1)
    assert calls == [1]


def test_a_run_by_hand_keeps_no_parts(monkeypatch, tmp_path):
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    monkeypatch.setattr(run_module, "RUNS", tmp_path)
    calls = []
    for _ in range(2):
        run = records.start("label_dp", {"preset": "smoke", "seed": 3})
        run.once("a", worker(run, calls), 1)
    assert calls == [1, 1]
    assert not list(tmp_path.glob("**/*.parts"))
