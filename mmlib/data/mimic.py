"""MIMIC as MultiBench prepares it: a hospital stay's table and its first day in hourly steps.

The records are MIMIC-III's (A. Johnson et al., 2016). PhysioNet gives them out to persons who have
taken its course and signed for it; MultiBench, which prepared them, passes ``im.pk`` on to those
who show that. Neither is part of this project. ``MMLIB_DATA/multibench/im.pk`` is a dictionary of

* ``adm_features_all`` (N, 5): the table of a stay;
* ``ep_tdata`` (N, 24, 12): measurements of 24 hours;
* ``y_icd9`` (N, 20): whether a diagnosis of each group of ICD-9 codes was made;
* ``adm_labels_all``, for the mortality task, which is not used here.

It is read as MultiBench's other pickles are, by an interpreter that knows arrays and nothing else.
"""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import torch

from mmlib._checks import check_choice, check_range, check_shape
from mmlib.data._root import set_folder
from mmlib.data.multibench import numbers, read_arrays
from mmlib.data.multimodal import Part

FILE = "im.pk"
GROUP = 7  # of ICD-9 codes: the paper's task
CLASSES = ("other diagnoses", f"diagnosis of group {GROUP}")
_HOW = (
    "Get access to MIMIC from PhysioNet (https://physionet.org: a course and a signed agreement), "
    "then ask for it as https://github.com/pliang279/MultiBench says, and bring it here as it is"
)
_SHAPES = {"adm_features_all": "N F", "ep_tdata": "N T G", "y_icd9": "N K"}


def load(*, root: Path | None = None, device: torch.device | str = "cpu") -> dict[str, Part]:
    """The parts ``train``, ``validation`` and ``test`` of the published split, a label 0 or 1.

    The inputs of N stays are the table (N, F) and the series (N, T, G).

    As published: nan and infinite measurements are 0; features are scaled by mean and standard
    deviation over *all* stays (and hours), test stays included; then the stays are shuffled by
    Python's generator with seed 10, and of these the first tenth is for validation, the next the
    test part. A feature without spread is zero here. The label is whether a diagnosis of group 7
    was made. ``root`` is the folder of the file, by default ``multibench`` in ``MMLIB_DATA``.

    Raises ``FileNotFoundError``, saying how to get it, where the file is absent; ``ValueError`` for
    a file that holds anything but arrays and containers or is cut short, that lacks a key, whose
    arrays do not fit each other, and for labels other than 0 and 1, fewer than ten stays and too
    few groups of diagnoses. Source: MultiBench; CoMM, MIMIC experiment.
    """
    content = read_arrays(set_folder("multibench", (FILE,), _HOW, root) / FILE)
    arrays = numbers(content, _SHAPES, FILE, np.float64)
    stays: dict[str, int] = {}
    for name, shape in _SHAPES.items():
        stays = {"N": check_shape(f"{FILE}: {name}", arrays[name], shape, **stays)["N"]}
    table, series, groups = arrays.values()
    check_range("number of groups", groups.shape[1], GROUP + 1)
    chosen = groups[:, GROUP]
    for value in np.unique(chosen).tolist():
        check_choice(f"{FILE}: y_icd9 of group {GROUP}", value, (0, 1))
    inputs = [torch.from_numpy(_scaled(table, 0)), torch.from_numpy(_scaled(series, (0, 1)))]
    labels = torch.from_numpy(chosen).long()
    return {
        name: Part.of_independent(
            tuple(x[rows].float().to(device) for x in inputs), labels[rows].to(device)
        )
        for name, rows in published_split(len(chosen)).items()
    }


def published_split(n: int) -> dict[str, list[int]]:
    """The stays of each part, of ``n``, in the order that MultiBench's loader has them in.

    >>> {part: rows[:4] for part, rows in published_split(20).items()}
    {'train': [19, 8, 9, 12], 'validation': [14, 11], 'test': [5, 6]}
    """
    check_range("number of stays", n, 10)
    order = list(range(n))
    random.Random(10).shuffle(order)
    return {
        "train": order[n // 5 :],
        "validation": order[: n // 10],
        "test": order[n // 10 : n // 5],
    }


def _scaled(x: np.ndarray, over: int | tuple[int, int]) -> np.ndarray:
    x = np.where(np.isfinite(x), x, 0)
    sd = x.std(axis=over)
    constant = x.min(axis=over) == x.max(axis=over)  # rounding may leave it a deviation
    return np.where(constant, 0, (x - x.mean(axis=over)) / np.where(constant, 1, sd))
