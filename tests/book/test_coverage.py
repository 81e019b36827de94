"""Every item of the papers has a place, and the book's configuration holds together."""

import hashlib
import json
import re
import sys
from types import SimpleNamespace

import pytest
import yaml

from mmlib.presets import grid
from mmlib.presets.base import CHAPTERS, resolve
from mmlib.records import ROOT
from mmlib.verdicts.items import items

sys.path.insert(0, str(ROOT / "workflow"))
import book

ITEMS = """
labeldp-algorithm1 labeldp-theorem labeldp-fig1 labeldp-fig2 labeldp-table1
comm-fig1 comm-lemma2 comm-lemma3 comm-fig2 comm-fig3 comm-fig4 comm-fig5 comm-fig5-start
comm-table1 comm-table2 comm-table3 comm-table4 comm-table5
mem-fig-threat mem-fig-limitation mem-fig-framework mem-algorithm mem-fig-loss mem-fig-medr
mem-fig-visual mem-fig-tsne-clean mem-fig-tsne-mem3 mem-table-main mem-table-transfer
mem-table-ablation mem-table-partial mem-table-finetune mem-table-words mem-table-identity
""".split()


def toc_files():
    return re.findall(r"(?:file|root): (\S+)", (ROOT / "book/_toc.yml").read_text())


def test_every_item_of_the_papers_has_a_place():
    assert set(items()) == set(ITEMS)
    for item in items().values():
        assert item.page in toc_files(), item.id
        assert item.chapter in CHAPTERS, item.id
        assert item.kind in ("figure", "table", "algorithm", "theorem", "concept"), item.id
        assert bool(item.figure) == (item.kind == "concept"), item.id
        if not item.figure:
            assert item.claims, item.id  # else no verdict could ever be reached


def test_a_papers_curves_are_whole_and_end_where_its_tables_do():
    figure, start = (items()[name] for name in ("comm-fig5", "comm-fig5-start"))
    assert set(figure.curves) == set(figure.values)
    assert len(figure.curve_steps) == 20
    for metric, points in figure.curves.items():
        assert len(points) == len(figure.curve_steps), metric
        assert points[-1] == figure.values[metric], metric
        assert points[0] == start.values.get(metric, points[0]), metric


def test_the_reruns_numbers_are_the_same_wherever_they_stand():
    rerun = yaml.safe_load((ROOT / "book" / "mem_rerun.yml").read_text())
    named = {"clean": "clean", "EM, as released": "noise", "MEM-3": "mem"}
    last = {
        f"{measure}.{named[row['published']]}": [
            values[rerun["measures"].index(measure)] for values in row["runs"]
        ]
        for row in rerun["last"]
        if row["data"] == "Flickr8K" and row["published"] in named
        for measure in rerun["measures"]
    }
    reference = items()["mem-table-main"].reference
    assert len(reference) == 12
    assert reference == {metric: last[metric] for metric in reference}
    for row in [*rerun["last"], *rerun["finetune"]]:
        for values in row.get("runs", [row.get("values")]):
            assert len(values) == len(rerun["measures"]), row
    runs = {}
    for way in rerun["course"]:  # ends where the table does, of the same run
        k = runs[way["published"]] = runs.get(way["published"], -1) + 1
        for direction in ("i2t", "t2i"):
            name = f"median_rank.{direction}"
            at_last = next(
                row["runs"][k] for row in rerun["last"] if row["published"] == way["published"]
            )
            assert len(way[name]) == len(rerun["epochs"])
            assert way[name][-1] == at_last[rerun["measures"].index(name)], way["published"]


def test_every_page_is_in_the_table_of_contents():
    pages = {p.relative_to(ROOT).with_suffix("") for p in (ROOT / "book").rglob("*.md")}
    pages |= {p.relative_to(ROOT).with_suffix("") for p in (ROOT / "notebooks").glob("*.ipynb")}
    assert {str(p) for p in pages} == set(toc_files())


def test_launch_buttons_point_at_files_that_exist(monkeypatch):
    monkeypatch.setenv("GITHUB_REPOSITORY", "owner/name")
    settings = book.config()
    assert settings["repository"]["url"] == "https://github.com/owner/name"
    assert settings["repository"]["path_to_book"] == ""  # paths in the stage are the repository's
    assert settings["launch_buttons"]
    for name in toc_files():
        assert any((ROOT / f"{name}{suffix}").is_file() for suffix in (".md", ".ipynb")), name


def test_without_an_address_there_are_no_launch_buttons(monkeypatch):
    monkeypatch.setattr(book, "_repository", lambda: None)
    assert "launch_buttons" not in book.config()


@pytest.mark.parametrize("name", ["README.md", "book/rerun.md", "book/inside.md"])
def test_files_named_in_the_prose_exist(name):
    text = (ROOT / name).read_text()
    named = re.findall(r"\b(?:book|mmlib|workflow|notebooks|benchmarks)/[\w/]+\.\w+", text)
    assert named
    for path in named:
        assert (ROOT / path).is_file(), path


