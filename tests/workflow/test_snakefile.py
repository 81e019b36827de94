"""The workflow on tiny chapters: runs, reruns with reasons, failures, kills, clusters."""

import os
import re
import shutil
import signal

import nbformat
import pytest
import yaml

from mmlib.presets.base import CHAPTERS, NAMES
from mmlib.records import ROOT


def jobs(output):
    """Chapter, preset and seed of each run announced, with its reason."""
    found = re.findall(r"chapter (\w+), (\w+), seed (\d+) .*\nReason: (.*)", output)
    return {(chapter, preset, int(seed)): reason for chapter, preset, seed, reason in found}


def test_runs_what_is_missing_or_changed_and_says_why(checkout):
    checkout.chapter(1, "alpha", "alone")
    checkout.chapter(2, "beta", "near", "print('beta says', seed)  # and what others.yml says")
    checkout.write("book/others.yml", "[]\n")
    checkout.grid({"chapter": "alpha"}, {"chapter": "beta", "seeds": [3]})
    checkout.write("mmlib/presets/alpha.py", "")  # imported by a computed name alone
    shown = "results/alpha/overview/desk/seed-0/record.json"  # the page shows it too

    output = checkout.call("quick")
    assert set(jobs(output)) == {("alpha", "quick", 0), ("beta", "quick", 3)}
    assert "1 of 3 steps (33%) done" in output
    assert "says" not in output  # a notebook's own noise goes to the log
    log = checkout.root / "build/logs/beta/overview/quick/seed-3.log"
    assert "beta says 3" in log.read_text()
    executed = nbformat.read(checkout.run_folder("beta", seed=3) / "notebook.ipynb", as_version=4)
    assert "beta says 3" in str(executed.cells)
    assert str(checkout.root) not in str(executed)  # no place on this machine in a kept record
    assert not checkout.unfinished()

    (checkout.root / "mmlib/far.py").touch()  # as git does; the content is the same
    checkout.write("mmlib/unrelated.py", "")
    assert "Nothing to be done" in checkout.call("quick")

    notebook = checkout.run_folder("alpha") / "notebook.ipynb"
    kept = notebook.read_bytes()
    notebook.unlink()  # as a run by hand in the same place does, which writes a record of its own
    assert "notebook.ipynb" in jobs(checkout.call("quick", "--dry-run"))["alpha", "quick", 0]
    notebook.write_bytes(kept)

    checkout.write("mmlib/far.py", "VALUE = 2\n")
    checkout.write("book/others.yml", "[2]\n")
    checkout.write("mmlib/alone.py", "from mmlib import unrelated\n")
    checkout.write("mmlib/presets/alpha.py", "STEPS = 2\n")
    checkout.write(shown, "{}")
    reasons = jobs(checkout.call("quick", "--dry-run"))
    for_beta = ("mmlib/far.py", "book/others.yml")
    for_alpha = ("mmlib/alone.py", "mmlib/unrelated.py", "mmlib/presets/alpha.py", shown)
    for place, ours, others in (
        (("beta", "quick", 3), for_beta, for_alpha), (("alpha", "quick", 0), for_alpha, for_beta)
    ):  # fmt: skip
        assert all(name in reasons[place] for name in ours), reasons[place]
        assert not any(name in reasons[place] for name in others), reasons[place]

    checkout.write("mmlib/far.py", "VALUE = 1\n")  # as it was
    checkout.write("book/others.yml", "[]\n")
    checkout.write("mmlib/alone.py", "")
    checkout.write("mmlib/presets/alpha.py", "")
    (checkout.root / shown).unlink()
    checkout.grid({"chapter": "alpha", "parameters": {"x": 1}}, {"chapter": "beta", "seeds": [3]})
    checkout.chapter(2, "beta", "near", "print('beta says more', seed)")
    reasons = jobs(checkout.call("quick", "--dry-run"))
    assert reasons["alpha", "quick", 0].startswith("Params have changed since last execution")
    assert reasons["beta", "quick", 3] == "Updated input files: notebooks/02_beta.ipynb"
    looked_at = {"chapter": "alpha", "preset": "desk", "looks": 2}  # its page's intervals widen
    checkout.grid({"chapter": "alpha"}, looked_at, {"chapter": "beta", "seeds": [3]})
    reasons = jobs(checkout.call("quick", "--dry-run"))
    assert reasons["alpha", "quick", 0].startswith("Params have changed since last execution")

    checkout.chapter(2, "beta", "near", 'print("alpha")')  # whose records its page may show
    checkout.write(shown, "{}")
    reasons = jobs(checkout.call("quick", "--dry-run"))
    for place in (("alpha", "quick", 0), ("beta", "quick", 3)):
        assert shown in reasons[place]
    (checkout.root / shown).unlink()

    checkout.write("requirements.txt", "torch==2.16.0\n")
    reasons = jobs(checkout.call("quick", "--dry-run", "--config", "chapter=alpha"))
    assert list(reasons) == [("alpha", "quick", 0)]
    assert "Updated input files: requirements.txt" in reasons["alpha", "quick", 0]

    checkout.grid({"chapter": "alpha"}, {"chapter": "alpha", "experiment": "more", "seeds": [1]})
    reasons = jobs(checkout.call("quick", "--dry-run", "--config", "experiment=more"))
    assert list(reasons) == [("alpha", "quick", 1)]


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two cores")
@pytest.mark.parametrize("gpu", [False, True])
def test_runs_share_the_cores_but_not_a_gpu(checkout, gpu):
    snakefile = checkout.root / "workflow" / "Snakefile"
    text = snakefile.read_text()
    found = 'any(Path("/dev").glob("nvidia[0-9]*"))'
    assert found in text
    snakefile.write_text(text.replace(found, str(gpu)))
    checkout.without_kernels()
    # Each waits for the other to begin, which the first of two in turn does in vain.
    one = "len(list(pathlib.Path('build/runs').glob(f'*/overview/{preset}/*/kernel'))) < 2"
    for preset, alone in (("quick", gpu), ("paper", True)):
        wait = f"while {one} and time.time() < began + {3 if alone else 60}: time.sleep(0.05)"
        checkout.chapter(1, "alpha", "alone", wait)
        checkout.chapter(2, "comm", "alone", wait)
        checkout.grid(*({"chapter": name, "preset": preset} for name in ("alpha", "comm")))
        checkout.call(preset)
        short, long = (checkout.record(name, preset=preset) for name in ("alpha", "comm"))
        assert long["began"] < short["ended"]  # the one that takes longest comes first
        assert (long["ended"] < short["began"]) == alone


