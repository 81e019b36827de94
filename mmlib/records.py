"""One run, one folder, one record.

``start`` checks the parameters and opens a run; the run collects metrics, curves and figures;
``finish`` writes them, and ``record.json`` last and atomically: a folder without it is an
unfinished run and nothing reads it. The workflow then runs ``seal``, which adds the executed
notebook and publishes the whole folder by one rename.

A run that is cut short goes on from the last part that it finished: what ``once`` made lies beside
its folder until the record is written. Finished runs land in ``build/runs``. ``keep`` copies one to
``results``, where the records lie that are committed and that the book shows. Its notebook shows
there the figures that lie beside it, without those of other runs' records.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
import warnings
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any, TypeVar

import torch

import mmlib
from mmlib import evidence
from mmlib._checks import check_choice
from mmlib._parts import Parts
from mmlib.device import device_name, pick_device
from mmlib.presets.base import Settings, resolve

SCHEMA_VERSION = 1
ROOT = Path(mmlib.__file__).resolve().parents[1]
RUNS = ROOT / "build" / "runs"
RESULTS = ROOT / "results"
OF_RECORDS = "_recorded.png"  # ends the name of a figure that shows other runs' records

Result = TypeVar("Result")


class Run:
    """An open run: what the notebook of a chapter writes to."""

    def __init__(self, chapter: str, settings: Settings):
        self.chapter = chapter
        self.settings = settings
        self.seed = settings.seed
        self.device = pick_device()
        self.folder = Path(settings.folder or RUNS / self.place).resolve()
        self._started = datetime.now(UTC)
        self._clock = time.perf_counter()
        self._metrics: dict[str, dict[str, Any]] = {}
        self._curves: list[dict[str, Any]] = []
        self._data: dict[str, str] = {}
        self._files: list[str] = []
        self._once: set[str] = set()
        self._git = git_state()
        self._parts = self._unfinished() if settings.folder else None
        self.folder.mkdir(parents=True, exist_ok=True)
        # What an earlier run left is of that run; papermill writes the notebook after each cell.
        for name in ("record.json", "notebook.ipynb"):
            (self.folder / name).unlink(missing_ok=True)

    @property
    def place(self) -> Path:
        """Where the record lies below ``build/runs`` and ``results``."""
        return _place(self._head())

    def generator(self, offset: int = 0) -> torch.Generator:
        """A new generator on the run's device; another ``offset`` is another stream."""
        return torch.Generator(self.device).manual_seed(1_000_003 * offset + self.seed)

    def data(self, name: str, *tensors: torch.Tensor) -> None:
        """Note a data set the run uses, with the sha256 of its shapes, types and values."""
        digest = hashlib.sha256()
        for tensor in tensors:
            tensor = tensor.detach().cpu().contiguous()
            digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
        self._data[name] = digest.hexdigest()

    def metric(self, name: str, value: float | torch.Tensor, definition: str) -> None:
        """Note a final number: a dotted lower-case name, its value, and what exactly it is."""
        if name in self._metrics:
            raise ValueError(f"metric {name!r} is noted already")
        if not definition:
            raise ValueError(f"metric {name!r} has no definition")
        self._metrics[name] = {"value": float(value), "definition": definition}

    def curve(self, name: str, step: float, value: float, **labels: Any) -> None:
        """Note a point of a curve, a row of ``metrics.csv``; ``labels`` tell curves apart."""
        self._curves.append({"curve": name, "step": step, "value": float(value), **labels})

    def curves(self, name: str | None = None):
        """The points noted so far (of one curve) as a pandas frame: curve, step, value, labels."""
        import pandas as pd

        frame = pd.DataFrame(self._curves)
        return frame if name is None else frame[frame["curve"] == name].dropna(axis=1, how="all")

    def figure(self, figure, name: str, alt: str) -> None:
        """Save a matplotlib figure in the record and show it with its alternative text."""
        import matplotlib.pyplot as plt
        from IPython.display import Image, display

        from mmlib import plots

        if not alt.strip():
            raise ValueError(f"figure {name!r} has no alternative text")
        file = f"{name}.png"
        if file in self._files:
            raise ValueError(f"figure {name!r} is there already")
        width = plots.save(figure, self.folder / file)
        plt.close(figure)
        self._files.append(file)
        image = Image(filename=str(self.folder / file), width=width)
        # The book's staging step turns this metadata into the page's alt attribute.
        display(image, metadata={"image/png": {"alt": " ".join(alt.split())}})

    def once(
        self, part: str, work: Callable[..., Result], /, *arguments: Any, **keywords: Any
    ) -> Result:
        """What ``work`` gives for its arguments, or gave in an earlier attempt that was cut short.

        What ``work`` returns, models too, and the metrics and curves that it notes are kept beside
        the run's folder until the run is finished, under the name ``part``. They are taken up where
        code, notebook, settings, data noted so far, versions and kind of device are the same. So
        ``work`` must leave nothing elsewhere, and draw from no generator that others draw from.
        Nothing is kept of a notebook that is run by hand, without a ``folder``: its cells may say
        something else by then.

        Raises ``ValueError`` if the run has a part of that name already.
        """
        if part in self._once:
            raise ValueError(f"part {part!r} of the run is there already")
        self._once.add(part)
        known_as = f"{part} {self._data}"
        if self._parts and (kept := self._parts.read(known_as)):
            self._metrics |= kept["metrics"]
            self._curves += kept["curves"]
            self._clock -= kept["seconds"]
            print(f"{part}: taken up from an earlier attempt")
            return kept["result"]
        noted, points, began = set(self._metrics), len(self._curves), time.perf_counter()
        result = work(*arguments, **keywords)
        if self._parts:
            new = {
                "result": result,
                "metrics": {k: v for k, v in self._metrics.items() if k not in noted},
                "curves": self._curves[points:],
                "seconds": time.perf_counter() - began,
            }
            self._parts.write(known_as, new)
        return result

    @property
    def metrics(self) -> dict[str, float]:
        """The metrics noted so far, name to value."""
        return {name: metric["value"] for name, metric in self._metrics.items()}

    def describe(self) -> str:
        """What made this run's numbers, for captions: preset, data, seed, device, commit."""
        commit = (self._git["commit"] or "no commit")[:9] + ("" if self._git["clean"] else "+")
        return (
            f"preset {self.settings.preset}, data {', '.join(self._data) or 'none'}, seed "
            f"{self.seed}, {device_name(self.device)}, commit {commit}"
        )

    def so_far(self) -> dict[str, Any]:
        """What a verdict asks of a record, of this unfinished run."""
        return {
            **self._head(),
            "metrics": self._metrics,
            "files": dict.fromkeys(self._files, ""),
            "path": self.folder,
            "kept": False,
        }

    def finish(self) -> None:
        """Write ``metrics.csv`` and then, last and atomically, ``record.json``."""
        if not self._metrics or not self._data:
            raise ValueError("a record needs at least one metric and one data set")
        if self._curves:
            self.curves().to_csv(self.folder / "metrics.csv", index=False)
            self._files.append("metrics.csv")
        record = {
            "schema_version": SCHEMA_VERSION,
            **self._head(),
            "parameters": self.settings.model_dump(mode="json", exclude={"folder"}),
            "data": self._data,
            "git": self._git,
            "versions": _versions(),
            "device": device_name(self.device),
            "dtype": getattr(self.settings, "precision", "float32"),
            "started": self._started.isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - self._clock, 2),
            "metrics": self._metrics,
            "files": {name: _sha256(self.folder / name) for name in self._files},
        }
        _write_atomically(self.folder / "record.json", json.dumps(record, indent=1) + "\n")
        if self._parts:
            self._parts.clear()
        print(
            f"{self.place}: {len(self._metrics)} metrics in {record['seconds']:.0f} s on "
            f"{record['device']}"
        )

    def _unfinished(self) -> Parts:
        """Where the parts of all attempts at this run lie.

        The workflow's attempts have folders of one name but for their process: seed-0.17.running.
        """
        (notebook,) = (ROOT / "notebooks").glob(f"[0-9][0-9]_{self.chapter}.ipynb")
        return Parts(
            self.folder.with_name(re.sub(r"\.\d+\.running$", "", self.folder.name) + ".parts"),
            [notebook, *sorted((ROOT / "mmlib").glob("**/*.py"))],
            self.settings.model_dump(mode="json", exclude={"folder"}),
            _versions(),
            device_name(self.device),
        )

    def _head(self) -> dict[str, Any]:
        """What tells this run's record from others."""
        s = self.settings
        return {
            "chapter": self.chapter, "experiment": s.experiment, "preset": s.preset, "seed": s.seed,
        }  # fmt: skip


