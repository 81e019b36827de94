"""What chapter 5 releases, trains and scores: private pairs, encoders, probes, tuning.

Whoever learns here sees private records by a :class:`mmlib.label_dp.release.Release`, or, where
that is None, as they are, which is not private. The test part is for scores alone.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import fields

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from mmlib import losses
from mmlib._checks import check_range
from mmlib.augment.image import ColorJitter, Compose, Resize, ResizedCrop, Rotation
from mmlib.data import cars, digits, dvm, products
from mmlib.data.image_table import ImageTable, Part
from mmlib.data.table import TableSchema
from mmlib.device import to_device
from mmlib.encoders.image import ResNetTrunk, SmallConvNet
from mmlib.evaluate import fine_tune
from mmlib.evaluate.membership import pair_fit
from mmlib.evaluate.metrics import balanced_accuracy
from mmlib.evaluate.probe import linear_probe, logistic_path
from mmlib.label_dp.conditions import Condition
from mmlib.label_dp.learning import forward_loss
from mmlib.label_dp.ledger import Ledger
from mmlib.label_dp.release import Release
from mmlib.methods import Transform, mmcl
from mmlib.methods.clip import DualEncoder
from mmlib.methods.image_only import SIZES, ImageOnly
from mmlib.presets.image_table import ImageTableSettings
from mmlib.train import EpochSampler, Optim, fit

_BATCH = 2048  # images embedded at once


class ImageTableStudy:
    """Image-table pairs by a chapter's settings, and encoders that are trained on them.

    ``generator`` gives a new generator on the device for a number, as a run's does. All trainings
    start from the same first weights and see records in the same order.

    Attributes:
        dataset: the :class:`mmlib.data.image_table.ImageTable`.
        private: the records to be protected: the first ``n`` are for training, the others choose.
        test: clean records, for scores alone.
        classes: how many, K.

    >>> from mmlib.presets.base import resolve
    >>> study = ImageTableStudy(
    ...     resolve("image_table", {"preset": "smoke"}), lambda k: torch.Generator().manual_seed(k)
    ... )
    >>> x, x_test = study.embedded(study.untrained())  # of private and of test images
    >>> x.shape, study.n, study.classes
    (torch.Size([900, 16]), 720, 10)
    """

    def __init__(self, cfg: ImageTableSettings, generator: Callable[[int], torch.Generator]):
        self.cfg, self.generator, self.device = cfg, generator, generator(0).device
        self.dataset = _load(cfg, self.device)
        train, validation, self.test = (
            self.dataset.train, self.dataset.validation, self.dataset.test
        )  # fmt: skip
        self.private = Part(
            *(torch.cat([getattr(p, f.name) for p in (train, validation)]) for f in fields(Part))
        )
        self.n, self.classes = len(train), len(self.dataset.classes)
        self.sampler = EpochSampler(self.n, cfg.batch_size, seed=cfg.seed, device=self.device)
        self.resize = Resize(cfg.image_size)
        self.views, self.gentle = _views(cfg)

    def release(self, condition: Condition, draw: int) -> Release:
        """All private records by a ledger of their own; a ``draw`` throws all conditions' coins."""
        near = {"features": self.private.images.flatten(1)} if condition.nearest else {}
        generator = self.generator(100 + draw)
        return Ledger(self.private.labels).release(condition.terms, generator=generator, **near)

    def seen(self, release: Release | None = None) -> Part:
        """The private records as a release shows them; rows go with the images if they move."""
        own = self.private
        if release is None:
            return own
        table = release.shown(own.table) if release.terms.table == "moves" else own.table
        return Part(release.shown(own.images), table, release.labels)

    def seen_features(self, own: Tensor, release: Release | None) -> tuple[Tensor, Tensor]:
        """What is shown of private images or their features, and the labels beside it."""
        if release is None:
            return own, self.private.labels
        return release.shown(own), release.labels

    def untrained(self, rows: Tensor | None = None) -> DualEncoder:
        """A pair of encoders with the first weights.

        Values that replace others in a view are drawn from ``rows``, by default the training rows;
        a last column beyond the schema's is the label.
        """
        torch.manual_seed(self.cfg.seed)
        rows, schema = self.dataset.train.table if rows is None else rows, self.dataset.schema
        small = self.cfg.trunk == "small"
        trunk = SmallConvNet(self.cfg.width) if small else ResNetTrunk(50)
        if rows.shape[1] > schema.n_columns:
            schema = TableSchema(schema.n_continuous, (*schema.cardinalities, self.classes))
        model = mmcl.mmcl(trunk, schema, rows, views=self.views, size=self.cfg.image_size)
        return to_device(model, self.device)

    def pretrain(
        self,
        seen: Part,
        name: str,
        *,
        label_too: bool = False,
        note: Callable[[int, float, float], None] | None = None,
    ) -> DualEncoder:
        """A model trained on the first n pairs; ``note`` follows it.

        It gets steps, matching on test pairs, and what :meth:`probe_quickly` says. With
        ``label_too`` the label that is seen is one more column of the row. Values that replace
        others in a view are of the rows that are seen, too: private ones would leak.
        """
        images, table = seen.images, seen.table
        if label_too:
            table = torch.cat([table, seen.labels[:, None].to(table.dtype)], dim=1)
        model = self.untrained(table[: self.n])
        every = max(1, self.cfg.steps // self.cfg.points)

        def watch(step: int) -> None:
            if note and (step % every == 0 or step == self.cfg.steps):
                matching = self.matching(model, self.test.images, self.test.table)
                note(step, matching, self.probe_quickly(model, seen))

        watch(0)
        self._fit(model, lambda batch, g: model.loss((images[batch], table[batch]), g), name, watch)
        return model

    def pretrain_alone(self, objective: str, name: str) -> ImageOnly:
        """An image encoder trained on the first n images alone, see :class:`ImageOnly`."""
        pair, images = self.untrained(), self.private.images
        sizes = SIZES[self.cfg.baseline_sizes][objective]
        model = ImageOnly(
            pair.encoders[0], objective, augment=self.views, prepare=pair.prepare[0], **sizes
        ).to(self.device)
        self._fit(model, lambda batch, g: model.loss([images[batch]], g), name)
        return model

    @torch.no_grad()
    def matching(self, model: DualEncoder, images: Tensor, table: Tensor) -> float:
        """Mean over full batches of the share (%) of images whose own row is nearest."""
        model.eval()
        size = check_range("match_batch", self.cfg.match_batch, 2, len(images))
        batches = zip(images.split(size), table.split(size), strict=True)
        pairs = [model.embed(b).chunk(2, dim=1) for b in batches if len(b[0]) == size]
        return torch.stack([losses.match_accuracy(u, v) for u, v in pairs]).mean().item()

    @torch.no_grad()
    def membership(self, model: DualEncoder) -> tuple[Tensor, Tensor]:
        """How well image and row of a pair fit, and which pairs were trained on (1, else 0).

        Pairs (M,) are the first n private ones, as they truly are, and the test's. The fit is the
        model's own log chance of the partner, among it and the validation records, on which no
        encoder was trained; a mean of both directions. An image that fits every row gains nothing.
        """
        model.eval()
        n, end = self.n, len(self.private)
        images = torch.cat([self.private.images, self.test.images])
        table = torch.cat([self.private.table, self.test.table])
        batches = zip(images.split(_BATCH), table.split(_BATCH), strict=True)
        z = torch.cat([model.embed(batch) for batch in batches]).float()
        pairs = z.chunk(2, dim=1)
        fit = pair_fit(pairs, tuple(half[n:end] for half in pairs), scale=model.scale)
        trained = torch.arange(len(fit), device=fit.device) < n
        return torch.cat([fit[:n], fit[end:]]), torch.cat([trained[:n], trained[end:]]).long()

    def embedded(self, model: nn.Module) -> tuple[Tensor, Tensor]:
        """The image encoder's output of the private images as they are, and of the test images."""
        return tuple(_embed(model, part.images) for part in (self.private, self.test))

    def probe_quickly(self, model: nn.Module, seen: Part) -> float:
        """Macro accuracy (%) on test images of a linear probe of the first n images and labels.

        Of one strength, so that a training can be followed by it.
        """
        (classifier,) = logistic_path(
            _embed(model, seen.images[: self.n]), seen.labels[: self.n], [0.01],
            classes=self.classes, standardize=True, tolerance=1e-3,
        )  # fmt: skip
        guess = classifier.logits(_embed(model, self.test.images)).argmax(dim=1)
        return balanced_accuracy(guess, self.test.labels)

    def probe(
        self, embedded: tuple[Tensor, Tensor], release: Release | None = None
    ) -> tuple[float, float]:
        """Micro and macro accuracy (%) on test images of a linear probe of what is seen.

        Validation records, seen as the training records are, choose its strength.
        """
        n, x_test = self.n, embedded[1]
        x, labels = self.seen_features(embedded[0], release)
        result = linear_probe(
            x[:n],
            labels[:n],
            x_test,
            self.test.labels,
            validation=(x[n:], labels[n:]),
            strengths=self.cfg.probe_strengths,
        )
        return result.accuracy, result.balanced_accuracy

    def scores(self, model: DualEncoder, releases: Sequence[Release]) -> list[dict[str, float]]:
        """Of a model, in %: matching, and probes by each release and by true images and labels."""
        matching = self.matching(model, self.test.images, self.test.table)
        embedded, probed = self.embedded(model), {}
        clean, scores = self.probe(embedded), []
        for release in releases:
            key = tuple(
                x if x is None else x.cpu().numpy().tobytes()
                for x in (release.labels, release.source)
            )
            if key not in probed:  # what one log gives at ε is what two give at 2 ε
                probed[key] = self.probe(embedded, release)
            micro, macro = probed[key]
            scores.append(
                {
                    "matching": matching,
                    "downstream": micro,
                    "downstream_macro": macro,
                    "downstream_clean": clean[0],
                    "downstream_clean_macro": clean[1],
                }
            )
        return scores

    def tune(
        self,
        encoder: nn.Module,
        release: Release | None,
        name: str,
        *,
        trainable: bool = True,
        likelihood: Tensor | None = None,
        rows: Transform | None = None,
    ) -> fine_tune.Tuned:
        """An encoder under a linear layer: the first n records train, the rest say when to stop.

        With the ``likelihood`` (N, K) of what was released the loss knows the noise; validation
        is by released labels all the same. ``rows`` prepares rows, which then are learned from in
        place of images, as they are: validation is lower with corrupted ones.
        """
        cfg, n, seen = self.cfg, self.n, self.seen(release)
        x, labels, test = seen.images, seen.labels, self.test.images
        views, prepare = mmcl.Sometimes(self.gentle, self.resize, 0.8), self.resize
        if rows:
            x, test, views, prepare = seen.table, self.test.table, rows, rows
        told = labels if likelihood is None else likelihood.float()
        return fine_tune.fine_tune(
            encoder,
            x[:n],
            told[:n],
            test,
            self.test.labels,
            validation=(x[n:], labels[n:]),
            classes=self.classes,
            trainable=trainable,
            views=views,
            prepare=prepare,
            optim=Optim(
                steps=cfg.tune_epochs * self.sampler.steps_per_epoch,
                learning_rate=cfg.tune_learning_rate,
                weight_decay=0.0,
                optimizer="adam",
                schedule="cosine",
                precision=cfg.precision,
            ),
            sampler=self.sampler,
            generator=self.generator(3),
            patience=cfg.tune_patience,
            loss=cross_entropy if likelihood is None else forward_loss,
            name=name,
        )

    def of_others(self) -> ImageTableStudy:
        """The same by an attacker, who learns from the test part; private records are for scores.

        As large a share of the records trains as here.
        """
        other, coins = copy.copy(self), self.generator(310)
        order = torch.randperm(len(self.test), generator=coins, device=self.device)
        other.private = Part(*(getattr(self.test, f.name)[order] for f in fields(Part)))
        other.test, other.n = self.private, round(len(order) * self.n / len(self.private))
        size = min(self.cfg.batch_size, other.n)
        other.sampler = EpochSampler(other.n, size, seed=self.cfg.seed, device=self.device)
        return other

    def _fit(self, model: nn.Module, loss: Callable, name: str, on_step: Callable | None = None):
        cfg = self.cfg
        optim = Optim(
            steps=cfg.steps,
            learning_rate=cfg.learning_rate,
            weight_decay=cfg.weight_decay,
            optimizer="adam",
            schedule="cosine",
            warmup_steps=min(cfg.warmup_steps, cfg.steps),
            precision=cfg.precision,
        )
        generator = self.generator(1)
        fit(model, loss, optim, self.sampler, generator=generator, name=name, on_step=on_step)


def _embed(model: nn.Module, images: Tensor) -> Tensor:
    """The image encoder's output of images as they are; the model is left in evaluation mode."""
    encoder, prepare = model.eval().encoders[0], model.prepare[0]
    return fine_tune.outputs(encoder, images, prepare, batch_size=_BATCH).float()


def steps_of_epoch(share: float, gpus: int = 1) -> int:
    """Steps of an epoch of that share of the DVM-Car advertisements, at 512 on each GPU.

    >>> steps_of_epoch(0.4), steps_of_epoch(0.4, gpus=12)  # of the released code; the paper says 12
    (138, 12)
    """
    return math.ceil(share * dvm.PUBLISHED["of large models"] / (512 * gpus))


def _load(cfg: ImageTableSettings, device: torch.device) -> ImageTable:
    if cfg.data == "cars":
        return cars.load(cfg.image_size, rows=cfg.rows, classes=cfg.models, device=device)
    if cfg.data == "dvm":
        return dvm.load(cfg.image_size, parts=cfg.dvm_parts, device=device)
    return {"digits": digits, "products": products}[cfg.data].load(cfg.image_size, device=device)


def _views(cfg: ImageTableSettings) -> tuple[Transform, Transform]:
    """Random views of images in pre-training, and gentler ones of labelled images."""
    if cfg.views in ("dvm", "printed"):
        recipe = {"dvm": mmcl.dvm_views, "printed": mmcl.printed_views}[cfg.views]
        return recipe(cfg.image_size), recipe(cfg.image_size, scale=(0.6, 1.0))
    views = Compose(  # no flips: a mirrored digit is not that digit
        [
            ColorJitter(brightness=0.4, contrast=0.4, saturation=0.0, hue=0.0, p=0.8),
            Rotation(degrees=15),
            ResizedCrop(cfg.image_size, scale=(0.6, 1.0), ratio=(3 / 4, 4 / 3)),
        ]
    )
    return views, views
