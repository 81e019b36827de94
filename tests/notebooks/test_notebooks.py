"""Every chapter runs at `smoke`, has the parts a chapter has, and stops on a wrong parameter."""

import html
import json
import re
import subprocess
import sys

import nbformat
import pandas as pd
import papermill
import pytest
import yaml
from papermill.cli import papermill as command_line
from pybtex.database import parse_file

from mmlib import records
from mmlib.data import triples
from mmlib.methods import image_pairs
from mmlib.presets.base import CHAPTERS, chapter_settings
from mmlib.records import ROOT
from mmlib.verdicts import claims, orderings
from mmlib.verdicts.items import items

from .again import comm, image_table, label_dp, label_dp_audit, mem, theory
from .again.recorded import RECORDED
from .again.runs import PARAMETERS, SEED
from .again.values import VALUES

AGAIN = (
    theory.AGAIN
    | comm.AGAIN
    | label_dp.AGAIN
    | image_table.AGAIN
    | label_dp_audit.AGAIN
    | mem.AGAIN
)

every_chapter = pytest.mark.parametrize("chapter", CHAPTERS)


def path_of(chapter):
    return ROOT / "notebooks" / f"{CHAPTERS[chapter]}.ipynb"


def read(chapter):
    return nbformat.read(path_of(chapter), as_version=4)


def prose(chapter):
    return "\n".join(c.source for c in read(chapter).cells if c.cell_type == "markdown")


def with_solutions(chapter):
    """The notebook with the code of its exercises' solutions in cells before the last."""
    notebook = read(chapter)
    blocks = re.findall(r"(?ms)^```python\n(.*?)^```", prose(chapter))
    here = [code for code in blocks if "build/runs" not in code]  # which reads other runs
    (last,) = (i for i, cell in enumerate(notebook.cells) if "run.finish()" in cell.source)
    notebook.cells[last:last] = [nbformat.v4.new_code_cell(code) for code in here]
    return notebook


@every_chapter
def test_runs_at_smoke_with_its_solutions_and_leaves_a_record(chapter, tmp_path, execute):
    nbformat.write(with_solutions(chapter), tmp_path / "in.ipynb")
    parameters = {"seed": SEED, **PARAMETERS.get(chapter, {})}
    record = execute(tmp_path / "in.ipynb", tmp_path, **parameters)
    records.verify(tmp_path / "run")
    assert (record["chapter"], record["preset"], record["seed"]) == (chapter, "smoke", SEED)
    for item in items().values():  # what the book says this chapter shows, it shows
        if item.chapter == chapter and item.experiment == "overview":
            claimed = {side for claim in item.claims for side in orderings.sides(claim)}
            assert claimed <= set(record["metrics"]), item.id
            if item.figure:
                assert f"{item.figure}.png" in record["files"], item.id
    for claim in claims.claims().values():  # and measures what decides a claim
        if claim.chapter == chapter and claim.experiment == "overview":
            assert claim.metrics <= set(record["metrics"]), claim.id
    metrics = {name: metric["value"] for name, metric in record["metrics"].items()}
    for found, expected in VALUES.get(chapter, lambda m: ())(metrics):
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-9)
    metrics |= ends(tmp_path / "run")
    found = dict(AGAIN.get(chapter, dict)())
    assert {name: metrics[name] for name in found} == pytest.approx(found, rel=1e-4, abs=1e-9)
    cells = nbformat.read(tmp_path / "out.ipynb", as_version=4).cells
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    figures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert figures
    for output in figures:
        assert len(output.metadata["image/png"]["alt"]) > 20
    words = [" ".join(cell.source.split()) for cell in cells if cell.cell_type == "markdown"]
    text = " ".join([*map(told, outputs), *words])
    assert [said for said in RECORDED.get(chapter, tuple)() if said not in text] == []
    for item in items().values():  # and beside the paper's numbers stand those of all records
        table = next((t for t in map(told, outputs) if f"{item.title}. Verdict: " in t), None)
        for experiment in (item.experiment, *item.also) if table else ():
            for folder in (records.RESULTS / item.chapter / experiment).glob("*"):
                assert f"ours, {folder.name}" in table, item.id
    check_implied(record)
    check_curves(record, tmp_path / "run")


def told(output):
    """The words of a cell's text or table, each one space from the next."""
    data = output.get("data", {})
    table = re.sub(r"(?s)<style.*?</style>|<[^>]+>", " ", data.get("text/html", ""))
    return " ".join(html.unescape(table or data.get("text/markdown", "")).split())


def ends(folder):
    """Where each condition's curves end: "curve: condition" -> value."""
    path = folder / "metrics.csv"
    points = pd.read_csv(path) if path.is_file() else pd.DataFrame()  # of a chapter without curves
    if "condition" not in points:
        return {}
    last = points.groupby(["curve", "condition"])["value"].last()
    return {f"{curve}: {condition}": value for (curve, condition), value in last.items()}


