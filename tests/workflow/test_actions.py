"""What GitHub runs exists: targets of the Makefile, chapters, presets, paths."""

import re

import pytest
import yaml

from mmlib.presets.base import CHAPTERS, NAMES
from mmlib.records import ROOT

FOLDER = ROOT / ".github" / "workflows"
FILES = sorted(FOLDER.glob("*.yml"))


def load(name):
    workflow = yaml.safe_load((FOLDER / name).read_text())
    workflow["on"] = workflow.pop(True)  # YAML 1.1 reads the key `on` as true
    return workflow


def steps(workflow):
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_is_a_workflow_of_known_parts(path):
    workflow = load(path.name)
    assert set(workflow) <= {"name", "on", "permissions", "concurrency", "jobs"}
    assert workflow["permissions"] == {"contents": "read"}  # more only where a job needs it
    for job in workflow["jobs"].values():
        assert "runs-on" in job
        assert set(job.get("needs", [])) <= set(workflow["jobs"])
    for step in steps(workflow):
        assert ("uses" in step) != ("run" in step), step
        assert re.fullmatch(r"actions/[\w-]+@v\d+", step.get("uses", "actions/x@v1"))


def test_both_are_there_and_call_targets_that_exist():
    assert [path.stem for path in FILES] == ["book", "rerun"]
    targets = re.findall(r"^([\w ]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    known = {word for line in targets for word in line.split()}
    runs = "\n".join(step.get("run", "") for path in FILES for step in steps(load(path.name)))
    called = re.findall(r"make (\w+)", runs)
    assert {"test", "book", "environment"} <= set(called) <= known


def test_the_book_that_is_published_is_the_one_that_is_built():
    (upload,) = (
        step["with"]["path"]
        for step in steps(load("book.yml"))
        if "upload-pages-artifact" in step.get("uses", "")
    )
    source = (ROOT / "workflow" / "book.py").read_text()
    names = re.search(r"^STAGE = ROOT(.*)$", source, re.MULTILINE)[1]
    names += re.search(r"^HTML = STAGE(.*)$", source, re.MULTILINE)[1]
    assert upload == "/".join(re.findall(r'"([^"]+)"', names))
    versions = load("book.yml")["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert versions == ["3.11", "3.12", "3.13"]


def test_rerun_offers_the_chapters_and_presets_there_are():
    workflow = load("rerun.yml")
    inputs = workflow["on"]["workflow_dispatch"]["inputs"]
    assert inputs["chapter"]["options"] == list(CHAPTERS)
    assert inputs["preset"]["options"] == list(NAMES)
    assert set(inputs) == {"chapter", "experiment", "preset", "seed"}
    # Inputs reach the shell only as quoted variables, so none can be code.
    for step in steps(workflow):
        assert "${{" not in step.get("run", "")
    assert workflow["jobs"]["rerun"]["runs-on"] == ["self-hosted", "gpu"]
    place = workflow["jobs"]["rerun"]["env"]["PLACE"]
    filled = re.sub(r"\$\{\{ inputs\.(\w+) \}\}", r"{\1}", place)
    snakefile = (ROOT / "workflow" / "Snakefile").read_text()
    assert f'PLACE = "{filled}"' in snakefile
