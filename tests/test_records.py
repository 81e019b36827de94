"""A record is whole or it is not there."""

import errno
import hashlib
import json
import shutil
import subprocess
import time
import warnings
from base64 import b64encode

import matplotlib.pyplot as plt
import pytest
import torch

from mmlib import records
from mmlib.presets.base import resolve


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)  # a run sets its own
    return records.start(
        "label_dp", {"preset": "smoke", "seed": 3, "folder": str(tmp_path / "run")}
    )


def filled(run):
    run.data("toy", torch.arange(4))
    run.metric("synergy.comm", 50.0, "balanced accuracy in %")
    run.curve("loss", 1, 2.5, method="comm")
    figure, _ = plt.subplots()
    run.figure(figure, "empty", alt="Empty axes.")
    return run


def test_a_record_holds_what_the_design_asks(run):
    filled(run).finish()
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


def test_without_a_record_there_is_no_run(run, monkeypatch):
    filled(run)
    assert records.load(run.folder.parent) == []
    run.finish()
    (record,) = records.load(run.folder.parent)
    assert (record["path"], record["kept"]) == (run.folder, False)
    monkeypatch.setattr(records, "RESULTS", run.folder.parent)
    assert records.load(run.folder.parent)[0]["kept"]


def test_starting_again_takes_back_the_old_record(run, tmp_path):
    filled(run).finish()
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
    with pytest.raises(ValueError, match="noted already"):
        run.metric("a.b", 2, "two")


def test_verify_finds_a_changed_and_a_missing_file(run):
    filled(run).finish()
    (run.folder / "metrics.csv").write_text("curve,step,value\n")
    with pytest.raises(ValueError, match=r"metrics\.csv is not what the run wrote"):
        records.verify(run.folder)
    (run.folder / "empty.png").unlink()
    with pytest.raises(ValueError, match=r"empty\.png is missing"):
        records.verify(run.folder)


def test_seal_publishes_the_whole_folder_at_once(tmp_path):
    scratch, final = tmp_path / "seed-3.running", tmp_path / "seed-3"
    run = records.start("label_dp", {"preset": "smoke", "seed": 3, "folder": str(scratch)})
    filled(run).finish()
    (scratch / "notebook.ipynb").write_text("{}")
    assert records.load(tmp_path) == []  # scratch folders are not read
    final.mkdir()
    (final / "old.png").write_text("from an earlier run")
    records.seal(scratch, final)
    records.verify(final)
    (record,) = records.load(tmp_path)
    assert "notebook.ipynb" in record["files"]
    assert not (final / "old.png").exists()
    assert not scratch.exists()


