"""A notebook depends on the library's files that its imports reach, and on no others."""

import json
import runpy
import subprocess
import sys

import pytest

from mmlib.presets.base import CHAPTERS
from mmlib.records import ROOT

depends = runpy.run_path(str(ROOT / "workflow" / "depends.py"))["depends"]

FILES = {
    "mmlib/__init__.py": "",
    "mmlib/a.py": "from mmlib import b\nimport mmlib.unused_name_of_no_file",
    "mmlib/b.py": "def late():\n    from .room.one import thing",
    "mmlib/c.py": "import torch",
    "mmlib/room/__init__.py": "from . import two",
    "mmlib/room/one.py": "from .. import c\nfrom mmlib.a import x  # a cycle",
    "mmlib/room/two.py": "",
    "mmlib/room/three.py": "",
    "mmlib/alone.py": "from mmlib import c",
}


@pytest.fixture
def checkout(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def found(checkout, *cells, entries=()):
    kinds = [("markdown", "import mmlib.alone"), *(("code", cell) for cell in cells)]
    notebook = {"cells": [{"cell_type": kind, "source": [text]} for kind, text in kinds]}
    (checkout / "n.ipynb").write_text(json.dumps(notebook))
    names = depends(checkout / "n.ipynb", checkout, entries=entries)
    return {str(path).removeprefix("mmlib/") for path in names}


@pytest.mark.parametrize(
    ("cell", "files"),
    [
        ("import numpy", set()),
        ("import mmlib", {"__init__.py"}),
        ("import mmlib.c as c", {"__init__.py", "c.py"}),
        ("from mmlib import c, alone", {"__init__.py", "c.py", "alone.py"}),
        ("from mmlib.room import three", {"__init__.py", *(f"room/{n}.py" for n in
                                          ("__init__", "two", "three"))}),
        ("from mmlib.room.two import anything", {"__init__.py", "room/__init__.py", "room/two.py"}),
        ("%matplotlib inline\n!ls\nx = 1\nfrom mmlib import c", {"__init__.py", "c.py"}),
    ],
)  # fmt: skip
def test_forms_of_import(cell, files, checkout):
    assert found(checkout, cell) == files


def test_follows_the_library_s_own_imports(checkout):
    files = {name.removeprefix("mmlib/") for name in FILES}
    assert found(checkout, "x = 1", "if x:\n    from mmlib import a") == files - {
        "room/three.py", "alone.py",
    }  # fmt: skip
    assert "alone.py" in found(checkout, "import mmlib", entries=["mmlib.alone"])


def test_a_module_brings_the_texts_that_are_named_after_it(checkout):
    for name in ("c_words.txt", "alone_words.txt"):
        (checkout / "mmlib" / name).write_text("one")
    assert found(checkout, "from mmlib import c") == {"__init__.py", "c.py", "c_words.txt"}


def test_every_file_of_the_library_that_is_no_module_is_named_after_one():
    others = [
        p for p in (ROOT / "mmlib").rglob("*") if p.is_file() and "__pycache__" not in p.parts
    ]
    for path in (path for path in others if path.suffix != ".py"):
        assert path.with_name(f"{path.stem.split('_')[0]}.py").is_file()


def test_code_that_does_not_parse_names_the_notebook(checkout):
    with pytest.raises(SyntaxError) as error:
        found(checkout, "import mmlib", "def")
    assert error.value.filename.endswith("n.ipynb")


def test_holds_everything_that_running_the_imports_loads(tmp_path):
    """On the real library: whatever is loaded is among the files, for rooms that import a lot."""
    code = "from mmlib import evidence, records, train\nfrom mmlib.data import digits\n"
    (tmp_path / "n.ipynb").write_text(
        json.dumps({"cells": [{"cell_type": "code", "source": code}]})
    )
    show = "import sys; print(*(m.__file__ for n, m in sys.modules.items() if n[:5] == 'mmlib'))"
    done = subprocess.run(
        [sys.executable, "-c", code + show], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert len(loaded) > 8
    assert loaded <= {str(ROOT / path) for path in depends(tmp_path / "n.ipynb", ROOT)}


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_depends_on_its_settings_and_the_records(chapter):
    notebook = ROOT / "notebooks" / f"{CHAPTERS[chapter]}.ipynb"
    names = {str(p) for p in depends(notebook, ROOT, entries=[f"mmlib.presets.{chapter}"])}
    assert {"mmlib/records/run.py", f"mmlib/presets/{chapter}.py"} <= names
    assert len(names) < len(list((ROOT / "mmlib").rglob("*.py")))  # not simply all of them
