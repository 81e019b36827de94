"""Hackers who train otherwise than MEM expects: with views, self-supervision, a fusion."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from mmlib._checks import check_choice
from mmlib.augment.image import Normalize, simclr
from mmlib.augment.text import MaskTokens
from mmlib.augment.transform import as_it_is
from mmlib.device import to_device
from mmlib.evaluate.labels import labels_probe
from mmlib.evaluate.metrics import roc_auc
from mmlib.fusion import FusionTransformer, MapAdapter, ProjectionHead, TokenAdapter
from mmlib.mem.hacker import vectors
from mmlib.mem.pairs import Pairs
from mmlib.methods.clip import DualEncoder
from mmlib.methods.comm import CoMM
from mmlib.methods.cross_self import CrossSelf, SelfAlone
from mmlib.methods.fused import FusedEncoder
from mmlib.presets.unlearnable_comm import CommHackerSettings
from mmlib.studies.unlearnable.models import new_model

MASKED = 0.15  # of a caption's words in a view, as in CoMM's experiments with texts
SETTLING = 30  # batches that an untrained network's normalisations see
STRENGTHS = tuple(10.0**k for k in range(-1, 3))  # of a probe of several labels


def new_hacker(method: str, cfg: CommHackerSettings, pairs: Pairs, offset: int) -> nn.Module:
    """An untrained model of images and captions; all methods start from the same encoders.

    ``"clip"`` is chapter 6's hacker, whose encoders the others have; ``"clip_views"`` sees CoMM's
    views; ``"cross_self"`` adds self-supervision on such views to an alignment that sees none;
    ``"alone"`` is that self-supervision without the alignment; ``"comm"`` is CoMM in its released
    form, a caption being one token, and ``"comm_samples"`` in the paper's, where masks lie on the
    samples as they are and not on views. Scenes are not mirrored, since captions tell left from
    right.

    Raises ``ValueError`` for another method.
    """
    usual = new_model(cfg, pairs, offset)
    image, text = usual.encoders
    plain = [Normalize(), as_it_is]
    view = simclr(cfg.image_size, crop_low=cfg.crop_low, upright=cfg.data == "scenes")
    options = {"augment": [view, MaskTokens(MASKED)], "prepare": plain}

    def heads() -> list[nn.Module]:
        sizes = 2 * cfg.features, cfg.head_features
        return [ProjectionHead(encoder.out_features, *sizes) for encoder in (image, text)]

    def comm(convention: str) -> CoMM:
        with torch.no_grad():
            pixels = torch.zeros(1, 3, cfg.image_size, cfg.image_size, device=pairs.train[0].device)
            grid = tuple(image.trunk.eval()(pixels).shape[2:])
        image.trunk.train()
        adapters = [
            MapAdapter(image.trunk.out_features, cfg.features, grid), TokenAdapter(cfg.features)
        ]  # fmt: skip
        fusion = FusionTransformer(cfg.features, heads=cfg.fusion_heads)
        head = ProjectionHead(cfg.features, cfg.features, cfg.head_features)
        network = [image.trunk, text], adapters, fusion, head
        return CoMM(*network, convention=convention, **options)

    made = {
        "clip": lambda: usual,
        "clip_views": lambda: DualEncoder(usual.encoders, usual.projections, **options),
        "cross_self": lambda: CrossSelf([image, text], heads(), align=plain, **options),
        "alone": lambda: SelfAlone([image, text], heads(), **options),
        "comm": lambda: comm("released"),
        "comm_samples": lambda: comm("paper"),
    }
    return to_device(made[check_choice("method", method, made)](), pairs.train[0].device)


@torch.inference_mode()
def contents(model: nn.Module, images: Tensor, captions: Tensor) -> dict[str, Tensor]:
    """What probes see of images (N, 3, H, W) and captions (N, C, T), of which the first counts.

    ``image`` and ``text`` are the encoders' outputs, a map's mean over its places; ``both`` is what
    the method embeds the pair as. With a fusion, ``image_alone`` and ``text_alone`` are its
    embeddings of one modality, the other hidden.
    """
    model.eval()
    pairs = list(zip(images.split(512), captions[:, 0].split(512), strict=True))

    def output(modality: int, batch: Tensor) -> Tensor:
        features = model.encoders[modality](model.prepare[modality](batch, None))
        return features.mean(dim=(2, 3)) if features.ndim == 4 else features

    seen = {
        "image": lambda pair: output(0, pair[0]),
        "text": lambda pair: output(1, pair[1]),
        "both": model.embed,
    }
    if isinstance(model, FusedEncoder):
        seen["image_alone"] = lambda pair: model.embed([pair[0], None], [True, False])
        seen["text_alone"] = lambda pair: model.embed([None, pair[1]], [False, True])
    return {part: torch.cat([of(pair) for pair in pairs]).float() for part, of in seen.items()}


def settled(model: nn.Module, images: Tensor, batch_size: int) -> nn.Module:
    """``model`` with its weights as they are; its normalisations have seen some batches of images.

    Those of an untrained encoder have seen none, which would make it a poorer floor than need be.
    """
    model.train()
    with torch.no_grad():
        for batch in images[: SETTLING * batch_size].split(batch_size):
            model.encoders[0](model.prepare[0](batch, None))
    return model.eval()


def content(known: Tensor, test: Tensor, labels: tuple[Tensor, Tensor]) -> float:
    """What linear probes read from clean features (N, D) of the test part: 50 nothing, 100 all.

    It is the area under the ROC curve in percent, mean over the labels (N, K) of the known and of
    the test part. Probes are fitted on the known part, whose last quarter chooses their strength.
    """
    known_y, test_y = labels
    parts = [len(known) - len(known) // 4, len(known) // 4]
    (fit_x, held_x), (fit_y, held_y) = known.split(parts), known_y.split(parts)
    fitted, _ = labels_probe(fit_x, fit_y, validation=(held_x, held_y), strengths=STRENGTHS)
    areas = [
        roc_auc(classifier.logits(test).diff(dim=1)[:, 0], label)
        for classifier, label in zip(fitted, test_y.unbind(1), strict=True)
    ]
    return sum(areas) / len(areas)


def goes_by_key(
    model: nn.Module, modality: int, mixed: Tensor, own: Tensor, of_rest: Tensor
) -> float:
    """Percent of ``mixed`` inputs nearer to the input with the same key than to that of their rest.

    A key is a trigger or noise. A mixed input (N, ...) has the key of one published input,
    ``own``, and the rest of another, ``of_rest``; near is a large cosine of the vectors that the
    model's loss compares. 50 is no preference.
    """
    z, key, rest = (normalize(vectors(model, modality, x), dim=1) for x in (mixed, own, of_rest))
    return 100 * ((z * key).sum(dim=1) > (z * rest).sum(dim=1)).double().mean().item()
