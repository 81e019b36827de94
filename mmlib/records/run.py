"""A run that is open: what a chapter's notebook writes to, and the record it leaves."""

from __future__ import annotations

import hashlib
import platform
import re
import subprocess
import time
import warnings
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import torch

import mmlib
from mmlib._checks import check_choice
from mmlib.device import device_name, pick_device
from mmlib.presets.base import Settings, resolve
from mmlib.records.folder import ROOT, RUNS, place, sha256, write_record
from mmlib.records.parts import Parts

SCHEMA_VERSION = 1

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
        return place(self._head())

    def generator(self, offset: int = 0) -> torch.Generator:
        """A new generator on the run's device; another ``offset`` is another stream."""
        return torch.Generator(self.device).manual_seed(1_000_003 * offset + self.seed)

    def data(self, name: str, *tensors: torch.Tensor) -> None:
        """Note a data set the run uses, with the sha256 of its shapes, types and values."""
        if name in self._data:
            raise ValueError(f"data {name!r} is noted already")
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

    def ends(
        self, name: str, interval, unit: str, *, named: bool = False, definition: str = ""
    ) -> None:
        """Note the ends of a metric's 95 % bootstrap interval, ``interval.low`` and ``.high``.

        ``unit``, in the singular, is what was drawn again. It is in the ends' names if they are
        ``named`` by it, as where a metric has intervals over several units. Both ends may have a
        ``definition`` of their own.
        """
        for end in ("low", "high"):
            self.metric(
                f"{name}.{unit}_{end}" if named else f"{name}.{end}",
                getattr(interval, end),
                definition or f"95 % bootstrap interval over {unit}s of {name}, {end} end",
            )

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

    def describe(self, data: str | None = None) -> str:
        """What made this run's numbers, for captions: preset, data, seed, device, commit.

        ``data``: the set that a caption is of, by the name it was noted under; by default all sets.
        """
        sets = ", ".join(self._data) or "none"
        if data is not None:
            sets = check_choice("data", data, self._data)
        commit = (self._git["commit"] or "no commit")[:9] + ("" if self._git["clean"] else "+")
        return (
            f"preset {self.settings.preset}, data {sets}, seed {self.seed}, "
            f"{device_name(self.device)}, commit {commit}"
        )

    def so_far(self) -> dict[str, Any]:
        """What a verdict asks of a record, of this unfinished run."""
        return {
            **self._head(),
            "parameters": self._parameters(),
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
            "parameters": self._parameters(),
            "data": self._data,
            "git": self._git,
            "versions": _versions(),
            "device": device_name(self.device),
            "dtype": getattr(self.settings, "precision", "float32"),
            "started": self._started.isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - self._clock, 2),
            "metrics": self._metrics,
            "files": {name: sha256(self.folder / name) for name in self._files},
        }
        write_record(self.folder, record)
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
            self._parameters(),
            _versions(),
            device_name(self.device),
        )

    def _parameters(self) -> dict[str, Any]:
        return self.settings.model_dump(mode="json", exclude={"folder"})

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