def implied(record):
    """What metrics of a chapter on CoMM say of others: name -> value."""
    of = {name: metric["value"] for name, metric in record["metrics"].items()}
    chapter, said = record["chapter"], {}
    if chapter in ("comm", "comm_ablation"):
        for name in of:
            part, _, row = name.partition(".")
            if part == "uniqueness" and f"uniqueness1.{row}" in of:
                said[name] = (of[f"uniqueness1.{row}"] + of[f"uniqueness2.{row}"]) / 2
    if chapter == "comm":
        said["masks.leak"] = 0
    if chapter in ("comm_audit", "comm_real"):
        data = record["parameters"].get("data", "synergy_auc").removeprefix("multibench_")
        for name in of:
            kind, *sides = name.split(".")
            if kind == "gap" and len(sides) == 2:
                said[name] = of[f"{data}.{sides[0]}"] - of[f"{data}.{sides[1]}"]
            if kind == "gain" and len(sides) == 1:
                rows = [of[f"tasks.{m}_three.{sides[0]}"] for m in ("comm", "untrained")]
                said[name] = rows[0] - rows[1]
    if chapter == "comm_audit":
        worth = {
            m: of[f"synergy_auc.{m}"] - of[f"other_map_auc.{m}"] for m in ("comm", "untrained")
        }
        said["other_map.effect"] = worth["comm"] - worth["untrained"]
    if chapter == "comm_ablation" and "weight.term.chosen" in of:
        merits = {n[21:]: v for n, v in of.items() if n.startswith("validation.mean.term.")}
        del merits["none"]  # CoMM itself is no candidate
        chosen = max(merits, key=merits.get)
        said["weight.term.chosen"] = float(chosen)
        for part in ("redundancy", "uniqueness", "synergy", "synergy_auc"):
            said[f"{part}.term.chosen"] = of[f"{part}.term.{chosen}"]
            said[f"{part}.term.gain"] = of[f"{part}.term.{chosen}"] - of[f"{part}.term.none"]
    for part in ("synergy", "synergy_auc"):
        similar, over = f"{part}.term.cross_similarity", f"{part}.term.cross_over_floors"
        if over in of:
            said[over] = of[similar] - max(of[f"{similar}_free"], of[f"{similar}_untrained"])
    return said


def check_implied(record):
    of = {name: metric["value"] for name, metric in record["metrics"].items()}
    expected = implied(record)
    assert {name: of[name] for name in expected} == pytest.approx(expected, abs=1e-9)
    for name, low in of.items():
        if re.search(r"[._]low$", name) and f"{name[:-3]}high" in of:
            assert low <= of[f"{name[:-3]}high"], name


def check_curves(record, folder):
    """Where a curve of chapter 3 ends, the score of its method is."""
    parts = {
        "R": "redundancy", "U1": "uniqueness1", "U2": "uniqueness2", "S": "synergy",
        "auc": "synergy_auc",
    }  # fmt: skip
    if record["chapter"] == "comm":
        points = pd.read_csv(folder / "metrics.csv")
        ends = points[points["curve"].isin(parts)].groupby(["curve", "method"])["value"].last()
        assert len(ends) >= len(parts)
        for (curve, title), value in ends.items():
            (method,) = (m for m, called in image_pairs.TITLES.items() if called == title)
            scored = record["metrics"][f"{parts[curve]}.{method}"]["value"]
            assert value == pytest.approx(scored), (curve, method)


def test_recorded_metrics_say_the_same_of_each_other():
    found = [record for record in records.load() if record["kept"]]
    assert found
    for record in found:
        check_implied(record)
        check_curves(record, record["path"])


def test_what_was_cut_short_ends_as_if_it_had_not_been(tmp_path, execute):
    """The first attempt stops where it would be finished, the second one trains nothing."""
    notebook = read("comm_ablation")
    (last,) = (cell for cell in notebook.cells if "run.finish()" in cell.source)
    last.source = "import json\nfrom pathlib import Path\n"
    last.source += "Path('metrics.json').write_text(json.dumps(run.metrics))\n1 / 0"
    nbformat.write(notebook, tmp_path / "in.ipynb")
    few = {"fusions": ["transformer", "mlp"], "views": ["full", "none"], "matchings": [0.3]}
    with pytest.raises(papermill.PapermillExecutionError, match="ZeroDivisionError"):
        execute(tmp_path / "in.ipynb", tmp_path, run="run.1.running", recorded=False, **few)
    parts = list(tmp_path.glob("run.parts/*/*"))
    assert len(parts) == 7  # CoMM, each of these and another crop, and Cross on two kinds of pairs
    again = {"run": "run.2.running", "recorded": False, **few}
    record = execute(path_of("comm_ablation"), tmp_path, **again)
    told = (tmp_path / "out.ipynb").read_text().count("taken up from an earlier attempt")
    assert told == len(parts)
    before = json.loads((tmp_path / "metrics.json").read_text())
    assert {name: metric["value"] for name, metric in record["metrics"].items()} == before


