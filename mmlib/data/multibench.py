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
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmlib._checks import check_choice, check_shape
from mmlib.data._root import set_folder
from mmlib.data.multimodal import Part

KINDS = ("text", "vision", "audio")
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


def load(
    name: str, *, root: Path | None = None, device: torch.device | str = "cpu"
) -> dict[str, Part]:
    """The parts ``train``, ``validation`` (the publisher's ``valid``) and ``test`` of one set.

    The inputs of N clips are the steps (N, T, F) of each of :data:`KINDS`, from the first word on.

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
    published = {"train": "train", "validation": "valid", "test": "test"}
    parts = {name: _part(content, split, file) for name, split in published.items()}
    for kind in KINDS:
        widths = {steps[kind].shape[2] for steps, _ in parts.values()}
        if len(widths) > 1:
            raise ValueError(f"{file}: {kind} has {sorted(widths)} features in its splits")
    length = max(steps["text"].shape[1] for steps, _ in parts.values())
    return {
        name: Part.of_independent(
            tuple(_padded(steps[kind], length).to(device) for kind in KINDS),
            torch.from_numpy(labels).to(device),
        )
        for name, (steps, labels) in parts.items()
    }


def numbers(content: Any, names: Iterable[str], where: str, kind: type) -> dict[str, np.ndarray]:
    """Arrays, of numbers of that ``kind``, of what a dictionary holds under ``names``.

    Raises ``ValueError`` that says ``where`` for what is no dictionary, lacks one of them or holds
    something else.
    """
    if not isinstance(content, dict):
        raise ValueError(f"{where} is a {type(content).__name__}; expected a dictionary")
    arrays = {}
    for name in names:
        if name not in content:
            raise ValueError(f"{where} has no {name!r}")
        try:
            arrays[name] = np.asarray(content[name], dtype=kind)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{where}: {name} are no numbers ({error})") from error
    return arrays


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
    where = f"{split!r} in {file}"
    found = content.get(split) if isinstance(content, dict) else None
    arrays = numbers(found, (*KINDS, "labels"), where, np.float32)
    n, t, _ = check_shape(f"{where}: text", arrays["text"], "N T F").values()
    for kind in KINDS:
        check_shape(f"{where}: {kind}", arrays[kind], "N T F", N=n, T=t)
    if arrays["labels"].size != n:
        raise ValueError(f"{where} has {arrays['labels'].size} labels for {n} clips")
    arrays["audio"] = np.where(np.isneginf(arrays["audio"]), 0, arrays["audio"])
    for name, x in arrays.items():
        if not np.isfinite(x).all():
            raise ValueError(f"{where}: {name} are not finite")

    spoken = (arrays["text"] != 0).any(axis=2)  # (n, t)
    kept = spoken.any(axis=1)
    if not kept.any():
        raise ValueError(f"{where}: no clip has text")
    start = spoken[kept].argmax(axis=1)
    place = start[:, None] + np.arange(t - start.min())  # (n, steps), past the end where padded
    inside = (place < t)[:, :, None]
    place = np.minimum(place, t - 1)[:, :, None]
    steps = {
        kind: np.where(inside, np.take_along_axis(arrays[kind][kept], place, axis=1), np.float32(0))
        for kind in KINDS
    }
    return steps, (arrays["labels"].reshape(n)[kept] > 0).astype(np.int64)


def _padded(x: np.ndarray, length: int) -> Tensor:
    """(n, t, F) with zeros at the end: (n, length, F)."""
    return torch.from_numpy(np.pad(x, ((0, 0), (0, length - x.shape[1]), (0, 0))))