def test_rows_that_go_with_a_data_set_are_in_the_grid():
    grid = yaml.safe_load((ROOT / "workflow" / "grid.yml").read_text())
    there = {(row["chapter"], row["experiment"], row["preset"]) for row in grid}
    text = (ROOT / "book" / "rerun.md").read_text()
    terms = re.findall(r"^(.*`\w+/[\w-]+`.*`(?:desk|paper)`)\n: ", text, re.MULTILINE)
    assert len(terms) > 8
    for term in "; ".join(terms).split("; "):
        rows, presets = term.rsplit(" at ", 1)
        chapter = None
        for name in re.findall(r"`([\w/-]+)`", rows):
            chapter, _, experiment = name.rpartition("/") if "/" in name else (chapter, "", name)
            for preset in re.findall(r"`(\w+)`", presets):
                assert (chapter, experiment, preset) in there, (term, name)


def test_make_targets_named_in_the_prose_exist():
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split()
    for name in ("README.md", "book/rerun.md", "book/index.md"):
        for target in re.findall(r"(?:`|\$ )make ([a-z]+)", (ROOT / name).read_text()):
            assert target in phony, (name, target)


def test_an_interval_stays_on_the_line_of_its_mean():
    assert book.unbroken("+2.6 ± 0.9 | a ± b") == "+2.6\u00a0±\u00a00.9 | a ± b"
    assert book.unbroken("RR, ε = 5; seed = 5") == "RR, ε\u00a0=\u00a05; seed = 5"


def test_each_figure_has_a_cell_with_its_own_alt_text():
    def output(**metadata):
        return {"data": {"image/png": ""}, "metadata": {"image/png": metadata}}

    text = {"data": {"text/plain": "1"}, "metadata": {}}
    shown = [text, output(alt="A"), text, output(alt="B"), text]
    cells = book._one_figure_each({"source": ["x"], "metadata": {}, "outputs": list(shown)})
    assert [c["metadata"].get("mystnb", {}).get("image") for c in cells] == [
        {"alt": "A"}, {"alt": "B"}, None,
    ]  # fmt: skip
    assert [o for c in cells for o in c["outputs"]] == shown
    assert cells[0]["source"] == ["x"]
    for further in cells[1:]:  # MyST-NB skips cells without source, and with them their outputs
        assert "".join(further["source"]).strip()
        assert further["metadata"]["tags"] == ["remove-input"]
    with pytest.raises(SystemExit, match="no alt text"):
        book._one_figure_each({"source": ["x"], "metadata": {}, "outputs": [output()]})


def test_configuration_keeps_the_book_offline_and_unexecuted():
    settings = yaml.safe_load((ROOT / "_config.yml").read_text())
    assert settings["execute"]["execute_notebooks"] == "off"
    assert "sphinx-mathjax-offline" in settings["sphinx"]["config"]["extensions"]


def test_an_executed_notebook_that_is_not_its_records_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(book, "RUNS", tmp_path)
    folder = tmp_path / "comm" / "overview" / "quick" / "seed-0"
    folder.mkdir(parents=True)
    notebook = b'{"cells": [], "metadata": {}}'
    (folder / "notebook.ipynb").write_bytes(notebook)
    files = {"notebook.ipynb": hashlib.sha256(notebook).hexdigest()}
    (folder / "record.json").write_text(json.dumps({"files": files}))
    assert json.loads(book.executed("comm")) == json.loads(notebook)
    (folder / "notebook.ipynb").write_bytes(notebook + b"\n")
    with pytest.raises(ValueError, match=r"notebook\.ipynb is not what the run wrote"):
        book.executed("comm")


def test_a_page_is_of_the_quick_run_of_seed_0_without_what_papermill_put_in(monkeypatch, tmp_path):
    def cell(source, *tags):
        metadata = {"tags": list(tags), "papermill": {"duration": 1}}
        return {"cell_type": "code", "source": [source], "metadata": metadata, "outputs": []}

    monkeypatch.setattr(book, "RUNS", tmp_path)
    for seed in (0, 1):
        folder = tmp_path / "comm" / "overview" / "quick" / f"seed-{seed}"
        folder.mkdir(parents=True)
        cells = [cell("seed = 0", "parameters"), cell("x", "injected-parameters"), cell(str(seed))]
        text = json.dumps({"cells": cells, "metadata": {"papermill": {"duration": 1}}})
        (folder / "notebook.ipynb").write_text(text)
        files = {"notebook.ipynb": hashlib.sha256(text.encode()).hexdigest()}
        (folder / "record.json").write_text(json.dumps({"files": files}))
    page = json.loads(book.executed("comm"))
    assert [c["source"] for c in page["cells"]] == [["seed = 0"], ["0"]]
    assert "papermill" not in json.dumps(page)


