"""Where to compute, with how many digits, compiled or not, and what a record says of that."""

from __future__ import annotations

import os
import platform
import warnings
from collections.abc import Callable, Sequence
from functools import cache, wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor, nn

P, R = ParamSpec("P"), TypeVar("R")
COMPILING = ("cuda",)  # kinds of device that compiled() compiles for
_FORMS = 64  # of its arguments that a function may be compiled for


def pick_device() -> torch.device:
    """The first CUDA device if there is one, else the CPU; float32 is float32 on either.

    Unless told otherwise a GPU convolves float32 as TF32, which keeps 10 of its 23 bits. That is
    turned off for the process, for products too: who wants the matrix units asks for bfloat16.

    >>> pick_device().type in ("cuda", "cpu")
    True
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    # By the old names and the new: torch 2.11 asks for both in a product, and they have to agree.
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    for kind in (torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn):
        kind.fp32_precision = "ieee"
    return torch.device("cuda")


def to_device(model: nn.Module, device: torch.device) -> nn.Module:
    """The model there; on a GPU its filters lie with channels last, as matrix units take them.

    On a CPU they stay as they are: another layout is summed in another order.

    >>> to_device(nn.Conv2d(3, 4, 5), torch.device("cpu")).weight.is_contiguous()
    True
    """
    if device.type != "cpu":
        model = model.to(memory_format=torch.channels_last)
    return model.to(device)


def check_products(device: torch.device) -> None:
    """Raise ``RuntimeError`` where products of float32 matrices would have fewer digits.

    For what is exact only up to a bound on float32's rounding, wherever it is called from.

    >>> check_products(torch.device("cpu"))
    """
    backend = torch.backends.cuda if device.type == "cuda" else torch.backends.mkldnn
    precision = backend.matmul.fp32_precision
    if precision not in ("ieee", "none"):
        raise RuntimeError(
            f"products of float32 on {device} are of {precision}; allowed: ieee, by "
            "torch.set_float32_matmul_precision('highest')"
        )


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """``function``, of which a GPU gets few kernels in place of one for every operation.

    It is compiled where the first tensor that it is given lies on a GPU, so that what one operation
    makes the next one need not read from memory; rounding may differ. On a CPU it is called as it
    is, with the same bits as ever. It has to do the same at every call: draw nothing, and ask no
    tensor for a number.

    Where the compiler does not work, a warning says why, once, and the function is called as it is;
    it needs a C compiler and Python's headers. ``TORCH_COMPILE_DISABLE=1`` goes without it.

    >>> @compiled
    ... def doubled(x):
    ...     return 2 * x
    >>> doubled(torch.ones(2))
    tensor([2., 2.])
    """

    @wraps(function)
    def call(*args: P.args, **options: P.kwargs) -> R:
        if torch.compiler.is_compiling():  # as a part of another one
            return function(*args, **options)
        device = _device_of(args)
        there = device is not None and device.type in COMPILING and _compiler_works(device)
        return (_by_compiler(function) if there else function)(*args, **options)

    return call


def _device_of(values: Sequence) -> torch.device | None:
    """That of the first tensor among values, and among their own where they are sequences."""
    for value in values:
        if isinstance(value, Tensor):
            return value.device
        if isinstance(value, list | tuple) and (device := _device_of(value)) is not None:
            return device
    return None


@cache
def _by_compiler(function: Callable[P, R]) -> Callable[P, R]:
    torch.compiler.assume_constant_result(constant)
    # After the eighth form of its arguments, as a network is one, torch would leave others as they
    # are: which ones are compiled, and how they are rounded, would depend on what came before.
    torch._dynamo.config.recompile_limit = max(_FORMS, torch._dynamo.config.recompile_limit)
    return torch.compile(function)


@cache
def _compiler_works(device: torch.device) -> bool:
    if os.environ.get("TORCH_COMPILE_DISABLE") == "1":
        return False
    try:
        torch.compile(lambda x: x.exp() + 1)(torch.zeros(2, device=device))
    except Exception as error:  # of many kinds: no compiler, no headers, no Triton
        why = f"{type(error).__name__}: {error}".partition("\n")[0]
        warnings.warn(f"nothing is compiled for {device}, so it is slower: {why}", stacklevel=4)
        return False
    return True


def constant(values: tuple, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Numbers, nested as in ``torch.tensor``, as a tensor that is kept and must not be changed.

    Made anew in each step, they would be copied to a GPU each time, and the host would wait.

    >>> constant((1, 2), torch.device("cpu"), torch.long)
    tensor([1, 2])
    """
    return _constant(values, device, dtype)


@cache
def _constant(values: tuple, device: torch.device, dtype: torch.dtype) -> Tensor:
    with torch.inference_mode(False):  # whose tensors no gradient may meet later
        return torch.tensor(values, device=device, dtype=dtype)


def device_name(device: torch.device) -> str:
    """A GPU's name; of a CPU the processor's, as far as the system tells it, and the threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"CPU ({_processor()}), {threads} thread{'s' if threads > 1 else ''}"


def _processor(told: Path = Path("/proc/cpuinfo")) -> str:
    lines = told.read_text().splitlines() if told.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()
