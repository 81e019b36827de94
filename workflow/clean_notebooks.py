"""Bring notebooks into the one form that is committed: no outputs, no noise in a diff.

    python workflow/clean_notebooks.py [--check] notebooks/*.ipynb

Outputs, execution counts, papermill's injected parameters and all metadata that neither the book
nor papermill reads are dropped; cells are numbered c00, c01, ... With ``--check`` nothing is
written; the names of notebooks in another form are printed and the exit code is 1.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode

KEPT = ("tags", "mystnb")  # cell metadata that papermill and the book read
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def clean(notebook: NotebookNode) -> NotebookNode:
    """The notebook in the form that is committed."""
    cells = [c for c in notebook.cells if "injected-parameters" not in c.metadata.get("tags", [])]
    cleaned = nbformat.v4.new_notebook(metadata=METADATA)
    for number, cell in enumerate(cells):
        make = getattr(nbformat.v4, f"new_{cell.cell_type}_cell")
        metadata = {key: cell.metadata[key] for key in KEPT if cell.metadata.get(key)}
        cleaned.cells.append(make(cell.source.strip(), id=f"c{number:02d}", metadata=metadata))
    return cleaned


def text(notebook: NotebookNode) -> str:
    """What the file holds."""
    cleaned = clean(notebook)
    nbformat.validate(cleaned)
    return nbformat.writes(cleaned) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument("--check", action="store_true", help="write nothing, only tell")
    arguments = parser.parse_args()
    other_form = []
    for path in arguments.notebooks:
        before = path.read_text(encoding="utf-8")
        after = text(nbformat.reads(before, as_version=4))
        if after != before:
            other_form.append(path)
            if not arguments.check:
                path.write_text(after, encoding="utf-8")
    for path in other_form:
        print(f"{path}: " + ("not in the committed form" if arguments.check else "cleaned"))
    if arguments.check and other_form:
        sys.exit(1)


if __name__ == "__main__":
    main()
