"""Records that are there: read, checked, published by the workflow, kept for the book."""

from __future__ import annotations

import json
import os
import shutil
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import Any

from mmlib._checks import check_choice
from mmlib.presets import grid
from mmlib.presets.base import resolve
from mmlib.records.folder import RESULTS, RUNS, place, sha256, write_record

OF_RECORDS = "_recorded.png"  # ends the name of a figure that shows other runs' records


def load(*roots: Path) -> list[dict[str, Any]]:
    """All finished records below ``roots`` (default: ``build/runs`` and ``results``).

    Each is the content of its ``record.json`` with its ``path`` and whether it is ``kept``, that is
    lies in ``results``. Folders without one, and scratch folders of runs in progress, are passed
    over, and so is what other runs take away meanwhile.
    """
    found = []
    for root in roots or (RUNS, RESULTS):
        for path in sorted(_record_files(root)):
            with suppress(FileNotFoundError):
                record = _read(path)
                found.append({**record, "path": path.parent, "kept": RESULTS in path.parents})
    return found


def verify(folder: Path) -> None:
    """Raise ``ValueError`` unless ``folder`` holds a record whose files are all unchanged."""
    if not (folder / "record.json").is_file():
        raise ValueError(f"{folder} has no record.json, so it is no finished run")
    record = _read(folder / "record.json")
    mend = "; restore it, or delete the folder and run again"
    for name, digest in record["files"].items():
        if not (folder / name).is_file():
            raise ValueError(f"{folder}: {name} is missing{mend}")
        if sha256(folder / name) != digest:
            raise ValueError(f"{folder}: {name} is not what the run wrote{mend}")


def seal(scratch: Path, final: Path) -> None:
    """Add the executed ``notebook.ipynb`` to a finished run and publish it at ``final``."""
    record = _read(scratch / "record.json")
    record["files"]["notebook.ipynb"] = sha256(scratch / "notebook.ipynb")
    write_record(scratch, record)
    verify(scratch)
    if final.exists():
        (final / "record.json").unlink(missing_ok=True)  # from here on an unfinished run
        shutil.rmtree(final)
    final.parent.mkdir(parents=True, exist_ok=True)
    os.replace(scratch, final)


def keep(folder: Path, results: Path = RESULTS) -> Path:
    """Copy a finished run of ``desk`` or ``paper`` size to ``results``; return its new place.

    Raises ``ValueError`` if files changed since, if the run was not made from committed code or is
    without its executed notebook, and if a parameter is not that of its row of the grid, as
    :func:`differing` says.
    """
    verify(folder)
    record = _read(folder / "record.json")
    check_choice("preset", record["preset"], ("desk", "paper"))
    if not record["git"]["clean"]:
        raise ValueError(f"{folder} was not made from a clean checkout; run it again from one")
    if "notebook.ipynb" not in record["files"]:
        raise ValueError(f"{folder} has no executed notebook; run it by the workflow")
    _check_row(folder, record)
    final = results / place(record)
    scratch = final.with_name(final.name + ".running")
    shutil.rmtree(scratch, ignore_errors=True)  # what a call that was cut short left
    shutil.copytree(folder, scratch)
    _slim(scratch, record)
    write_record(scratch, record)
    if final.exists():
        shutil.rmtree(final)
    os.replace(scratch, final)
    return final


def _slim(folder: Path, record: dict[str, Any]) -> None:
    """Name each figure's file in place of a second copy of it: most of an executed notebook.

    Figures of other runs' records are left out: those records are kept, and they change.
    """
    path = folder / "notebook.ipynb"
    names = {b64encode(file.read_bytes()).decode(): file.name for file in folder.glob("*.png")}
    notebook = json.loads(path.read_text())
    for cell in notebook["cells"]:
        cell["metadata"].pop("papermill", None)
        for output in cell.get("outputs", []):
            name = names.get("".join(output.get("data", {}).get("image/png", "")).strip())
            if name:
                shown = output["metadata"]["image/png"]
                html = (
                    f"<p>{name}, of other runs' records, is left out.</p>"
                    if name.endswith(OF_RECORDS)
                    else f'<img src="{name}" alt="{escape(shown["alt"])}" width="{shown["width"]}">'
                )
                output |= {"data": {"text/html": html}, "metadata": {}}
    path.write_text(json.dumps(notebook, indent=0, ensure_ascii=False) + "\n")
    for name in [name for name in record["files"] if name.endswith(OF_RECORDS)]:
        (folder / name).unlink()
        del record["files"][name]
    record["files"]["notebook.ipynb"] = sha256(path)


def _check_row(folder: Path, record: dict[str, Any]) -> None:
    row = _row_of(record)
    if row not in grid.rows():
        raise ValueError(f"{folder} is of {'/'.join(row)}, which {grid.GRID.name} has not")
    differ = [f"{name} is {a!r}, in its row {b!r}" for name, (a, b) in differing(record).items()]
    if differ:
        raise ValueError(f"{folder}: {'; '.join(differ)}. Give it a row and a name of its own")


def differing(record: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Parameters of a record that its row of the grid has otherwise now: its value and the row's.

    Parameters that the chapter got later are not asked for, nor is the seed one of the row's. One
    that the chapter has no more is None in the row. Raises ``KeyError`` where the grid has no row.
    """
    row = grid.rows()[_row_of(record)]
    own = {name: record[name] for name in ("experiment", "preset", "seed")}
    asked = resolve(record["chapter"], row.get("parameters", {}) | own).model_dump(mode="json")
    return {
        name: (value, asked.get(name))
        for name, value in record["parameters"].items()
        if value != asked.get(name)
    }


def _row_of(record: Mapping[str, Any]) -> tuple[str, str, str]:
    return record["chapter"], record["experiment"], record["preset"]


def _read(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text())
        record["files"]  # the last that is written
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged; delete it and run again, or restore it") from error
    return record


def _record_files(root: Path) -> Iterator[Path]:
    for folder, inside, files in os.walk(root):  # unlike glob it lets folders go
        inside[:] = [name for name in inside if not name.endswith(".running")]
        if "record.json" in files:
            yield Path(folder, "record.json")
