"""One training loop: optimizer, schedule, autocast, exact resume, stop on NaN, progress."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmlib import _checkpoint
from mmlib._checks import check_choice, check_range, check_shape
from mmlib._progress import Meter

# _NormBase: batch and instance norms of every dimension.
_NORMS = (nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, nn.modules.batchnorm._NormBase)
_OPTIMIZERS = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}

Scalars = Mapping[str, Tensor]


@dataclass(frozen=True)
class Optim:
    """How a model is optimised; the defaults are those of CoMM's Trifeature runs.

    ``learning_rate`` is the peak: it is reached linearly over the first ``warmup_steps`` and then
    kept (``"constant"``) or brought to 0 along half a cosine (``"cosine"``). ``weight_decay`` acts
    on the parameters that :func:`parameter_groups` says. ``precision`` is that of autocast;
    parameters stay as they are.

    Raises ``ValueError`` if a value is out of range.

    >>> Optim(steps=100, learning_rate=3e-4, schedule="step")
    Traceback (most recent call last):
    ...
    ValueError: schedule is 'step'; allowed: 'constant', 'cosine'
    """

    steps: int
    learning_rate: float
    weight_decay: float = 1e-4
    optimizer: str = "adamw"
    schedule: str = "constant"
    warmup_steps: int = 0
    precision: str = "float32"

    def __post_init__(self) -> None:
        check_range("steps", self.steps, 1)
        check_range("learning_rate", self.learning_rate, 0, math.inf, open_high=True)
        check_range("weight_decay", self.weight_decay, 0, math.inf, open_high=True)
        check_choice("optimizer", self.optimizer, _OPTIMIZERS)
        check_choice("schedule", self.schedule, ("constant", "cosine"))
        check_range("warmup_steps", self.warmup_steps, 0, self.steps)
        check_choice("precision", self.precision, ("float32", "bfloat16"))

    def learning_rate_at(self, step: int) -> float:
        """Learning rate of the step after ``step`` finished ones.

        >>> optim = Optim(steps=12, learning_rate=1.0, schedule="cosine", warmup_steps=4)
        >>> [round(optim.learning_rate_at(step), 3) for step in (0, 3, 4, 8, 11)]
        [0.25, 1.0, 1.0, 0.5, 0.038]
        """
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        if self.schedule == "constant":
            return self.learning_rate
        done = (step - self.warmup_steps) / (self.steps - self.warmup_steps)
        return self.learning_rate * (1 + math.cos(math.pi * done)) / 2


class EpochSampler:
    """Which of ``n`` records each step sees: every epoch passes all once in a new random order.

    ``sampler(step)`` are the indices (B,) of that step, int64 on ``device``: a function of ``seed``
    and ``step`` alone, the same on every device. ``drop_last`` leaves out an epoch's last,
    incomplete batch; without it one of a single record is left out all the same, since it has no
    negatives. Raises ``ValueError`` unless 1 <= batch_size <= n.

    >>> sampler = EpochSampler(5, 2, seed=0)
    >>> sampler.steps_per_epoch, sampler(1).shape, torch.equal(sampler(7), sampler(7))
    (2, torch.Size([2]), True)
    """

    def __init__(
        self,
        n: int,
        batch_size: int,
        *,
        seed: int,
        drop_last: bool = True,
        device: torch.device | str = "cpu",
    ):
        check_range("batch_size", batch_size, 1, n)
        check_range("seed", seed, 0)
        self.n, self.batch_size, self.seed, self.drop_last = n, batch_size, seed, drop_last
        self.device = torch.device(device)
        whole = drop_last or n % batch_size == 1
        self.steps_per_epoch = n // batch_size if whole else math.ceil(n / batch_size)
        self._epoch = -1

    def __call__(self, step: int) -> Tensor:
        epoch, batch = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            generator = torch.Generator().manual_seed(_mix(self.seed, epoch))
            self._order = torch.randperm(self.n, generator=generator).to(self.device)
            self._epoch = epoch
        return self._order[batch * self.batch_size : (batch + 1) * self.batch_size]

    def __repr__(self) -> str:
        kept = f"seed={self.seed}, drop_last={self.drop_last}"
        return f"EpochSampler({self.n}, {self.batch_size}, {kept})"


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Optimizer groups: parameters that decay, and those that do not.

    A parameter decays if it has at least 2 dimensions, is no bias and is not part of a
    normalisation layer: weight matrices, filters and embeddings (a CLS token is one) do; biases,
    gains and a learned temperature do not. Frozen parameters are in neither group.

    Source: CoMM, released code.

    >>> groups = parameter_groups(nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2)), 0.1)
    >>> [(group["weight_decay"], len(group["params"])) for group in groups]
    [(0.1, 1), (0.0, 3)]
    """
    decays: dict[Tensor, bool] = {}
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad:
                matrix = parameter.ndim >= 2 and "bias" not in name
                decays.setdefault(parameter, matrix and not isinstance(module, _NORMS))
    return [
        {"params": [p for p, d in decays.items() if d], "weight_decay": weight_decay},
        {"params": [p for p, d in decays.items() if not d], "weight_decay": 0.0},
    ]


