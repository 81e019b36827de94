"""Vision & Touch: a robot's hand that inserts a peg, seen, felt and measured at every step.

150 trajectories of 1,000 steps (M. Lee, Y. Zhu et al., ICRA 2019), of which MultiBench and CoMM
predict what the *next* step brings: where the hand is (EE, a regression) and whether it touches
anything (CP, contact). The set is not part of this project. The publisher's archive
``triangle_real_data.zip`` unpacks to a folder of files ``<trajectory>_<k>_1000.h5``, fifty steps
each; in ``MMLIB_DATA/multibench/triangle_real_data`` every one holds, among others,

* ``image`` (50, 128, 128, 3), bytes;
* ``ee_forces_continuous`` (50, 50, 6): the last fifty readings of force and torque;
* ``proprio`` (50, 8), whose first four entries are what EE predicts;
* ``contact`` (50, 50): readings of contact.

It takes h5py to read them, which nothing else here needs.

**The released split leaks.** CoMM's code cuts the *files* 80 to 20 and calls the second part both
validation and test. So a probe's strength is chosen, and with a final fit on training and
validation its weights are, on test samples; and pieces of one trajectory lie on both sides.
``split="clean"`` keeps whole trajectories together and has three parts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mmlib._checks import check_choice, check_range, check_shape
from mmlib.data._root import data_root
from mmlib.data.multimodal import Part

SIDE = 128  # of the publisher's images
STEPS = 48  # of a file's fifty: each has a next one, and the released code draws from these alone
WINDOW = 32  # force readings before a step
OUTPUTS = tuple(f"entry {k} of the next proprio" for k in range(4))  # of EE
CLASSES = ("no contact", "contact")  # of CP
INPUTS = {"ee": ("image", "force"), "cp": ("image", "proprio", "force")}  # of each task
SPLITS = ("released", "clean")
_SHAPES = {
    "image": f"50 {SIDE} {SIDE} 3",
    "ee_forces_continuous": "50 50 6",
    "proprio": "50 8",
    "contact": "50 50",
}
_NAME = re.compile(r"(.+)_(\d+)_1000\.h5")


def load(
    task: str,
    *,
    split: str,
    size: int = SIDE,
    root: Path | None = None,
    device: torch.device | str = "cpu",
) -> dict[str, Part]:
    """The parts ``train``, ``validation`` and ``test``: 48 steps of every file, in order.

    The inputs of N steps are those of :data:`INPUTS`: image uint8 (N, 3, size, size), proprio
    (N, 8) and force (N, 32, 6), the hyperbolic tangent of the readings. Labels are what comes next,
    (N, 4) for EE and long (N,) for CP; units are trajectories.

    (The released code counts 49 a file, the last of them one of the 48 again, drawn anew each
    time.) Images are averaged down to ``size`` pixels a side where that is not 128. With ``split``
    ``"released"`` validation and test part are the same. ``root`` is the folder of the files.

    Raises ``FileNotFoundError``, saying how to get them, where there are none; ``ImportError``
    without h5py; ``ValueError`` for another ``task`` or ``split``, a file that cannot be read,
    lacks an array, or has one of another shape or type or that is not finite, a name without
    trajectory and number, and fewer trajectories than the split has parts. Source: CoMM, released
    code, Vision & Touch.
    """
    check_choice("task", task, INPUTS)
    check_choice("split", split, SPLITS)
    check_range("size", size, 8, SIDE)
    folder = data_root() / "multibench" / "triangle_real_data" if root is None else Path(root)
    names = [path.name for path in folder.glob("*.h5")] if folder.is_dir() else []
    if not names:
        raise FileNotFoundError(
            f"{folder} has no .h5 file. Fetch "
            "http://downloads.cs.stanford.edu/juno/triangle_real_data.zip, to which "
            "datasets/robotics of https://github.com/pliang279/MultiBench links, and unpack it here"
        )
    numbers = {name: k for k, name in enumerate(sorted({trajectory(name) for name in names}))}
    rule = {"released": released_split, "clean": clean_split}[split]
    found: dict[tuple[str, ...], Part] = {}  # parts of the same files are read once
    parts = {}
    for part, files in rule(names).items():
        if files not in found:
            found[files] = _read(folder, files, task, size, numbers, device)
        parts[part] = found[files]
    return parts


def trajectory(name: str) -> str:
    """The trajectory that a file is a piece of.

    >>> trajectory("20190408_183047_triangle_0_journal_3_17_1000.h5")
    '20190408_183047_triangle_0_journal_3'
    """
    match = _NAME.fullmatch(name)
    if not match:
        raise ValueError(f"a file is called {name!r}; allowed: <trajectory>_<number>_1000.h5")
    return match[1]


def released_split(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The released code's files of each part: a fifth of all, shuffled, is validation and test.

    >>> parts = released_split(f"t_{k}_1000.h5" for k in range(10))
    >>> parts["test"], parts["validation"] == parts["test"]
    (('t_1_1000.h5', 't_8_1000.h5'), True)
    """
    train, test = _cut(sorted(names))
    return {"train": train, "validation": test, "test": test}