def test_the_audit_runs_without_mem_3_and_trains_no_more_than_it_is_asked(tmp_path, execute):
    few = {"rows": ["em_mem_budget"], "switches": [], "defences": [], "clean_controls": False}
    record = execute(path_of("unlearnable_audit"), tmp_path, recorded=False, **few)
    trained = {name.removeprefix("left.") for name in record["metrics"] if name[:5] == "left."}
    assert trained == {"clean", "em_mem_budget"}


def test_the_chapter_on_real_data_says_of_triples_what_the_library_does(
    tmp_path, execute, monkeypatch
):
    """Three modalities have rows, labels and differences that the chapter's own set has not."""
    few = {"learn": 384, "train": 512, "validation": 256, "test": 256}  # of two images each
    two = triples.SHAPES[:2]
    less = "from mmlib.data import triples\ntriples.load.__kwdefaults__['renderings'] = (1, 1)\n"
    less += f"triples.SHAPES = {two}\n"
    notebook = read("comm_real")
    (start,) = (i for i, cell in enumerate(notebook.cells) if "records.start(" in cell.source)
    cell = nbformat.v4.new_code_cell(f"{less}triples._SIZES.update({few})")
    notebook.cells.insert(start + 1, cell)
    nbformat.write(notebook, tmp_path / "in.ipynb")
    changes = {"data": "triples", "image_size": 16}
    record = execute(tmp_path / "in.ipynb", tmp_path, recorded=False, seed=SEED, **changes)
    check_implied(record)
    monkeypatch.setitem(triples.load.__kwdefaults__, "renderings", (1, 1))
    monkeypatch.setattr(triples, "_SIZES", few)
    monkeypatch.setattr(triples, "SHAPES", two)
    metrics = {name: metric["value"] for name, metric in record["metrics"].items()}
    found = dict(comm.of_triples(**changes))
    assert {name: metrics[name] for name in found} == pytest.approx(found, rel=1e-4, abs=1e-9)


@every_chapter
def test_parameters_are_typed_commented_and_settings(chapter):
    (cell,) = (c for c in read(chapter).cells if "parameters" in c.metadata.get("tags", []))
    lines = [ln for ln in cell.source.splitlines() if ln and not ln.startswith("from ")]
    settings, _ = chapter_settings(chapter)
    names = []
    for line in lines:
        found = re.fullmatch(r"(\w+): [\w\[\]]+ = [^#]+# .+", line)
        assert found, line
        names.append(found[1])
    assert names[:2] == ["preset", "seed"]
    assert set(names) <= set(settings.model_fields)
    inferred = papermill.inspect_notebook(path_of(chapter))
    assert set(inferred) == set(names)  # papermill sees every one, so it warns of none


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"sede": 1}, "unknown parameter 'sede'. Did you mean 'seed'?"),
        ({"seed": "one"}, "seed is 'one'"),
        ({"seed": -1}, "seed is -1"),
    ],
)
@pytest.mark.usefixtures("kernels")
def test_a_wrong_parameter_stops_before_anything_runs(wrong, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = [word for name, value in wrong.items() for word in ("-p", name, str(value))]
    arguments = [str(path_of("label_dp")), "out.ipynb", "--no-progress-bar", *given]
    with pytest.raises(papermill.PapermillExecutionError, match=re.escape(message)):
        command_line([*arguments, "-p", "folder", str(tmp_path / "run")], standalone_mode=False)
    assert not (tmp_path / "run").exists()


@every_chapter
def test_has_the_parts_of_a_chapter(chapter):
    text = prose(chapter)
    for heading in ("objectives", "What this run does not show", "Exercises", "Summary"):
        assert re.search(rf"^##? .*{heading}", text, re.MULTILINE | re.IGNORECASE), heading
    assert len(re.findall(r"\{dropdown\} Solution", text)) >= 3
    assert ":label:" in text
    assert "{footbibliography}" in text
    code = "\n".join(c.source for c in read(chapter).cells if c.cell_type == "code")
    assert "show_source(" in code
    assert "run.finish()" in code
    assert "tqdm.auto" not in code


def test_all_are_committed_without_outputs():
    check = [sys.executable, str(ROOT / "workflow/clean_notebooks.py"), "--check"]
    assert subprocess.run([*check, *map(path_of, CHAPTERS)], check=False).returncode == 0


@every_chapter
def test_cites_only_what_the_bibliography_has(chapter):
    known = set(parse_file(ROOT / "book/references.bib").entries)  # which must be whole, too
    cited = re.findall(r"\{(?:foot)?cite:\w\}`([^`]+)`", prose(chapter))
    assert cited
    assert {key.strip() for group in cited for key in group.split(",")} <= known


def test_every_notebook_is_in_the_table_of_contents_and_the_grid():
    toc = (ROOT / "book/_toc.yml").read_text()
    grid = yaml.safe_load((ROOT / "workflow/grid.yml").read_text())
    rows = {(row["chapter"], row["preset"]) for row in grid}
    for chapter, name in CHAPTERS.items():
        assert f"file: notebooks/{name}" in toc
        assert {(chapter, p) for p in ("smoke", "quick", "desk", "paper")} <= rows
    assert {p.stem for p in (ROOT / "notebooks").glob("*.ipynb")} == set(CHAPTERS.values())