def test_pages_made_of_records_are_staged_each_under_its_name(monkeypatch, tmp_path):
    made = {
        "_scorecard": (book.tables, "scorecard"), "_not_run": (book, "not_run"),
        "_claims": (book.claims, "page"), "_headlines": (book.claims, "headlines"),
    }  # fmt: skip
    monkeypatch.setattr(book, "STAGE", tmp_path)
    monkeypatch.setattr(book, "executed", lambda chapter: chapter)
    loaded = [{"chapter": "comm", "experiment": "x", "preset": "desk", "seed": 0, "kept": True}]
    monkeypatch.setattr(book.records, "load", lambda: loaded)
    for name, (module, function) in made.items():
        monkeypatch.setattr(module, function, lambda runs, name=name: f"{name} of {runs}")
    book.stage()
    for name in made:
        assert (tmp_path / "book" / f"{name}.md").read_text() == f"{name} of {loaded}"
    assert "Bars with 95 % intervals." in (tmp_path / "book" / "_glance.md").read_text()
    assert (tmp_path / "book" / "glance.png").is_file()


@pytest.mark.parametrize(
    ("remote", "address"),
    [
        ("https://github.com/owner/name.git", "https://github.com/owner/name"),
        ("git@github.com:owner/name", "https://github.com/owner/name"),
        ("https://example.org/owner/name.git", None),
    ],
)
def test_the_repository_is_where_the_checkout_came_from(remote, address, monkeypatch):
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    monkeypatch.setattr(book.shutil, "which", lambda _: "git")
    done = SimpleNamespace(stdout=f"{remote}\n")
    monkeypatch.setattr(book.subprocess, "run", lambda *_, **__: done)
    assert book._repository() == address


def test_pages_that_are_gone_leave_the_stage_and_what_was_built_stays(monkeypatch, tmp_path):
    monkeypatch.setattr(book, "STAGE", tmp_path)
    monkeypatch.setattr(book, "executed", lambda chapter: chapter)
    monkeypatch.setattr(book.records, "load", list)
    gone, built = tmp_path / "notebooks" / "gone.ipynb", tmp_path / "_build" / "page.html"
    for path in (gone, built):
        path.parent.mkdir()
        path.write_text("earlier")
    book.stage()
    assert not gone.exists()
    assert built.read_text() == "earlier"
    assert (tmp_path / "notebooks" / f"{CHAPTERS['comm']}.ipynb").read_text() == "comm"


def test_what_has_not_run_is_what_the_grid_asks_for_and_no_record_is_of():
    text = book.not_run([])
    assert "| urfunny | 0 of 5 seeds | `make paper CHAPTER=comm_real EXPERIMENT=urfunny`" in text
    place = {"chapter": "comm_real", "experiment": "urfunny", "preset": "paper"}
    asked = grid.rows()[*place.values()]["parameters"] | {"preset": "paper"}
    asked = resolve("comm_real", asked).model_dump(mode="json", exclude={"experiment", "seed"})
    runs = [
        {**place, "seed": seed, "metrics": {}, "kept": False, "parameters": asked}
        for seed in range(5)
    ]
    assert "urfunny | 4 of 5 seeds |" in book.not_run(runs[1:])
    assert "urfunny" not in book.not_run(runs)

    older = {**asked, "batch_size": asked["batch_size"] + 1}
    runs[3] = {**runs[3], "parameters": older}
    told = "urfunny | 5 of 5 seeds, 4 of them with today's settings (other batch_size) |"
    assert told in book.not_run(runs)
    # Settings that came later, or have gone, are no difference.
    runs[3]["parameters"] = {k: v for k, v in asked.items() if k != "batch_size"} | {"gone": 1}
    assert "urfunny" not in book.not_run(runs)


def test_the_page_on_speed_shows_every_kept_row(tmp_path):
    rows = [
        {"what": "a probe", "found": "3 times as fast", "goal": "at least 2 times", "met": True},
        {"what": "a step", "found": "1.1 times as fast", "goal": "at least 2 times", "met": False},
        {"what": "a view", "found": "5 s", "goal": "", "met": None},
    ]
    told = {
        "script": "comm.py --size desk",
        "how": "small, 1 thread",
        "date": "2030-01-02",
        "rows": rows,
    }
    told |= {"commit": "0123456789abcdef", "device": "CPU", "torch": "2.0", "python": "3.11"}
    (tmp_path / "comm_desk.json").write_text(json.dumps(told))
    page = book.speed(tmp_path)
    title = (
        "## CoMM's training step and probe of four tasks, "
        "beside a plain re-statement of the released code"
    )
    assert f"{title}\n\nSmall, 1 thread.\n" in page
    assert "| a probe | 3 times as fast | at least 2 times: met |" in page
    assert "| a step | 1.1 times as fast | at least 2 times: **missed** |" in page
    assert "| a view | 5 s | – |" in page
    assert "`python benchmarks/comm.py --size desk`" in page
    assert "commit 012345678." in page
    (tmp_path / "comm_paper.json").write_text(json.dumps(told))
    assert [line for line in book.speed(tmp_path).splitlines() if line.startswith("#")] == [
        f"{title} (desk)", f"{title} (paper)"
    ]  # fmt: skip
