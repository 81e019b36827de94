"""MOSI, UR-FUNNY and MUStARD as MultiBench publishes them: word-by-word features of video clips.

MultiBench (P. P. Liang et al., NeurIPS 2021; github.com/pliang279/MultiBench) links to one pickle
for each set; CoMM's Table 1 is made of these. In ``MMLIB_DATA/multibench`` they are

* ``mosi_data.pkl``: film reviewers, vision 20, audio 5, text 300 features a step;
* ``humor.pkl``: UR-FUNNY, is the talk's next line a joke, vision 371, audio 81, text 300;
* ``sarcasm.pkl``: MUStARD, is the line of a series sarcastic, features as in UR-FUNNY.

A file is a dictionary of the splits ``train``, ``valid`` and ``test``, each a dictionary of
``vision``, ``audio`` and ``text`` (N, T, F), ``labels`` (N, 1) or (N, 1, 1) and ``id`` (N, ...).
The steps of the three are aligned, and padded with zeros in front.

A pickle is a program that runs when it is read. These are read by an interpreter that knows numpy's
arrays and plain containers and stops at anything else.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmlib._checks import check_choice
from mmlib.data._root import set_folder

KINDS = ("vision", "audio", "text")
FILES = {"mosi": "mosi_data.pkl", "urfunny": "humor.pkl", "mustard": "sarcasm.pkl"}
CLASSES = {
    "mosi": ("not positive", "positive"),
    "urfunny": ("serious", "funny"),
    "mustard": ("sincere", "sarcastic"),
}
_HOW = (
    "https://github.com/pliang279/MultiBench links to the publisher's folder with it; bring it "
    "here. Nothing need be unpacked or prepared"
)

# What pickles of numpy arrays call: under numpy 1 and 2, and for bytes that Python 2 wrote.
_HARMLESS = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
    *(
        (f"{core}.{module}", name)
        for core in ("numpy.core", "numpy._core")
        for module, name in (
            ("multiarray", "_reconstruct"),
            ("multiarray", "scalar"),
            ("numeric", "_frombuffer"),
        )
    ),
}


@dataclass(frozen=True)
class Part:
    """N clips: ``steps`` (N, T, F) of each kind, from the first word on; ``labels`` (N,)."""

    steps: dict[str, Tensor]
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


def load(
    name: str, *, root: Path | None = None, device: torch.device | str = "cpu"
) -> dict[str, Part]:
    """The publisher's parts ``train``, ``valid`` and ``test`` of one set.

    Clips without text are left out. Every clip starts at its first step with text, for all kinds
    alike, and ends in zeros: all parts to the length of the longest clip. (The publisher's loader
    pads each batch to its own longest.) Minus infinity in audio, which is silence, becomes 0. A
    label is 1 where the file's value is above 0. ``root`` is the folder of the file, by default
    ``multibench`` in ``MMLIB_DATA``.

    Raises ``FileNotFoundError``, saying how to get it, where the file is absent; ``ValueError`` for
    a file that holds anything but arrays and containers or is cut short, that lacks a split or a
    kind, whose arrays do not fit each other or are not finite, and for a part without text.
    """
    file = FILES[check_choice("name", name, FILES)]
    content = read_arrays(set_folder("multibench", (file,), _HOW, root) / file)
    parts = {split: _part(content, split, file) for split in ("train", "valid", "test")}
    length = max(steps["text"].shape[1] for steps, _ in parts.values())
    found = {}
    for split, (steps, labels) in parts.items():
        padded = {}
        for kind, x in steps.items():
            tensor = torch.zeros(len(x), length, x.shape[2])
            tensor[:, : x.shape[1]] = torch.from_numpy(x)
            padded[kind] = tensor.to(device)
        found[split] = Part(padded, torch.from_numpy(labels).to(device))
    for kind in KINDS:
        widths = {part.steps[kind].shape[2] for part in found.values()}
        if len(widths) > 1:
            raise ValueError(f"{file}: {kind} has {sorted(widths)} features in its splits")
    return found


def read_arrays(path: Path) -> Any:
    """What a pickle of numpy arrays, numbers, texts and containers of them holds.

    Raises ``ValueError`` naming it where the pickle asks for anything else, before that is called,
    and for a file that is no pickle or ends too early.
    """
    with path.open("rb") as file:
        try:
            return _Reader(file, encoding="latin1").load()
        except pickle.UnpicklingError as error:
            raise ValueError(f"{path} cannot be read: {error}") from error
        except (EOFError, AttributeError, IndexError, KeyError, TypeError, UnicodeError) as error:
            raise ValueError(f"{path} is no whole pickle of arrays ({error})") from error


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _HARMLESS:
            raise pickle.UnpicklingError(
                f"it asks for {module}.{name}; allowed: numpy arrays and plain containers"
            )
        return super().find_class(module, name)


def _part(content: Any, split: str, file: str) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The steps (n, t, F) of the clips with text and their labels (n,)."""
    if not isinstance(content, dict) or not isinstance(content.get(split), dict):
        raise ValueError(f"{file} has no dictionary {split!r}")
    arrays = {}
    for name in (*KINDS, "labels"):
        if name not in content[split]:
            raise ValueError(f"{file} has no {name!r} in {split!r}")
        try:
            arrays[name] = np.asarray(content[split][name], dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{file}: {name} of {split!r} are no numbers ({error})") from error
    labels = arrays.pop("labels")
    for kind, x in arrays.items():
        if x.ndim != 3 or x.shape[:2] != arrays["text"].shape[:2]:
            n, t = (*arrays["text"].shape, "T", "T")[:2]
            raise ValueError(f"{file}: {kind} of {split!r} is {x.shape}; expected ({n}, {t}, F)")
    n, t = arrays["text"].shape[:2]
    if labels.size != n:
        raise ValueError(f"{file}: {split!r} has {labels.size} labels for {n} clips")
    arrays["audio"] = np.where(np.isneginf(arrays["audio"]), 0, arrays["audio"])
    for name, x in {**arrays, "labels": labels}.items():
        if not np.isfinite(x).all():
            raise ValueError(f"{file}: {name} of {split!r} are not finite")

    spoken = (arrays["text"] != 0).any(axis=2)  # (n, t)
    kept = spoken.any(axis=1)
    if not kept.any():
        raise ValueError(f"{file}: no clip of {split!r} has text")
    start = spoken[kept].argmax(axis=1)
    place = start[:, None] + np.arange(t - start.min())  # (n, steps), past the end where padded
    inside = (place < t)[:, :, None]
    place = np.minimum(place, t - 1)[:, :, None]
    steps = {
        kind: np.where(inside, np.take_along_axis(x[kept], place, axis=1), np.float32(0))
        for kind, x in arrays.items()
    }
    return steps, (labels.reshape(n)[kept] > 0).astype(np.int64)