def test_a_run_that_fails_shows_why_and_leaves_no_record(checkout):
    checkout.chapter(1, "alpha", "alone")
    checkout.chapter(2, "beta", "near", "raise RuntimeError('the planted error')")
    # Its own run changes a file that it depends on, as an author in the middle of an edit does.
    change = "pathlib.Path('mmlib/far.py').write_text('VALUE = 2')"
    checkout.chapter(3, "gamma", "near", f"time.sleep(0.01); {change}")
    checkout.grid(*({"chapter": name} for name in ("beta", "gamma", "alpha")))

    output = checkout.call("quick", fails=True)
    end = output[output.index("Exiting because a job execution failed") :]
    assert "RuntimeError: the planted error" in end
    assert "all of it: build/logs/beta/overview/quick/seed-0.log" in end
    assert "changed meanwhile, so run it again: mmlib/far.py" in end
    assert checkout.record("alpha")["seed"] == 0  # the others ran all the same
    for name in ("beta", "gamma"):
        assert not checkout.run_folder(name).exists()
    assert len(checkout.unfinished()) == 2


def test_a_wrong_name_stops_before_anything_runs(checkout):
    checkout.chapter(1, "alpha", "alone")
    checkout.grid({"chapter": "alpha"}, {"chapter": "beta"})
    output = checkout.call("quick", "--config", "chapter=alfa", fails=True)
    assert "chapter is 'alfa'; allowed: 'alpha', 'beta'" in output
    output = checkout.call("quick", "--config", "chapter=beta", "experiment=more", fails=True)
    assert "allowed: ('alpha', 'overview', 'quick'), ('beta', 'overview', 'quick')" in output
    checkout.grid({"chapter": "alpha", "presets": "quick"})
    output = checkout.call("quick", fails=True)
    assert "'presets': 'quick'" in output
    assert "has not the keys ['chapter', 'experiment', 'preset', 'seeds']" in output
    assert not (checkout.root / "build").exists()


