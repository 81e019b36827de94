"""The one place that chooses where to compute."""

from __future__ import annotations

import torch


def pick_device() -> torch.device:
    """The first CUDA device if there is one, else the CPU.

    >>> pick_device().type in ("cuda", "cpu")
    True
    """
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
