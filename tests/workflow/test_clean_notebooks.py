"""Notebooks are committed in one form, and the check tells when one is not."""

import json
import subprocess
import sys

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from mmlib.records import ROOT

SCRIPT = ROOT / "workflow" / "clean_notebooks.py"


def run(*arguments):
    command = [sys.executable, SCRIPT, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def used_notebook(path):
    """A notebook as somebody leaves it who ran it by papermill and in the browser."""
    output = new_output("stream", name="stdout", text="secret")
    cells = [
        new_markdown_cell("# Title — Größe\n\n", id="c07", metadata={"editable": True}),
        new_code_cell("x: int = 1  # one", metadata={"tags": ["parameters"]}),
        new_code_cell("x = 2", metadata={"tags": ["injected-parameters"]}),
        new_code_cell(
            "print(x)\n",
            outputs=[output],
            execution_count=3,
            metadata={"papermill": {"duration": 1}, "mystnb": {"image": {"width": 1}}, "tags": []},
        ),
    ]
    metadata = {"kernelspec": {"name": "mine", "display_name": "Mine"}, "papermill": {"a": 1}}
    nbformat.write(new_notebook(cells=cells, metadata=metadata), path)


def test_cleans_once_and_then_leaves_alone(tmp_path):
    path = tmp_path / "n.ipynb"
    used_notebook(path)
    before = path.read_bytes()

    checked = run("--check", path)
    assert checked.returncode == 1
    assert checked.stdout == f"{path}: not in the committed form\n"
    assert path.read_bytes() == before

    assert run(path).returncode == 0
    notebook = json.loads(path.read_text(encoding="utf-8"))
    nbformat.validate(notebook)
    assert [c["id"] for c in notebook["cells"]] == ["c00", "c01", "c02"]
    assert ["".join(c["source"]) for c in notebook["cells"]] == [
        "# Title — Größe", "x: int = 1  # one", "print(x)",
    ]  # fmt: skip
    assert [c["metadata"] for c in notebook["cells"]] == [
        {}, {"tags": ["parameters"]}, {"mystnb": {"image": {"width": 1}}},
    ]  # fmt: skip
    for cell in notebook["cells"][1:]:
        assert (cell["outputs"], cell["execution_count"]) == ([], None)
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    assert set(notebook["metadata"]) == {"kernelspec", "language_info"}
    assert "Größe" in path.read_text(encoding="utf-8")  # readable in a diff

    clean = path.read_bytes()
    assert run("--check", path).returncode == 0
    assert run(path).stdout == ""
    assert path.read_bytes() == clean


def test_one_of_many_in_another_form_fails_the_check(tmp_path):
    for name in ("a.ipynb", "b.ipynb"):
        used_notebook(tmp_path / name)
    run(tmp_path / "a.ipynb")
    checked = run("--check", tmp_path / "a.ipynb", tmp_path / "b.ipynb")
    assert checked.returncode == 1
    assert checked.stdout.split(":")[0].endswith("b.ipynb")
