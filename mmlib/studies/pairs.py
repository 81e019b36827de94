"""What the Trifeature chapters share: the world on a device, its pairs, training, embeddings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, one_hot

from mmlib._checks import check_shape
from mmlib.augment.image import ResizedCrop
from mmlib.data import trifeature
from mmlib.encoders.folded import folded
from mmlib.evaluate.features import embed_pairs
from mmlib.evaluate.pairs import Answers
from mmlib.evaluate.probe import linear_probe
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
        probe_pairs: free pairs for each split, which the seed draws (in the released code they are
            the same for every seed, and for training the free training pairs themselves).

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
        # On a CPU, too, unlike by to_device: the records were made so, and bits depend on it.
        return model.to(self.device, memory_format=torch.channels_last)

    def train(
        self,
        model: nn.Module,
        steps: int,
        *,
        biased: bool,
        generator: torch.Generator,
        name: str,
        labelled: bool = False,
        on_step: Callable[[int], None] | None = None,
        pairs: trifeature.Pairs | None = None,
    ) -> list[dict[str, float]]:
        """Train on free or ``biased`` pairs, and return the history, of 20 rows or a few more.

        Where it is ``labelled``, the model's loss gets class numbers after the images, those of S
        where pairs would be biased, else of the other tasks; pairs are then free, as biased ones
        have one class. Pairs come in an order that only the seed decides. ``name`` and ``on_step``
        are those of :func:`mmlib.train.fit`. ``pairs`` are trained on in place of the study's own.
        """
        labels = [self.classes(of_synergy=biased)] if labelled else []
        biased = biased and not labelled
        cfg, pairs = self.cfg, self.training_pairs[biased] if pairs is None else pairs
        first, second = pairs.first.to(self.device), pairs.second.to(self.device)

        def loss(rows: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
            sides = (self.images["train"][side[rows]] for side in (first, second))
            return model.loss((*sides, *(known[rows] for known in labels)), generator)

        return fit(
            model,
            loss,
            Optim(steps, cfg.learning_rate, cfg.weight_decay, precision=cfg.precision),
            EpochSampler(
                len(pairs),
                min(cfg.batch_size, len(pairs)),
                seed=cfg.seed,
                drop_last=False,
                device=self.device,
            ),
            generator=generator,
            name=f"{name}, {'biased' if biased else 'free'} pairs",
            log_every=max(1, steps // 20),
            on_step=on_step,
        )

    def classes(self, of_synergy: bool) -> Tensor:
        """Class numbers (P,) of the free training pairs, on the device: what SupCon is told.

        The label of S, or else those of R, U1 and U2 in one number.
        """
        labels, textures = self.training_pairs[False].labels, len(self.world.textures)
        of_each = (labels["R"] * textures + labels["U1"]) * textures + labels["U2"]
        return (labels["S"] if of_synergy else of_each).to(self.device)

    @torch.no_grad()
    def embed(
        self,
        model: nn.Module,
        split: str,
        *,
        pairs: trifeature.Pairs | None = None,
        crops: torch.Generator | None = None,
    ) -> Tensor:
        """Embeddings (P, E) of ``pairs`` of a split, by default the probe's.

        Images are seen as they are; with ``crops``, through random crops of half or more of their
        area, which that generator draws anew for every pair, as the released code's probes do.
        They are computed in the precision of training, and given as float32.
        """
        pairs = self.probe_pairs[split] if pairs is None else pairs
        sides, images = (pairs.first, pairs.second), self.images[split]
        bfloat16 = self.cfg.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bfloat16):
            if crops is None:
                return embed_pairs(model, [images] * 2, sides)
            model = folded(model.eval())
            crop = ResizedCrop(self.cfg.image_size, scale=(0.5, 1.0))
            at_once = 64 if self.device.type == "cpu" else 256  # on a CPU, what stays in its cache
            batches = zip(*(side.split(at_once) for side in sides), strict=True)
            found = [model.embed([crop(images[k], crops) for k in batch]) for batch in batches]
        return torch.cat(found).float()

    def oracle(self, split: str) -> tuple[Tensor, Tensor]:
        """What decides S of the probe's pairs: texture of image 1, colour of image 2, one-hot."""
        labels, pairs = self.labels[split], self.probe_pairs[split]
        texture, color = labels[pairs.first, 1], labels[pairs.second, 2]
        known = ((texture, self.world.textures), (color, self.world.colors))
        texture, color = (one_hot(k, len(v)).float().to(self.device) for k, v in known)
        return texture, color

    def following(self, mapping: Tensor) -> dict[str, trifeature.Pairs]:
        """The probe's pairs of every split with S by another map, a colour for each texture."""
        found = {}
        for split, pairs in self.probe_pairs.items():
            texture, color = self.labels[split][pairs.first, 1], self.labels[split][pairs.second, 2]
            follows = (mapping[texture] == color).long()
            found[split] = replace(pairs, labels=pairs.labels | {"S": follows})
        return found

    def features(self, model: nn.Module) -> dict[str, Tensor]:
        """Embeddings (P, E) of the probe's pairs of every split."""
        return {split: self.embed(model, split) for split in self.images}

    def probe(
        self,
        features: Mapping[str, Tensor],
        tasks: Iterable[str],
        *,
        generator: torch.Generator,
        pairs: Mapping[str, trifeature.Pairs] | None = None,
        **options,
    ) -> dict[str, Answers]:
        """What linear probes say of every split of ``features`` (P, E): one probe for each task.

        They are fitted on the split ``"train"`` alone and draw the same from ``generator``, which
        stays as it is. Tasks are those of the labels of ``pairs``, by default the probe's pairs;
        ``options`` are :func:`mmlib.evaluate.probe.linear_probe`'s.
        """
        pairs = self.probe_pairs if pairs is None else pairs
        found = {split: Answers(pairs[split], {}) for split in features}
        for task in tasks:
            fitted = (
                (features[split], pairs[split].labels[task].to(self.device))
                for split in ("train", "test")
            )
            draw = generator.clone_state()
            result = linear_probe(*(x for part in fitted for x in part), generator=draw, **options)
            for split, x in features.items():
                found[split].logits[task] = result.classifier.logits(x).double().cpu()
        return found

    def _draw(self, split: str, n: int, biased: bool, seed: int) -> trifeature.Pairs:
        options = {"biased": biased, "same_texture": self.cfg.same_texture}
        return self.world.pairs(split, n, seed=seed, **options)


