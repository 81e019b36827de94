"""MEM's alternation in files: memory for a batch, not for a set, and resume after any batch.

A folder holds

* ``noise`` (int8) and ``published`` (uint8), the images' bytes and no more, mapped into memory;
* ``surrogate.safetensors``, the checkpoint of :func:`mmlib.train.fit`, written before each visit;
* ``batch.safetensors``, written before each batch of a visit: where it is, the triggers, the
  batch's noise as it was, and the generator's state. A batch that was cut short is made again from
  there;
* ``run.json``: what the run is of.

That holds for a process that is killed at any point. A machine that loses power may lose what it
had not yet written to its disk. Memory is bounded as far as the images given are mapped, too; for
the unit "pair" they are repeated in memory, once for each of several captions.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from mmlib import _checkpoint
from mmlib.mem.alternation import Alternation
from mmlib.mem.fingerprint import fingerprint
from mmlib.mem.settings import Protection


class Resumable(Alternation):
    """The same alternation, its noise in a file, that goes on where an earlier call was cut short.

    Raises ``ValueError`` if ``folder`` holds another run: of other settings, weights, captions,
    words, images (as a sample of 16 tells) or generator.
    """

    def __init__(
        self,
        surrogate: nn.Module,
        images: Tensor,
        captions: Tensor,
        settings: Protection,
        generator: torch.Generator,
        words: Tensor | None = None,
        *,
        folder: Path,
    ):
        self.folder, self.checkpoint = folder, folder / "surrogate.safetensors"
        self._cut_short: tuple[dict, dict] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        run = {
            "settings": asdict(settings) | {"word_share": list(settings.word_share)},
            "images": [list(images.shape), _digest(images[:: math.ceil(len(images) / 16)])],
            "captions": _digest(captions),
            "words": None if words is None else _digest(words),
            "surrogate": fingerprint(surrogate),
            "generator": [generator.device.type, _digest(generator.get_state())],
        }
        self._begun = self.checkpoint.exists()
        if self._begun:
            there = json.loads((folder / "run.json").read_text())
            differ = [name for name in run if run[name] != there.get(name)]
            if differ:
                raise ValueError(
                    f"{folder} is of a run of other {', '.join(differ)}. Delete it to start anew"
                )
        else:
            (folder / "batch.safetensors").unlink(missing_ok=True)
            (folder / "run.json").write_text(json.dumps(run, indent=1) + "\n")
        super().__init__(surrogate, images, captions, settings, generator, words)

    def visit(self, with_triggers: bool) -> dict[str, float]:
        means = super().visit(with_triggers)
        self._note(0, None, {})
        return means

    def recall(self, rounds: int) -> None:
        """Take up what was noted, where the surrogate has ``rounds`` rounds of steps behind it."""
        path = self.folder / "batch.safetensors"
        if not path.exists():
            return
        tensors, numbers = _checkpoint.read(path)
        self.visits = numbers["visits"]
        self.triggers = tensors["triggers"].to(self.device)
        if "rows" in tensors:  # in the middle of a visit
            self._cut_short = tensors, numbers
        elif len(self.visits) == rounds:  # after it, but before more steps were saved
            self.generator.set_state(tensors["generator"])

    def _stored(self, name: str, shape: torch.Size, dtype: torch.dtype) -> Tensor:
        path = self.folder / name
        if not (name == "noise" and self._begun):
            path.unlink(missing_ok=True)
        size = math.prod(shape)
        return torch.from_file(str(path), shared=True, size=size, dtype=dtype).view(shape)

    def _in_turn(
        self, batches: Sequence[Tensor], seen: dict[str, list[Tensor | float]]
    ) -> Iterator[Tensor]:
        first = 0
        if self._cut_short is not None:
            tensors, numbers = self._cut_short
            self._cut_short, first = None, numbers["batch"]
            self.noise[tensors["rows"]] = tensors["noise"]
            seen.update(numbers["seen"])
            self.generator.set_state(tensors["generator"])
        for number in range(first, len(batches)):
            self._note(number, self._mine(batches[number])[0], seen)
            yield batches[number]

    def _note(self, batch: int, rows: Tensor | None, seen: dict[str, list[Tensor | float]]) -> None:
        """Write, atomically, all that making this batch changes or draws from."""
        for values in seen.values():
            values[:] = map(float, values)
        tensors = {"triggers": self.triggers, "generator": self.generator.get_state()}
        if rows is not None:
            tensors |= {"rows": rows, "noise": self.noise[rows.cpu()]}
        numbers = {"visits": self.visits, "batch": batch, "seen": seen}
        _checkpoint.write(self.folder / "batch.safetensors", tensors, numbers)


def _digest(tensor: Tensor) -> str:
    return hashlib.sha256(tensor.cpu().contiguous().numpy().tobytes()).hexdigest()