def fit(
    model: nn.Module,
    loss: Callable[[Tensor, torch.Generator], Tensor | Scalars],
    optim: Optim,
    sampler: EpochSampler,
    *,
    generator: torch.Generator,
    name: str = "train",
    checkpoint: Path | None = None,
    checkpoint_every: int = 0,
    log_every: int = 10,
    on_step: Callable[[int], None] | None = None,
    on_resume: Callable[[int], None] | None = None,
    progress: bool = True,
) -> list[dict[str, float]]:
    """Train ``model`` in place for ``optim.steps`` steps and return the history.

    ``loss(indices, generator)`` gives the scalar to minimise, or a mapping of scalars of which
    ``"loss"`` is minimised and the others are logged. All randomness comes from ``generator``:
    layers that draw from torch's global stream (dropout) find it seeded from the generator's seed
    and the step, and the stream is afterwards as it was.

    A history row has ``step`` (steps done, 1 to ``optim.steps``), the mean of each scalar over the
    steps since the row before, and ``lr``; one row every ``log_every`` steps and one at the end.
    ``on_step(steps_done)`` is called after every step made in this call; the model may be in any
    mode after it. The model is left in training mode. A checkpoint is written before ``on_step`` is
    called for its step: ``on_resume(steps_done)``, called once where training goes on from a
    checkpoint, is to make good what ``on_step`` may not have done.

    If the file ``checkpoint`` exists, training goes on from there; on the CPU the result is
    bit-equal to that of an uninterrupted run. Going on with another kind of device, the generator
    starts a new stream, since its state does not carry over. The file is written every
    ``checkpoint_every`` steps (0: only at the end), so a finished fit is not repeated.

    Raises ``FloatingPointError`` naming step and part if a scalar is NaN or infinite (noticed when
    the next row is due, so that a GPU need not wait each step) or a parameter is in the end, and
    ``ValueError`` if the checkpoint is from other settings, ``model`` has nothing to train, or what
    ``loss`` gives is no scalar or has no ``"loss"``.

    >>> _ = torch.manual_seed(0)
    >>> x, model = torch.randn(64, 3), nn.Linear(3, 1)
    >>> y = x.sum(1, keepdim=True)
    >>> history = fit(
    ...     model,
    ...     lambda indices, _: (model(x[indices]) - y[indices]).square().mean(),
    ...     Optim(steps=200, learning_rate=0.05),
    ...     EpochSampler(64, 16, seed=0),
    ...     generator=torch.Generator().manual_seed(0),
    ...     progress=False,
    ... )
    >>> history[-1]["step"], history[-1]["loss"] < 1e-3 < history[0]["loss"]
    (200, True)
    """
    check_range("log_every", log_every, 1)
    check_range("checkpoint_every", checkpoint_every, 0)
    optimizer = _optimizer(model, optim)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    if not parameters:
        raise ValueError("model has no trainable parameter")
    device = parameters[0].device
    seed = generator.initial_seed()
    made_by = {"name": name, "optim": asdict(optim), "sampler": repr(sampler), "seed": seed}

    start, history = 0, []
    window: list[dict[str, float]] = []  # the scalars of each step since the last row
    unread: list[Scalars] = []  # of these, those still on the device
    if checkpoint is not None and checkpoint.exists():
        numbers = _checkpoint.restore(checkpoint, made_by, model, optimizer, generator)
        start, history, window = numbers["step"], numbers["history"], numbers["window"]
        if numbers["generator_on"] != generator.device.type:
            generator.manual_seed(_mix(seed, start))

    autocast = torch.autocast(device.type, torch.bfloat16, enabled=optim.precision == "bfloat16")
    cuda = device.type == "cuda"
    layers = torch.cuda.default_generators[device.index] if cuda else torch.default_generator
    model.train()
    with (
        Meter(name, start, optim.steps, shown=progress) as meter,
        torch.random.fork_rng(devices=[device] if cuda else []),
    ):
        if start and on_resume is not None:
            on_resume(start)
            model.train()
        for step in range(start, optim.steps):
            layers.manual_seed(_mix(seed, step))
            for group in optimizer.param_groups:
                group["lr"] = optim.learning_rate_at(step)
            with autocast:
                parts = _scalars(loss(sampler(step), generator))
            optimizer.zero_grad()
            parts["loss"].backward()
            optimizer.step()
            unread.append({part: value.detach() for part, value in parts.items()})

            done = step + 1
            log = done % log_every == 0 or done == optim.steps
            save = checkpoint is not None and (
                done == optim.steps or (checkpoint_every and done % checkpoint_every == 0)
            )
            if log or save:
                window += _read(unread, name, done, optim.steps)
                unread = []
            if log:
                means = {k: math.fsum(row[k] for row in window) / len(window) for k in window[0]}
                history.append({"step": done, **means, "lr": optim.learning_rate_at(step)})
                window = []
            if save or done == optim.steps:
                _check_finite(model, name, done)
            if save:
                numbers = {"step": done, "history": history, "window": window}
                _checkpoint.save(checkpoint, made_by, model, optimizer, generator, numbers)
            meter.update(done, history[-1]["loss"] if history else None)
            if on_step is not None:
                on_step(done)
                model.train()
    return history