def products(a: Tensor, b: Tensor) -> Tensor:
    """All products of a feature of ``a`` with one of ``b``: (P, A), (P, B) -> (P, A B).

    >>> products(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 5.0]]))
    tensor([[ 3.,  5.,  6., 10.]])
    """
    check_shape("b", b, "P B", P=check_shape("a", a, "P A")["P"])
    return (a[:, :, None] * b[:, None, :]).flatten(1)


def halves_multiplied(features: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Products of the principal components of both halves of two-tower embeddings (P, 2 E).

    Each half is reduced to its 16 directions of largest variance over the split ``"train"`` and
    scaled to deviation 1 there, for all splits alike.
    """
    reduced: dict[str, list[Tensor]] = {split: [] for split in features}
    halves = {split: f.chunk(2, dim=1) for split, f in features.items()}
    for k in range(2):
        train = halves["train"][k]
        mean = train.mean(dim=0)
        directions = torch.linalg.svd(train - mean, full_matrices=False)[2][:16].T
        scale = ((train - mean) @ directions).std(dim=0).clamp(min=1e-6)
        for split in features:
            reduced[split].append((halves[split][k] - mean) @ directions / scale)
    return {split: products(*pair) for split, pair in reduced.items()}


def similarity_of_halves(features: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Cosine similarity (P, 1) of both halves of two-tower embeddings (P, 2 E), for every split.

    >>> similarity_of_halves({"test": torch.tensor([[1.0, 0.0, 2.0, 0.0], [1.0, 0.0, 0.0, 3.0]])})
    {'test': tensor([[1.],
            [0.]])}
    """
    halves = {split: f.chunk(2, dim=1) for split, f in features.items()}
    return {split: cosine_similarity(*pair)[:, None] for split, pair in halves.items()}