def start(chapter: str, parameters: Mapping[str, Any]) -> Run:
    """Check a notebook's parameters (its ``globals()``) and open the run.

    Raises ``ValueError`` naming the valid parameters if a name, type or value is wrong, before
    anything is computed or written.
    """
    settings = resolve(chapter, parameters)
    from mmlib import plots

    plots.style()
    # A page and a record say what was warned of, and not where on somebody's disk the code lies.
    warnings.formatwarning = lambda message, kind, *_: f"{kind.__name__}: {message}\n"
    return Run(chapter, settings)


def load(*roots: Path) -> list[dict[str, Any]]:
    """All finished records below ``roots`` (default: ``build/runs`` and ``results``).

    Each is the content of its ``record.json`` with its ``path`` and whether it is ``kept``, that is
    lies in ``results``. Folders without one, and scratch folders of runs in progress, are passed
    over.
    """
    return [
        {**json.loads(path.read_text()), "path": path.parent, "kept": RESULTS in path.parents}
        for root in roots or (RUNS, RESULTS)
        for path in sorted(_record_files(root))
    ]


def verify(folder: Path) -> None:
    """Raise ``ValueError`` unless ``folder`` holds a record whose files are all unchanged."""
    record = json.loads((folder / "record.json").read_text())
    for name, digest in record["files"].items():
        if not (folder / name).is_file():
            raise ValueError(f"{folder}: {name} is missing")
        if _sha256(folder / name) != digest:
            raise ValueError(f"{folder}: {name} is not what the run wrote")