def clean_split(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Files by whole trajectories: a fifth of these for the test, half as many for validation.

    Trajectories are shuffled as the released code shuffles files. Raises ``ValueError`` for fewer
    than ten.
    """
    names = sorted(names)
    of = {name: trajectory(name) for name in names}
    check_range("number of trajectories", len(set(of.values())), 10)
    rest, test = _cut(sorted(set(of.values())))
    held = len(test) // 2
    chosen = {"train": rest[:-held], "validation": rest[-held:], "test": test}
    return {
        part: tuple(name for name in names if of[name] in set(members))
        for part, members in chosen.items()
    }


def _cut(items: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Four fifths and one fifth, in the order of the released code's generator."""
    order = np.arange(len(items))
    np.random.default_rng(42).shuffle(order)
    shuffled = tuple(items[k] for k in order)
    first = len(items) - int(0.2 * len(items))
    check_range("number of files for the test", len(items) - first, 1)
    return shuffled[:first], shuffled[first:]


def _read(
    folder: Path,
    files: tuple[str, ...],
    task: str,
    size: int,
    numbers: dict[str, int],
    device: torch.device | str,
) -> Part:
    n = len(files) * STEPS
    inputs = {
        "image": torch.empty(n, 3, size, size, dtype=torch.uint8),
        "proprio": torch.empty(n, 8),
        "force": torch.empty(n, WINDOW, 6),
    }
    labels = torch.empty(n, len(OUTPUTS)) if task == "ee" else torch.empty(n, dtype=torch.long)
    for k, name in enumerate(files):
        arrays = _arrays(folder / name)
        rows = slice(k * STEPS, (k + 1) * STEPS)
        inputs["image"][rows] = _resized(torch.from_numpy(arrays["image"][:STEPS]), size)
        force = torch.from_numpy(arrays["ee_forces_continuous"][:STEPS, -WINDOW:])
        inputs["force"][rows] = force.double().tanh().float()
        proprio = torch.from_numpy(arrays["proprio"]).float()
        inputs["proprio"][rows] = proprio[:STEPS]
        if task == "ee":
            labels[rows] = proprio[1 : STEPS + 1, : len(OUTPUTS)]
        else:
            touched = arrays["contact"][1 : STEPS + 1].sum(axis=1) > 0
            labels[rows] = torch.from_numpy(touched).long()
    units = torch.tensor([numbers[trajectory(name)] for name in files]).repeat_interleave(STEPS)
    seen = tuple(inputs[name].to(device) for name in INPUTS[task])
    return Part(seen, labels.to(device), units.to(device))


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        import h5py
    except ImportError as error:
        raise ImportError("Vision & Touch comes in HDF5 files: pip install h5py") from error
    try:
        with h5py.File(path, "r") as file:
            arrays = {name: np.asarray(file[name][()]) for name in _SHAPES if name in file}
    except (OSError, TypeError) as error:
        raise ValueError(f"{path} cannot be read ({error})") from error
    for name, shape in _SHAPES.items():
        if name not in arrays:
            raise ValueError(f"{path} has no {name!r}")
        check_shape(f"{path}: {name}", arrays[name], shape)
        if name == "image":
            if arrays[name].dtype != np.uint8:
                raise ValueError(f"{path}: image holds {arrays[name].dtype}; expected uint8")
        elif not np.isfinite(arrays[name]).all():
            raise ValueError(f"{path}: {name} are not finite")
    return arrays


def _resized(images: Tensor, size: int) -> Tensor:
    images = images.permute(0, 3, 1, 2)
    if size == SIDE:
        return images
    return F.interpolate(images.float(), (size, size), mode="area").round().byte()
