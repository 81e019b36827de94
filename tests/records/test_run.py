"""An open run notes what a record holds, and leaves no half of one."""

import hashlib
import json
import shutil
import subprocess
import warnings

import matplotlib.pyplot as plt
import pytest
import torch

from mmlib import records
from mmlib.evaluate.bootstrap import Interval
from mmlib.records import kept
from mmlib.records import run as run_module


def test_a_record_holds_what_the_design_asks(run, fill):
    fill(run).finish()
    record = json.loads((run.folder / "record.json").read_text())
    assert set(record) == {
        "schema_version", "chapter", "experiment", "preset", "parameters", "seed", "data", "git",
        "versions", "device", "dtype", "started", "seconds", "metrics", "files",
    }  # fmt: skip
    assert record["seed"] == record["parameters"]["seed"] == 3
    assert record["metrics"]["synergy.comm"]["definition"] == "balanced accuracy in %"
    assert set(record["versions"]) == {"python", "torch", "torchvision", "mmlib"}
    digest = hashlib.sha256((run.folder / "metrics.csv").read_bytes()).hexdigest()
    assert record["files"] == {"empty.png": record["files"]["empty.png"], "metrics.csv": digest}
    records.verify(run.folder)


def test_a_warning_does_not_say_where_the_code_lies(run):
    shown = warnings.formatwarning("no optimum", UserWarning, "/home/me/mmlib/probe.py", 3, "x")
    assert shown == "UserWarning: no optimum\n"


def test_the_data_hash_sees_values_types_and_shapes(run):
    some = torch.arange(4)
    nothing = torch.zeros(4), torch.zeros(4).int()  # the same bytes
    for i, tensor in enumerate([some, some.flip(0), some.int(), some[None], *nothing]):
        run.data(str(i), tensor)
    assert len(set(run._data.values())) == 6


def test_bfloat16_and_scalars_have_a_hash(run):
    run.data("odd", torch.tensor(1.5), torch.ones(2, dtype=torch.bfloat16))


def test_without_a_record_there_is_no_run(run, monkeypatch, fill):
    fill(run)
    assert records.load(run.folder.parent) == []
    run.finish()
    (record,) = records.load(run.folder.parent)
    assert (record["path"], record["kept"]) == (run.folder, False)
    monkeypatch.setattr(kept, "RESULTS", run.folder.parent)
    assert records.load(run.folder.parent)[0]["kept"]
    assert records.load(run.folder)[0]["kept"]  # of a part of the results


def test_starting_again_takes_back_the_old_record(run, tmp_path, fill):
    fill(run).finish()
    records.start("label_dp", {"preset": "smoke", "seed": 3, "folder": str(run.folder)})
    assert records.load(tmp_path) == []


def test_incomplete_runs_do_not_finish(run):
    with pytest.raises(ValueError, match="at least one metric and one data set"):
        run.finish()
    with pytest.raises(ValueError, match="no alternative text"):
        run.figure(plt.figure(), "x", alt=" ")
    run.figure(plt.figure(), "x", alt="Nothing.")
    with pytest.raises(ValueError, match="figure 'x' is there already"):
        run.figure(plt.figure(), "x", alt="Nothing.")
    run.metric("a.b", 1, "one")
    with pytest.raises(ValueError, match=r"metric 'a\.b' is noted already"):
        run.metric("a.b", 2, "two")
    run.data("toy", torch.zeros(2))
    with pytest.raises(ValueError, match="data 'toy' is noted already"):
        run.data("toy", torch.ones(2))


def test_both_ends_of_an_interval_are_noted_with_what_was_drawn(run):
    around = Interval(-1.0, 2.0, 0.5)
    run.ends("gap", around, "image")
    run.ends("gap", around, "pair", named=True)
    run.ends("area", around, "record", definition="area in %")
    assert {name: tuple(metric.values()) for name, metric in run.so_far()["metrics"].items()} == {
        "gap.low": (-1.0, "95 % bootstrap interval over images of gap, low end"),
        "gap.high": (2.0, "95 % bootstrap interval over images of gap, high end"),
        "gap.pair_low": (-1.0, "95 % bootstrap interval over pairs of gap, low end"),
        "gap.pair_high": (2.0, "95 % bootstrap interval over pairs of gap, high end"),
        "area.low": (-1.0, "area in %"),
        "area.high": (2.0, "area in %"),
    }


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
@pytest.mark.parametrize("changed", ["mmlib/a.py", "notebooks/n.ipynb", "requirements.txt"])
def test_a_checkout_is_clean_while_what_runs_depend_on_is_as_committed(
    changed, tmp_path, monkeypatch
):
    def git(*arguments):
        who = ("-c", "user.name=x", "-c", "user.email=x@example.org")
        command = ["git", "-C", str(tmp_path), *who, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    monkeypatch.setattr(run_module, "ROOT", tmp_path)
    assert records.git_state() == {"commit": None, "clean": False}
    for name in (changed, "book/page.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("as committed")
    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    (tmp_path / "book/page.md").write_text("in the middle of an edit")
    assert records.git_state() == {"commit": git("rev-parse", "HEAD"), "clean": True}
    (tmp_path / changed).write_text("changed")
    assert not records.git_state()["clean"]


def test_generators_differ_by_offset_and_seed(run, tmp_path):
    def first(generator):
        return torch.rand(1, generator=generator).item()

    other = records.start("label_dp", {"preset": "smoke", "seed": 4, "folder": str(tmp_path / "b")})
    draws = {first(run.generator()), first(run.generator(1)), first(other.generator())}
    assert len(draws) == 3
    assert first(run.generator()) == first(run.generator())


def test_a_figure_is_shown_with_its_text_in_one_line(run, monkeypatch):
    import IPython.display

    shown = []
    monkeypatch.setattr(IPython.display, "display", lambda _, metadata: shown.append(metadata))
    run.figure(plt.figure(), "x", alt="Two curves:\n  one falls.")
    assert shown == [{"image/png": {"alt": "Two curves: one falls."}}]


def test_a_curve_keeps_labels_that_some_of_its_points_have(run):
    run.curve("loss", 1, 2.5, method="comm")
    run.curve("loss", 2, 2.0)
    run.curve("match", 1, 9.0, kind="free")
    assert list(run.curves("loss")) == ["curve", "step", "value", "method"]
    assert len(run.curves()) == 3


def test_a_caption_names_the_set_that_it_is_of(run, fill):
    fill(run).data("other", torch.ones(1))
    assert "data toy, other, seed" in run.describe()
    assert "data other, seed" in run.describe("other")
    with pytest.raises(ValueError, match="data is 'othr'"):
        run.describe("othr")


def test_a_caption_and_a_record_say_of_what_code_and_digits_a_run_is(tmp_path, fill, monkeypatch):
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    for clean, end in ((True, "012345678"), (False, "012345678+")):
        state = {"commit": "0123456789abcdef", "clean": clean}
        monkeypatch.setattr(run_module, "git_state", lambda state=state: state)
        given = {"preset": "smoke", "precision": "bfloat16", "folder": str(tmp_path / end)}
        run = fill(records.start("unlearnable", given))
        assert run.describe().startswith("preset smoke, data toy, seed 0, ")
        assert run.describe().endswith(f", commit {end}")
        assert run.so_far()["kept"] is False
        run.finish()
        assert json.loads((run.folder / "record.json").read_text())["dtype"] == "bfloat16"