def seal(scratch: Path, final: Path) -> None:
    """Add the executed ``notebook.ipynb`` to a finished run and publish it at ``final``."""
    path = scratch / "record.json"
    record = json.loads(path.read_text())
    record["files"]["notebook.ipynb"] = _sha256(scratch / "notebook.ipynb")
    _write_atomically(path, json.dumps(record, indent=1) + "\n")
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
    record = json.loads((folder / "record.json").read_text())
    check_choice("preset", record["preset"], ("desk", "paper"))
    if not record["git"]["clean"]:
        raise ValueError(f"{folder} was not made from a clean checkout; run it again from one")
    if "notebook.ipynb" not in record["files"]:
        raise ValueError(f"{folder} has no executed notebook; run it by the workflow")
    _check_row(folder, record)
    final = results / _place(record)
    scratch = final.with_name(final.name + ".running")
    shutil.rmtree(scratch, ignore_errors=True)  # what a call that was cut short left
    shutil.copytree(folder, scratch)
    _slim(scratch, record)
    _write_atomically(scratch / "record.json", json.dumps(record, indent=1) + "\n")
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
    record["files"]["notebook.ipynb"] = _sha256(path)


def _check_row(folder: Path, record: dict[str, Any]) -> None:
    place = _head_of(record)
    if place not in evidence.rows():
        raise ValueError(f"{folder} is of {'/'.join(place)}, which {evidence.GRID.name} has not")
    differ = [f"{name} is {a!r}, in its row {b!r}" for name, (a, b) in differing(record).items()]
    if differ:
        raise ValueError(f"{folder}: {'; '.join(differ)}. Give it a row and a name of its own")


def differing(record: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Parameters of a record that its row of the grid has otherwise now: its value and the row's.

    Parameters that the chapter got later are not asked for, nor is the seed one of the row's. One
    that the chapter has no more is None in the row. Raises ``KeyError`` where the grid has no row.
    """
    row = evidence.rows()[_head_of(record)]
    own = {name: record[name] for name in ("experiment", "preset", "seed")}
    asked = resolve(record["chapter"], row.get("parameters", {}) | own).model_dump(mode="json")
    return {
        name: (value, asked.get(name))
        for name, value in record["parameters"].items()
        if value != asked.get(name)
    }


def _head_of(record: Mapping[str, Any]) -> tuple[str, str, str]:
    return record["chapter"], record["experiment"], record["preset"]


def _place(head: Mapping[str, Any]) -> Path:
    return Path(head["chapter"], head["experiment"], head["preset"], f"seed-{head['seed']}")


def _record_files(root: Path) -> Iterator[Path]:
    for path in root.glob("**/record.json"):
        if not any(part.endswith(".running") for part in path.relative_to(root).parts):
            yield path


def _write_atomically(path: Path, text: str) -> None:
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.write_text(text)
    os.replace(scratch, path)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def git_state() -> dict[str, Any]:
    """The commit that is checked out, and whether what a run depends on is as committed."""

    def ask(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True
            )
        except (OSError, subprocess.CalledProcessError):
            return None
        return done.stdout.strip()

    # Prose may be in the middle of an edit.
    changed = ask("status", "--porcelain", "--", "mmlib", "notebooks", "requirements.txt")
    return {"commit": ask("rev-parse", "HEAD"), "clean": changed == ""}


def _versions() -> dict[str, str]:
    import torchvision

    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "mmlib": mmlib.__version__,
    }


def main(arguments: list[str]) -> None:
    """``python -m mmlib.records seal SCRATCH FINAL | keep FOLDER ... | verify FOLDER ...``"""
    command, *folders = arguments or ["help"]
    paths = [Path(folder) for folder in folders]
    if command == "seal" and len(paths) == 2:
        seal(*paths)
    elif command in ("keep", "verify") and paths:
        for path in paths:
            print(globals()[command](path) or f"{path}: unchanged")
    else:
        sys.exit(main.__doc__)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (OSError, ValueError) as error:
        sys.exit(str(error))
