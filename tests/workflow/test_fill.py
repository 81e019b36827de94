"""What is missing runs in its order, and stops when time is up."""

import importlib.util
import subprocess
import sys
import time

import pytest

from mmlib.records import ROOT


@pytest.fixture(scope="module")
def fill():
    spec = importlib.util.spec_from_file_location("fill", ROOT / "workflow" / "fill.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(checkout, *arguments):
    command = [sys.executable, "workflow/fill.py", *arguments]
    return subprocess.run(
        command, cwd=checkout.root, text=True, capture_output=True, check=False
    )  # fmt: skip


def row(chapter, experiment, seeds, preset="desk"):
    return {"chapter": chapter, "experiment": experiment, "preset": preset, "seeds": seeds}


def test_first_seeds_of_all_rows_come_before_second_ones(fill, tmp_path):
    grid = [row("a", "x", [0, 1, 2]), row("a", "x", [0], "quick"), row("b", "y", [0, 1])]
    kept = tmp_path / "a/x/desk/seed-0/record.json"
    kept.parent.mkdir(parents=True)
    kept.write_text("{}")
    (tmp_path / "a/x/desk/seed-1").mkdir()  # of a run that did not finish
    assert fill.missing(grid, "desk", [], tmp_path) == [
        "a/x/desk/seed-1", "b/y/desk/seed-0", "a/x/desk/seed-2", "b/y/desk/seed-1",
    ]  # fmt: skip
    assert fill.missing(grid, "desk", ["b/y", "a/x"], tmp_path)[0] == "b/y/desk/seed-0"
    assert fill.missing(grid, "desk", ["b/y"], tmp_path) == ["b/y/desk/seed-0", "b/y/desk/seed-1"]
    with pytest.raises(ValueError, match=r"row is 'a/y'; allowed at desk: a/x, b/y"):
        fill.missing(grid, "desk", ["a/y"], tmp_path)
    assert fill.missing([], "desk", [], tmp_path) == []


@pytest.mark.parametrize(
    ("preset", "statuses", "told"),
    [
        ("desk", {"snakemake": 0, "mmlib.records": 0}, "done"),
        ("desk", {"snakemake": 0, "mmlib.records": 1}, "failed"),  # has run, and is not kept
        ("desk", {"snakemake": 1}, "failed"),
        ("quick", {"snakemake": 0}, "done"),
    ],
)
def test_what_is_done_has_run_and_of_the_larger_sizes_is_kept(
    preset, statuses, told, fill, monkeypatch, capsys
):
    called = {}

    def call(arguments, seconds):
        called[arguments[0]] = statuses[arguments[0]]
        return statuses[arguments[0]]

    monkeypatch.setattr(fill, "call", call)
    monkeypatch.setattr(fill, "is_committed", lambda: True)
    monkeypatch.setattr(fill, "missing", lambda *_: ["a/x/seed-0"])
    monkeypatch.setattr(fill.signal, "signal", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["fill.py", preset])
    with pytest.raises(SystemExit) as end:
        fill.main()
    assert (called, end.value.code) == (statuses, told == "failed")
    assert f"a/x/seed-0: {told}" in capsys.readouterr().out


def test_time_ends_the_run_in_progress_and_starts_no_other(checkout):
    checkout.chapter(1, "alpha", "near", "time.sleep(600)")
    checkout.chapter(2, "beta", "alone")
    checkout.grid({"chapter": "alpha"}, {"chapter": "beta"})
    began = time.monotonic()
    done = run(checkout, "quick", "--minutes", "0.1")
    assert done.returncode == 0
    assert 6 <= time.monotonic() - began < 60
    assert "time is up in alpha/overview/quick/seed-0; missing: 2" in done.stdout
    assert not checkout.run_folder("alpha").exists()
    assert not checkout.run_folder("beta").exists()
    for kernel in checkout.root.glob("build/runs/**/kernel"):
        checkout.wait_for(lambda kernel=kernel: checkout.has_ended(kernel.read_text()), 15)


def test_one_that_fails_does_not_stop_the_others(checkout):
    checkout.chapter(1, "alpha", "alone", "raise RuntimeError('no such data')")
    checkout.chapter(2, "beta", "near")
    checkout.grid({"chapter": "alpha"}, {"chapter": "beta"})
    checkout.without_kernels()
    done = run(checkout, "quick", "--minutes", "5", "alpha/overview", "beta/overview")
    assert done.returncode == 1
    assert "missing: 2\nalpha/overview/quick/seed-0: failed" in done.stdout
    assert checkout.record("beta")["seed"] == 0


def test_what_could_not_be_kept_does_not_run(checkout):
    checkout.write("mmlib/records.py", "git_state = lambda: {'clean': False}")
    checkout.chapter(1, "alpha", "alone")
    checkout.grid({"chapter": "alpha", "preset": "desk"})
    done = run(checkout, "desk")
    assert done.returncode == 2
    assert "runs of code that is not committed are not kept" in done.stderr
    assert not (checkout.root / "build").exists()


def test_ended_by_a_signal_it_takes_the_run_in_progress_with_it(checkout):
    checkout.chapter(1, "alpha", "near", "time.sleep(600)")
    checkout.grid({"chapter": "alpha"})
    process = subprocess.Popen([sys.executable, "workflow/fill.py", "quick"], cwd=checkout.root)
    kernel = checkout.wait_for(lambda: list(checkout.root.glob("build/runs/**/kernel")))[0]
    pid = int(checkout.wait_for(kernel.read_text))
    process.terminate()
    assert process.wait(60) == 1
    checkout.wait_for(lambda: checkout.has_ended(pid), 15)