def test_killed_in_the_middle_the_rest_completes(checkout):
    checkout.chapter(1, "alpha", "alone")
    # The first attempt's kernel outlives the kill for a moment and then would write a record.
    wait = "while os.environ['ATTEMPT'] == '1' and not os.path.exists('killed'): time.sleep(0.1)"
    checkout.chapter(2, "beta", "near", wait)
    checkout.grid({"chapter": "alpha"}, {"chapter": "beta"})
    checkout.call("quick", "--config", "chapter=alpha", ATTEMPT="0")
    done = (checkout.run_folder("alpha") / "record.json").stat()

    process = checkout.start("quick", ATTEMPT="1")
    kernel = checkout.wait_for(
        lambda: list(checkout.root.glob("build/runs/beta/**/*.running/kernel"))
    )[0]
    pid = int(checkout.wait_for(kernel.read_text))
    second = checkout.call("quick", ATTEMPT="2", fails=True)
    assert "the workflow is running already" in second
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    checkout.write("killed", "")
    assert not list(checkout.root.glob("build/runs/beta/overview/quick/seed-0/record.json"))

    output = checkout.call("quick", ATTEMPT="2")
    assert set(jobs(output)) == {("beta", "quick", 0)}
    assert (checkout.run_folder("alpha") / "record.json").stat() == done
    checkout.wait_for(lambda: checkout.has_ended(pid), 15)
    assert checkout.record("beta")["attempt"] == "2"
    assert not checkout.unfinished()
    assert "Nothing to be done" in checkout.call("quick")


def test_runs_through_a_submit_command(checkout):
    """The generic cluster executor; its submit command runs the job at once."""
    checkout.chapter(1, "alpha", "alone")
    checkout.grid({"chapter": "alpha"})
    checkout.without_kernels()
    output = checkout.call(
        "quick", "--executor", "cluster-generic", "--cluster-generic-submit-cmd", "bash >&2",
        "--jobs", "1", "--seconds-between-status-checks", "1",
    )  # fmt: skip
    assert "run:chapter=alpha" in output  # another Snakemake got the one job
    assert checkout.record("alpha")["seed"] == 0


def test_the_grid_of_this_book_is_complete(checkout):
    for name in ("mmlib", "notebooks", "book", "results"):
        shutil.rmtree(checkout.root / name, ignore_errors=True)
        (checkout.root / name).symlink_to(ROOT / name)
    output = checkout.call("smoke", "quick", "desk", "paper", "--dry-run")
    assert len({(chapter, preset) for chapter, preset, _ in jobs(output)}) == len(CHAPTERS) * len(
        NAMES
    )
    text = (ROOT / "workflow/Snakefile").read_text()
    longest = re.findall(r"\w+", re.search(r"^LONG = \((.*?)^\)", text, re.M | re.S)[1])
    assert longest
    assert set(longest) < set(CHAPTERS)
    rows = yaml.safe_load((ROOT / "workflow/grid.yml").read_text())
    assert output.count("(log: ") == sum(len(row["seeds"]) for row in rows)
    for row in rows:
        fewest = {"smoke": 1, "quick": 1, "desk": 3, "paper": 5}[row["preset"]]
        assert row["seeds"] == list(range(max(fewest, len(row["seeds"])))), row