def _optimizer(model: nn.Module, optim: Optim) -> torch.optim.Optimizer:
    groups = parameter_groups(model, optim.weight_decay)
    # Fused is several times faster on small models.
    return _OPTIMIZERS[optim.optimizer](groups, lr=optim.learning_rate, fused=True)


def _mix(*numbers: int) -> int:
    """A seed from several numbers: neighbours give unrelated ones."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def _scalars(value: Tensor | Scalars) -> Scalars:
    parts = value if isinstance(value, Mapping) else {"loss": value}
    if "loss" not in parts:
        raise ValueError(f"the loss gives {', '.join(map(repr, parts))}; 'loss' must be among them")
    for part, scalar in parts.items():
        if not isinstance(scalar, Tensor):
            raise ValueError(f"{part} is {scalar!r}; allowed: a tensor")
        check_shape(part, scalar, "")
    return parts


def _read(unread: list[Scalars], name: str, done: int, steps: int) -> list[dict[str, float]]:
    """The scalars of the last steps as numbers, in one transfer; stops if one is not finite."""
    values = torch.stack([v.double() for row in unread for v in row.values()]).tolist()
    numbers = iter(values)
    rows = [{part: next(numbers) for part in row} for row in unread]
    for step, row in enumerate(rows, start=done - len(rows) + 1):
        wrong = [f"{part} is {value}" for part, value in row.items() if not math.isfinite(value)]
        if wrong:
            raise FloatingPointError(f"{name}: {', '.join(wrong)} at step {step} of {steps}")
    return rows


def _check_finite(model: nn.Module, name: str, done: int) -> None:
    for key, parameter in model.named_parameters():
        if not parameter.isfinite().all():
            raise FloatingPointError(f"{name}: parameter {key} is not finite after step {done}")
