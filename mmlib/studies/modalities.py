"""What chapter 9 trains and scores: a set of several modalities, trainings, probes, intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from mmlib.data.multimodal import Multimodal, as_vectors
from mmlib.device import to_device
from mmlib.evaluate.bootstrap import Interval, bootstrap, difference
from mmlib.evaluate.features import embed_pairs, principal_components
from mmlib.evaluate.fine_tune import Patience, fit_to_best
from mmlib.evaluate.metrics import balanced_accuracy
from mmlib.evaluate.probe import PROBES
from mmlib.evaluate.targets import TARGETS, Probed
from mmlib.methods.modalities import build
from mmlib.methods.supervised import mean_loss
from mmlib.presets.modalities import ModalitySettings
from mmlib.train import EpochSampler, Optim, fit


class ModalityStudy:
    """A set by a chapter's settings, and methods that are trained and scored on it.

    Features are a tensor (N, E) for each part. Scores are of the test part: the target's main
    score, or balanced accuracy in % of one of the part's further tasks. Intervals are of 95 %, over
    ``cfg.resamples`` resamples of the test part's units, the same for all scores.

    Attributes:
        parts: ``"train"``, ``"validation"`` and ``"test"``.
        learn: the part of which methods see no label.
        target: the kind of its labels, one of :data:`mmlib.evaluate.targets.TARGETS`.
    """

    def __init__(self, dataset: Multimodal, cfg: ModalitySettings, device: torch.device):
        self.dataset, self.cfg, self.device = dataset, cfg, device
        self.parts = {name: getattr(dataset, name) for name in ("train", "validation", "test")}
        self.learn = dataset.train if dataset.learn is None else dataset.learn
        self.target = TARGETS[dataset.target]
        test = dataset.test
        self._truths = {None: (self.target.score, test.labels.cpu())} | {
            task: (balanced_accuracy, labels.cpu()) for task, labels in test.tasks.items()
        }

    def untrained(self, method: str, seen: Sequence[int]) -> nn.Module:
        """A method's model of the modalities ``seen``, with its first weights."""
        model = build(method, self.dataset.modalities, self.cfg, seen=seen)
        return to_device(model, self.device)

    def train(
        self,
        model: nn.Module,
        seen: Sequence[int],
        *,
        labelled: bool,
        draw: Callable[[int], torch.Generator],
        name: str,
        note: Callable[[str, int, float], None],
        to_best: bool = True,
        on_epoch: Callable[[int], None] | None = None,
    ) -> nn.Module:
        """Train a model of the modalities ``seen`` in place, and return it.

        One that sees no label takes all epochs, over :attr:`learn`. One that is ``labelled`` takes
        the training part, and ends as it was at its lowest loss on the validation part or, not
        ``to_best``, after all epochs. ``draw`` gives a new generator for a number; ``note`` gets a
        curve's name, a step and a value. ``on_epoch`` gets the number of each epoch of a training
        that takes all of them, when it is over.
        """
        cfg, part = self.cfg, self.parts["train"] if labelled else self.learn
        fitted, held = (
            [*(p.inputs[k] for k in seen), *[p.labels] * labelled]
            for p in (part, self.parts["validation"])
        )

        def loss(rows: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
            return model.loss([x[rows] for x in fitted], generator)

        def score() -> float:  # of what learns from labels: higher is better
            return -mean_loss(model, held, draw(2), batch_size=size)

        size = min(cfg.batch_size, len(part))
        sampler = EpochSampler(len(part), size, seed=cfg.seed, drop_last=False, device=self.device)
        steps = cfg.epochs * sampler.steps_per_epoch
        optim = Optim(
            steps,
            cfg.learning_rate,
            cfg.weight_decay,
            schedule=cfg.schedule,
            warmup_steps=cfg.warmup_epochs * sampler.steps_per_epoch,
            precision=cfg.precision,
        )
        options = {"generator": draw(1), "name": name, "log_every": max(1, steps // 20)}
        if labelled and to_best:
            rule = Patience(cfg.patience, 0.0)
            fit_to_best(model, loss, optim, sampler, score=score, rule=rule, **options)
            for epoch, value in enumerate(rule.values, start=1):
                note("validation_loss", epoch, -value)
        else:
            watch = on_epoch and partial(_each_epoch, on_epoch, sampler.steps_per_epoch)
            for row in fit(model, loss, optim, sampler, on_step=watch, **options):
                if "match" in row:
                    note("match", row["step"], row["match"])
        return model

    def raw(self, k: int) -> dict[str, Tensor]:
        """The raw features of modality ``k``, at most ``cfg.components`` of them."""
        modality = self.dataset.modalities[k]
        vectors = {
            p: as_vectors(modality, part.inputs[k]).float() for p, part in self.parts.items()
        }
        return principal_components(vectors, self.cfg.components)

    def features(self, model: nn.Module, seen: Sequence[int]) -> dict[str, Tensor]:
        """Embeddings of each part, of the modalities ``seen``, by a model of these."""
        return {
            name: embed_pairs(
                model, [part.inputs[k] for k in seen], [torch.arange(len(part))] * len(seen)
            )
            for name, part in self.parts.items()
        }

    def probe(self, features: Mapping[str, Tensor], task: str | None = None) -> Probed:
        """What a probe of the parts' labels, or of a task, says of the test part."""
        labels = {
            name: part.labels if task is None else part.tasks[task]
            for name, part in self.parts.items()
        }
        options = dict(PROBES[self.cfg.probe_penalty]) if self.dataset.target == "classes" else {}
        options.pop("validation", None)  # a part here
        return self.target.probe(features, labels, **options)

    def score(
        self, probed: Probed, task: str | None = None, places: Tensor | slice = slice(None)
    ) -> float:
        """The score of a probe, of the test samples at ``places``."""
        score, labels = self._truths[task]
        return score(probed.predictions[places], labels[places])

    def interval(
        self, probed: Probed, task: str | None = None, *, by_unit: bool = True
    ) -> Interval:
        """The interval of a score; not ``by_unit``, as if samples were independent."""
        return bootstrap(lambda places: self.score(probed, task, places), **self._drawn(by_unit))

    def above(self, one: Probed, other: Probed, task: str | None = None) -> tuple[float, Interval]:
        """How far a probe scores above another on the same samples, and the interval of that."""
        return difference(
            lambda places: self.score(one, task, places),
            lambda places: self.score(other, task, places),
            **self._drawn(),
        )

    def _drawn(self, by_unit: bool = True) -> dict:
        units = self.dataset.test.units.cpu()
        return {
            "n": len(units),
            "units": list(units.reshape(len(units), -1).T) if by_unit else [],  # one for each role
            "repeats": self.cfg.resamples,
            "generator": torch.Generator().manual_seed(self.cfg.seed),
        }


def _each_epoch(on_epoch: Callable[[int], None], steps: int, step: int) -> None:
    if step % steps == 0:
        on_epoch(step // steps)