def as_at_desk(run):
    """Make a finished run's record that of the grid's row at desk; its path and its content."""
    settings = resolve("label_dp", {"preset": "desk", "seed": 3})
    figures = [
        {
            "output_type": "display_data",
            "data": {"image/png": b64encode(path.read_bytes()).decode()},
            "metadata": {"image/png": {"alt": 'a "blank"', "width": 7}},
        }
        for path in sorted(run.folder.glob("*.png"))
    ]
    other = {"output_type": "display_data", "data": {"image/png": "AAAA"}, "metadata": {}}
    code = {"metadata": {"tags": ["x"], "papermill": {}}, "outputs": [*figures, other]}
    text = json.dumps({"cells": [{"metadata": {}}, code]})
    (run.folder / "notebook.ipynb").write_text(text)
    path = run.folder / "record.json"
    record = json.loads(path.read_text())
    record["files"]["notebook.ipynb"] = hashlib.sha256(text.encode()).hexdigest()
    record |= {"preset": "desk", "git": {"commit": "0" * 40, "clean": True}}
    record["parameters"] = settings.model_dump(mode="json", exclude={"folder"})
    path.write_text(json.dumps(record))
    return path, record


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"experiment": "other"}, "is of label_dp/other/desk, which grid.yml has not"),
        ({"parameters": {"epsilon": 4.0}}, r"epsilon is 4\.0, in its row 5\.0\. Give it a row"),
        ({"parameters": {"gone": 1}}, "gone is 1, in its row None"),
        ({"files": {}}, "has no executed notebook; run it by the workflow"),
    ],
)
def test_what_the_workflow_did_not_run_as_its_row_says_is_not_kept(run, tmp_path, change, message):
    filled(run).finish()
    path, record = as_at_desk(run)
    path.write_text(json.dumps(record | change))
    with pytest.raises(ValueError, match=message):
        records.keep(run.folder, tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_a_parameter_that_came_later_does_not_keep_a_record_out(run, tmp_path):
    filled(run).finish()
    path, record = as_at_desk(run)
    del record["parameters"]["audits"]
    path.write_text(json.dumps(record))
    records.verify(records.keep(run.folder, tmp_path / "results"))


def test_only_larger_runs_of_committed_code_are_kept(run, tmp_path):
    filled(run).finish()
    with pytest.raises(ValueError, match="preset is 'smoke'; allowed: 'desk', 'paper'"):
        records.keep(run.folder, tmp_path / "results")
    path, record = as_at_desk(run)
    record["git"]["clean"] = False
    path.write_text(json.dumps(record))
    with pytest.raises(ValueError, match="clean checkout"):
        records.keep(run.folder, tmp_path / "results")
    as_at_desk(run)
    final = records.keep(run.folder, tmp_path / "results")
    assert final == tmp_path / "results/label_dp/overview/desk/seed-3"
    records.verify(final)
    cut_short = final.with_name("seed-3.running")
    cut_short.mkdir()
    (cut_short / "old.png").write_text("of a copy that did not end")
    assert records.keep(run.folder, tmp_path / "results") == final
    assert sorted(p.name for p in final.iterdir()) == sorted(p.name for p in run.folder.iterdir())
    assert not cut_short.exists()


def test_a_run_that_was_changed_is_not_kept(run, tmp_path):
    filled(run).finish()
    as_at_desk(run)
    (run.folder / "metrics.csv").write_text("curve,step,value\n")
    with pytest.raises(ValueError, match=r"metrics\.csv is not what the run wrote"):
        records.keep(run.folder, tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_a_kept_notebook_names_the_figures_beside_it(run, tmp_path):
    filled(run).finish()
    as_at_desk(run)
    before = (run.folder / "notebook.ipynb").read_bytes()
    final = records.keep(run.folder, tmp_path / "results")
    records.verify(final)
    figure, other = json.loads((final / "notebook.ipynb").read_text())["cells"][1]["outputs"]
    shown = '<img src="empty.png" alt="a &quot;blank&quot;" width="7">'
    assert figure == {
        "output_type": "display_data", "data": {"text/html": shown}, "metadata": {}
    }  # fmt: skip
    assert other["data"] == {"image/png": "AAAA"}  # the file of no figure
    assert (run.folder / "notebook.ipynb").read_bytes() == before


def test_a_kept_run_has_no_figures_of_other_runs_and_no_times_of_its_cells(run, tmp_path):
    figure, ax = plt.subplots()
    ax.plot([0, 1])
    run.figure(figure, "scores_recorded", alt="Others' scores.")
    filled(run).finish()
    as_at_desk(run)
    final = records.keep(run.folder, tmp_path / "results")
    records.verify(final)
    assert (run.folder / "scores_recorded.png").is_file()
    assert not (final / "scores_recorded.png").exists()
    assert "scores_recorded.png" not in json.loads((final / "record.json").read_text())["files"]
    _, code = json.loads((final / "notebook.ipynb").read_text())["cells"]
    assert code["metadata"] == {"tags": ["x"]}
    shown = [output["data"].get("text/html", "") for output in code["outputs"]]
    assert "empty.png" in shown[0]
    assert shown[1] == "<p>scores_recorded.png, of other runs' records, is left out.</p>"


@pytest.fixture
def attempt(tmp_path, monkeypatch):
    """A new attempt at a run, in a folder of its own as the workflow makes them."""
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    numbers = iter(range(100))

    def start(**parameters):
        folder = str(tmp_path / f"seed-3.{next(numbers)}.running")
        given = {"preset": "smoke", "seed": 3, "folder": folder} | parameters
        run = records.start("label_dp", given)
        run.data("toy", torch.arange(4))
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


def test_parts_are_of_the_same_settings_data_code_and_name_only(attempt, tmp_path, monkeypatch):
    calls = []

    def taken_up(run, part="a"):
        with monkeypatch.context() as unchanged:  # there is a part of an attempt as it should be
            for name, value in as_it_is.items():
                unchanged.setattr(records, name, value)
            first = attempt()
            first.once("a", worker(first, calls), 1)
        made = len(calls)
        run.once(part, worker(run, calls), 1)
        return len(calls) == made

    as_it_is = {name: getattr(records, name) for name in ("ROOT", "device_name", "_versions")}
    assert taken_up(attempt())
    assert not taken_up(attempt(), "b")
    other_data = attempt()
    other_data.data("more", torch.arange(5))
    assert not taken_up(other_data)
    with pytest.raises(ValueError, match="part 'a' of the run is there already"):
        taken_up(other_data)
    assert not taken_up(attempt(epsilon=4.0))
    for name in ("device_name", "_versions"):
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr(records, name, lambda *_: "another")
            assert not taken_up(attempt()), name
    for changed in ("notebooks/04_label_dp.ipynb", "mmlib/label_dp/release.py"):
        copy = tmp_path / changed.partition(".")[0]
        for folder in ("notebooks", "mmlib"):
            shutil.copytree(records.ROOT / folder, copy / folder)
        with (copy / changed).open("a") as file:
            file.write("\n")
        with monkeypatch.context() as changed_code:
            changed_code.setattr(records, "ROOT", copy)
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
    monkeypatch.setattr(records, "RUNS", tmp_path)
    calls = []
    for _ in range(2):
        run = records.start("label_dp", {"preset": "smoke", "seed": 3})
        run.once("a", worker(run, calls), 1)
    assert calls == [1, 1]
    assert not list(tmp_path.glob("**/*.parts"))


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
@pytest.mark.parametrize("changed", ["mmlib/a.py", "notebooks/n.ipynb", "requirements.txt"])
def test_a_checkout_is_clean_while_what_runs_depend_on_is_as_committed(
    changed, tmp_path, monkeypatch
):
    def git(*arguments):
        who = ("-c", "user.name=x", "-c", "user.email=x@example.org")
        command = ["git", "-C", str(tmp_path), *who, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    monkeypatch.setattr(records, "ROOT", tmp_path)
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
