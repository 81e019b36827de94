"""A checkout with the real workflow around tiny chapters and a tiny library."""

import json
import shutil
import subprocess
import sys
import time
from itertools import count
from pathlib import Path

import pytest

from mmlib.records import ROOT

NUMBERS = count()
PARAMETERS = """
from typing import Optional
preset: str = "quick"
seed: int = 0
folder: Optional[str] = None
"""
# Says where it runs, then does the chapter's own thing, then writes its record.
BODY = """
import json, os, pathlib, time
began = time.time()  # before others can see that it has begun
pathlib.Path(folder, "kernel").write_text(str(os.getpid()))
from mmlib import {module}
{code}
"""
LAST = """
record = {"seed": seed, "attempt": os.environ.get("ATTEMPT"), "began": began, "ended": time.time()}
pathlib.Path(folder, "record.json").write_text(json.dumps(record))
"""
# In papermill's place: runs the cells itself.
CELLS = """
import json, shutil, sys
_, notebook, executed, *_, given, _, _, folder = sys.argv
scope = {}
for number, cell in enumerate(json.load(open(notebook))["cells"]):
    exec(cell["source"], scope)
    if number == 0:
        scope.update(json.loads(given), folder=folder)
shutil.copy(notebook, executed)
"""
# As mmlib.records seals, without importing torch.
RECORDS = """
import os, shutil, sys
_, scratch, final = sys.argv[1:]
assert os.path.exists(os.path.join(scratch, "notebook.ipynb"))
shutil.rmtree(final, ignore_errors=True)
os.replace(scratch, final)
"""


class Call:
    """A call of Snakemake, in a session of its own."""

    def __init__(self, snakemakes, folder, environment, arguments):
        self._snakemakes = snakemakes
        self._output = folder.with_name(f"{folder.name}.{next(NUMBERS)}.out")
        self.pid = self._ask([str(folder), environment, str(self._output), arguments])

    def _ask(self, what):
        print(json.dumps(what), file=self._snakemakes.stdin, flush=True)
        return int(self._snakemakes.stdout.readline())

    def wait(self):
        """When it has ended, its status and what it has printed."""
        return self._ask(self.pid), self._output.read_text()


class Checkout:
    def __init__(self, root, snakemakes):
        self.root, self.snakemakes = root, snakemakes
        shutil.copytree(ROOT / "workflow", root / "workflow")
        self.write("requirements.txt", "torch==2.15.0\n")
        self.write("book/coverage.yml", "[]\n")
        self.write("mmlib/__init__.py", "")
        self.write("mmlib/records.py", RECORDS)
        self.write("mmlib/alone.py", "")
        self.write("mmlib/near.py", "from mmlib import far\n")
        self.write("mmlib/far.py", "VALUE = 1\n")

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def without_kernels(self):
        """Spare the tests a second for each run, where it does not matter who runs the cells."""
        self.write("papermill.py", CELLS)

    def chapter(self, number, name, module, code=""):
        sources = [(PARAMETERS, ["parameters"]), (BODY.format(module=module, code=code), [])]
        cells = [
            {
                "cell_type": "code",
                "id": f"c{index}",
                "metadata": {"tags": tags},
                "source": source,
                "outputs": [],
                "execution_count": None,
            }
            for index, (source, tags) in enumerate([*sources, (LAST, [])])
        ]
        metadata = {
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
        }
        notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": cells}
        self.write(f"notebooks/{number:02d}_{name}.ipynb", json.dumps(notebook))

    def grid(self, *rows):
        whole = [{"experiment": "overview", "preset": "quick", "seeds": [0]} | row for row in rows]
        self.write("workflow/grid.yml", json.dumps(whole))  # JSON is YAML

    def start(self, *arguments, profile="local", **environment):
        return Call(
            self.snakemakes, self.root, environment,
            ["--nocolor", "--profile", f"workflow/profiles/{profile}", *arguments],
        )  # fmt: skip

    def call(self, *arguments, fails=False, **options):
        """Everything that a call of the workflow prints."""
        status, output = self.start(*arguments, **options).wait()
        assert bool(status) == fails, output
        return output

    def run_folder(self, chapter, preset="quick", seed=0):
        return self.root / "build" / "runs" / chapter / "overview" / preset / f"seed-{seed}"

    def record(self, chapter, **place):
        return json.loads((self.run_folder(chapter, **place) / "record.json").read_text())

    @staticmethod
    def wait_for(condition, seconds=60):
        end = time.monotonic() + seconds
        while not (value := condition()):
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.05)
        return value

    @staticmethod
    def has_ended(pid):
        """Whether a process is gone, or a zombie."""
        stat = Path(f"/proc/{pid}/stat")
        try:
            return stat.read_text().rpartition(")")[2].split()[0] == "Z"
        except FileNotFoundError:
            return True

    def unfinished(self):
        return sorted(self.root.glob("build/runs/**/*.running"))


@pytest.fixture(scope="session")
def snakemakes():
    command = [sys.executable, "-P", Path(__file__).with_name("snakemakes.py")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as forking:
        yield forking


@pytest.fixture
def checkout(tmp_path, snakemakes):
    return Checkout(tmp_path, snakemakes)
