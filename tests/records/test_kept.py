"""A record is whole or it is not there, and what is kept is what a row of the grid asks."""

import hashlib
import itertools
import json
import os
import shutil
import threading
from base64 import b64encode

import matplotlib.pyplot as plt
import pytest

from mmlib import records
from mmlib.presets.base import resolve
from mmlib.records import kept


def test_verify_finds_a_changed_and_a_missing_file(run, fill):
    fill(run).finish()
    (run.folder / "metrics.csv").write_text("curve,step,value\n")
    with pytest.raises(
        ValueError, match=r"metrics\.csv is not what the run wrote; restore it, or delete"
    ):
        records.verify(run.folder)
    (run.folder / "empty.png").unlink()
    with pytest.raises(ValueError, match=r"empty\.png is missing"):
        records.verify(run.folder)


@pytest.mark.parametrize("left", ["", '{"chapter": "co', "{}", "[]", None])
def test_a_record_that_is_damaged_or_missing_is_named(left, tmp_path):
    path = tmp_path / "seed-0" / "record.json"
    path.parent.mkdir()
    if left is None:
        with pytest.raises(ValueError, match=r"seed-0 has no record\.json"):
            records.verify(path.parent)
        return
    path.write_text(left)
    for read in (records.verify, records.keep, lambda folder: records.load(folder)):
        with pytest.raises(ValueError, match=r"seed-0/record\.json is damaged; delete it"):
            read(path.parent)


def test_seal_publishes_the_whole_folder_at_once(tmp_path, fill, monkeypatch):
    scratch, final = tmp_path / "seed-3.running", tmp_path / "seed-3"
    run = records.start("label_dp", {"preset": "smoke", "seed": 3, "folder": str(scratch)})
    fill(run).finish()
    (scratch / "notebook.ipynb").write_text("{}")
    assert records.load(tmp_path) == []  # scratch folders are not read
    whole = (scratch / "metrics.csv").read_bytes()
    (scratch / "metrics.csv").write_bytes(whole + b"loss,2,0.0,comm\n")
    with pytest.raises(ValueError, match=r"metrics\.csv is not what the run wrote"):
        records.seal(scratch, final)
    (scratch / "metrics.csv").write_bytes(whole)
    final.mkdir()
    for name in ("old.png", "record.json"):
        (final / name).write_text("from an earlier run")
    with monkeypatch.context() as cut_short:
        cut_short.setattr(kept.shutil, "rmtree", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            records.seal(scratch, final)
    assert records.load(tmp_path) == []  # half of an earlier run is none
    records.seal(scratch, final)
    records.verify(final)
    (record,) = records.load(tmp_path)
    assert "notebook.ipynb" in record["files"]
    assert not (final / "old.png").exists()
    assert not scratch.exists()


def test_records_are_read_while_other_runs_are_published(tmp_path):
    """As in the chapters that the workflow runs side by side."""
    done = threading.Event()

    def publish():
        for turn in itertools.count():
            final = tmp_path / f"seed-{turn % 20}"
            scratch = final.with_name(f"{final.name}.{turn}.running")
            scratch.mkdir()
            (scratch / "record.json").write_text('{"files": {}}')
            if final.exists():
                (final / "record.json").unlink()
                shutil.rmtree(final)
            os.replace(scratch, final)
            if done.is_set():
                return

    (tmp_path / "kept" / "seed-0").mkdir(parents=True)
    (tmp_path / "kept" / "seed-0" / "record.json").write_text('{"files": {}, "seed": 0}')
    other = threading.Thread(target=publish)
    other.start()
    try:
        for _ in range(300):
            assert {"seed": 0}.items() <= records.load(tmp_path)[0].items()
    finally:
        done.set()
        other.join()


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
def test_what_the_workflow_did_not_run_as_its_row_says_is_not_kept(
    run, tmp_path, change, message, fill
):
    fill(run).finish()
    path, record = as_at_desk(run)
    path.write_text(json.dumps(record | change))
    with pytest.raises(ValueError, match=message):
        records.keep(run.folder, tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_a_parameter_that_came_later_does_not_keep_a_record_out(run, tmp_path, fill):
    fill(run).finish()
    path, record = as_at_desk(run)
    del record["parameters"]["audits"]
    path.write_text(json.dumps(record))
    records.verify(records.keep(run.folder, tmp_path / "results"))


def test_only_larger_runs_of_committed_code_are_kept(run, tmp_path, fill):
    fill(run).finish()
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


@pytest.mark.parametrize("name", ["metrics.csv", "notebook.ipynb"])
def test_a_run_that_was_changed_is_not_kept(name, run, tmp_path, fill):
    fill(run).finish()
    as_at_desk(run)
    with (run.folder / name).open("a") as file:
        file.write("\n")
    with pytest.raises(ValueError, match=f"{name} is not what the run wrote"):
        records.keep(run.folder, tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_a_kept_notebook_names_the_figures_beside_it(run, tmp_path, fill):
    fill(run).finish()
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


def test_a_kept_run_has_no_figures_of_other_runs_and_no_times_of_its_cells(run, tmp_path, fill):
    figure, ax = plt.subplots()
    ax.plot([0, 1])
    run.figure(figure, "scores_recorded", alt="Others' scores.")
    fill(run).finish()
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
