"""What the Trifeature chapters share: the world on a device, its pairs, training, embeddings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from mmlib.data import trifeature
from mmlib.evaluate.features import embed_pairs
from mmlib.evaluate.probe import ProbeResult, linear_probe
from mmlib.methods.image_pairs import build
from mmlib.presets.trifeature import TrifeatureSettings
from mmlib.train import EpochSampler, Optim, fit


class PairStudy:
    """Images and pairs of a chapter's settings, and methods that are trained on them.

    With ``validation``, that share of the training images' combinations is a split ``"val"``, to
    choose on: neither training nor the probe's fit sees them. It is the same for every seed.

    Attributes:
        world: the :class:`mmlib.data.trifeature.Trifeature`.
        images: uint8 (N, 3, S, S) on ``device``, for ``"train"``, ``"test"`` and maybe ``"val"``.
        training_pairs: free pairs (False), which know nothing of the map, and biased ones (True),
            which all follow it; the same for every seed.
        probe_pairs: free pairs for each split, which the seed draws.

    >>> from mmlib.presets.base import resolve
    >>> study = PairStudy(resolve("comm", {"preset": "smoke"}), torch.device("cpu"))
    >>> study.embed(study.untrained("comm"), "test").shape
    torch.Size([64, 16])
    """

    def __init__(
        self, cfg: TrifeatureSettings, device: torch.device, *, validation: float | None = None
    ):
        self.cfg, self.device = cfg, device
        self.world = trifeature.load(**cfg.world())
        if validation is not None:
            self.world = self.world.hold_out(validation, seed=trifeature.SEED)
        parts = self.world.parts
        self.images = {split: part.images.to(device) for split, part in parts.items()}
        self.labels = {split: part.labels for split, part in parts.items()}
        self.training_pairs = {
            biased: self._draw("train", cfg.train_pairs, biased, trifeature.SEED)
            for biased in (False, True)
        }
        self.probe_pairs = {
            split: self._draw(split, cfg.probe_pairs, False, 100 + cfg.seed) for split in parts
        }

    def tensors(self) -> list[Tensor]:
        """All that was loaded, for a record's hash of its data."""
        return [*self.images.values(), *self.labels.values()]

    def untrained(
        self, method: str, *, cfg: TrifeatureSettings | None = None, **changes
    ) -> nn.Module:
        """A method's model with new weights, by other settings if ``cfg`` is given.

        ``changes`` are :func:`build`'s.
        """
        model = build(method, self.cfg if cfg is None else cfg, **changes)
        return model.to(self.device, memory_format=torch.channels_last)

    def train(
        self,
        model: nn.Module,
        steps: int,
        *,
        biased: bool,
        generator: torch.Generator,
        name: str,
        labels: Sequence[Tensor] = (),
        on_step: Callable[[int], None] | None = None,
    ) -> list[dict[str, float]]:
        """Train on free or ``biased`` pairs, and return the history of 20 rows.

        ``labels`` (P,), of the training pairs, go to the model's loss after the images. Pairs come
        in an order that only the seed decides. ``name`` and ``on_step`` are those of
        :func:`mmlib.train.fit`.
        """
        cfg, pairs = self.cfg, self.training_pairs[biased]

        def loss(rows: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
            sides = (self.images["train"][side[rows]] for side in (pairs.first, pairs.second))
            return model.loss((*sides, *(known[rows] for known in labels)), generator)

        return fit(
            model,
            loss,
            Optim(steps, cfg.learning_rate, cfg.weight_decay, precision=cfg.precision),
            EpochSampler(
                len(pairs), min(cfg.batch_size, len(pairs)), seed=cfg.seed, drop_last=False
            ),
            generator=generator,
            name=f"{name}, {'biased' if biased else 'free'} pairs",
            log_every=max(1, steps // 20),
            on_step=on_step,
        )

    def embed(self, model: nn.Module, split: str) -> Tensor:
        """Embeddings (P, E) of the probe's pairs, whose images are left as they are."""
        pairs = self.probe_pairs[split]
        return embed_pairs(model, [self.images[split]] * 2, (pairs.first, pairs.second))

    def probe(
        self,
        features: Mapping[str, Tensor],
        labels: str | Mapping[str, Tensor],
        *,
        generator: torch.Generator,
        **options,
    ) -> ProbeResult:
        """A linear probe on features (P, E) of the probe's pairs, fitted on ``"train"``.

        ``labels`` is a task of the pairs (R, U1, U2, S), or gives class numbers (P,) for both
        splits; ``options`` are :func:`mmlib.evaluate.probe.linear_probe`'s.
        """
        if isinstance(labels, str):
            labels = {split: pairs.labels[labels] for split, pairs in self.probe_pairs.items()}
        return linear_probe(
            features["train"],
            labels["train"].to(self.device),
            features["test"],
            labels["test"].to(self.device),
            generator=generator,
            **options,
        )

    def _draw(self, split: str, n: int, biased: bool, seed: int) -> trifeature.Pairs:
        """At most n pairs."""
        n = min(n, self.world.count(split, biased=biased))
        return self.world.pairs(split, n, biased=biased, seed=seed)
