"""One file with everything that the rest of a fit depends on; no pickled code.

A safetensors file: tensors under ``model.``, ``optimizer.<parameter>.`` and ``generator``, numbers
as JSON in its header. :func:`write` and :func:`read` are of such files, whatever they hold.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from mmlib._whole import whole


def write(path: Path, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
    """Write tensors and numbers as one file, atomically."""
    # Copies, because the format takes neither tied nor strided tensors.
    copies = {
        key: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for key, value in tensors.items()
    }
    with whole(path) as part:
        save_file(copies, part, metadata={"numbers": json.dumps(numbers)})


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What :func:`write` wrote, on the CPU."""
    with safe_open(path, framework="pt", device="cpu") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        return tensors, json.loads(file.metadata()["numbers"])


def save(
    path: Path,
    made_by: dict[str, Any],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    numbers: dict[str, Any],
) -> None:
    """Write the state atomically; ``made_by`` says which run it belongs to."""
    tensors = {f"model.{key}": value for key, value in model.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        for key, value in state.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{index}.{key}"] = value
    tensors["generator"] = generator.get_state()
    numbers = {**numbers, "made_by": made_by, "generator_on": generator.device.type}
    write(path, tensors, numbers)


def restore(
    path: Path,
    made_by: dict[str, Any],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
) -> dict[str, Any]:
    """Undo :func:`save` in place, on the devices that model and generator are on now.

    Returns the numbers. A generator on another kind of device than the one saved
    (``numbers["generator_on"]``) is left as it is, since its state means nothing there. Raises
    ``ValueError`` if ``made_by`` is not the one saved.
    """
    tensors, numbers = read(path)
    made_by = json.loads(json.dumps(made_by))  # tuples become lists, as in the file
    differ = [
        f"{key} is {made_by[key]!r}, there {numbers['made_by'].get(key)!r}"
        for key in made_by
        if made_by[key] != numbers["made_by"].get(key)
    ]
    if differ:
        raise ValueError(f"{path} is of another run: {'; '.join(differ)}. Delete it to start anew")
    weights: dict[str, Tensor] = {}
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        kind, _, rest = key.partition(".")
        if kind == "model":
            weights[rest] = value
        elif kind == "optimizer":
            index, _, slot = rest.partition(".")
            state.setdefault(int(index), {})[slot] = value
    model.load_state_dict(weights)
    optimizer.load_state_dict(optimizer.state_dict() | {"state": state})
    if numbers["generator_on"] == generator.device.type:
        generator.set_state(tensors["generator"])
    return numbers
