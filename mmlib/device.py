"""The one place that chooses where to compute, and what a record calls it."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

import torch
from torch import Tensor


def pick_device() -> torch.device:
    """The first CUDA device if there is one, else the CPU.

    >>> pick_device().type in ("cuda", "cpu")
    True
    """
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@cache
def constant(values: tuple, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Numbers, nested as in ``torch.tensor``, as a tensor that is kept and must not be changed.

    Made anew in each step, they would be copied to a GPU each time, and the host would wait.

    >>> constant((1, 2), torch.device("cpu"), torch.long)
    tensor([1, 2])
    """
    with torch.inference_mode(False):  # whose tensors no gradient may meet later
        return torch.tensor(values, device=device, dtype=dtype)


def device_name(device: torch.device) -> str:
    """A GPU's name; of a CPU the processor's, as far as the system tells it, and the threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU ({_processor()}), {torch.get_num_threads()} threads"


def _processor(told: Path = Path("/proc/cpuinfo")) -> str:
    lines = told.read_text().splitlines() if told.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()
