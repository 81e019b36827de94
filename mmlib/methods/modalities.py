"""CoMM and its rivals for any two or more modalities, built from a chapter's settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import nn

from mmlib._checks import check_choice
from mmlib.augment.image import Compose, Normalize, ResizedCrop, simclr
from mmlib.augment.sequence import Chain, Drop, Noise
from mmlib.augment.table import Corrupt
from mmlib.augment.text import MaskTokens
from mmlib.augment.transform import as_it_is
from mmlib.data.multimodal import Modality
from mmlib.data.table import TableSchema
from mmlib.encoders.image import GlobalPool, SmallConvNet
from mmlib.encoders.sequence import SequenceTransformer, StepMean
from mmlib.encoders.table import TableMLP
from mmlib.encoders.text import TextStates, TextTransformer
from mmlib.fusion import FusionTransformer, MapAdapter, ProjectionHead, TokenAdapter
from mmlib.methods import Transform, published
from mmlib.methods.clip import DualEncoder
from mmlib.methods.cmc import CMC
from mmlib.methods.comm import CoMM, single_masks, subset_masks
from mmlib.methods.cross_self import CrossSelf
from mmlib.methods.factorcl import FactorCL
from mmlib.methods.supcon import SupCon
from mmlib.methods.supervised import TEMPERATURE
from mmlib.presets.modalities import ModalitySettings

Method = Literal["cross", "cross_self", "factorcl", "comm", "alone", "supcon"]
MASKS = {"single": single_masks, "subsets": subset_masks}


def build(
    method: str,
    modalities: Sequence[Modality],
    cfg: ModalitySettings,
    *,
    seen: Sequence[int] | None = None,
) -> nn.Module:
    """An untrained model of the modalities ``seen`` (numbers; by default all).

    ``"cross"`` is CLIP for two modalities and CMC for more; ``"factorcl"`` takes two; ``"alone"``
    is SimCLR of one, with CoMM's network and nothing to hide; ``"supcon"`` is CoMM's network
    with a loss that takes classes after the modalities, at the released temperature of 0.07. The
    same ``cfg.seed`` gives all methods the same encoders, whichever modalities they see.

    With ``cfg.encoders`` ``"published"`` a modality that names a network of the paper's gets it
    (:mod:`mmlib.methods.published`); any other has that of its kind. A set that is made for
    pre-trained encoders has them in any case.

    Views are CoMM's: parts of an image in other colours, mirrored unless it is upright (it is then
    turned by up to 15 degrees); entries of a vector, or steps of a sequence, zeroed, and noise
    added; 30 % of a table's columns from other rows; 15 % of a text's words masked. What Cross and
    Cross+Self align across modalities is only cropped, as in CoMM's released code, or
    (``cfg.align``) changed as strongly. FactorCL's views are CoMM's, for both modalities.

    With ``cfg.texts`` ``"words"`` a fusion sees a token for each place of a text. Whether it sees
    those of padding is ``cfg.padding``: ``"released"`` is for CoMM, whose training then sees them,
    and the same as ``"hidden"`` for others.

    Raises ``ValueError`` for another ``method``, where ``"alone"`` sees more than one modality and
    where ``"factorcl"`` does not see two.
    """
    check_choice("method", method, get_args(Method))
    torch.manual_seed(cfg.seed)
    encoders = [_encoder(m, cfg) for m in modalities]
    seen = range(len(modalities)) if seen is None else seen
    modalities, encoders = [modalities[k] for k in seen], [encoders[k] for k in seen]
    prepare = {"prepare": [prepared(m) for m in modalities]}
    strong = [views(m, cfg.crop_low) for m in modalities]
    aligned = strong if cfg.align == "strong" else [light(m) for m in modalities]

    pooled = [_pooled(m, e, cfg) for m, e in zip(modalities, encoders, strict=True)]
    if method == "cross":
        heads = [nn.Linear(e.out_features, cfg.width, bias=False) for e in pooled]
        if len(modalities) == 2:
            return DualEncoder(pooled, heads, augment=aligned, **prepare)
        return CMC(pooled, heads, augment=aligned, temperature=cfg.temperature, **prepare)
    if method == "factorcl":
        features = [e.out_features for e in pooled]
        wide = {"width": cfg.width, "hidden": cfg.width}
        return FactorCL(pooled, features, **wide, augment=strong, **prepare)
    options = {"augment": strong, "temperature": cfg.temperature, **prepare}
    if method == "cross_self":
        heads = [
            ProjectionHead(e.out_features, 2 * cfg.head_hidden, cfg.head_features) for e in pooled
        ]
        return CrossSelf(pooled, heads, align=aligned, **options)

    adapters = [_adapter(m, e, cfg) for m, e in zip(modalities, encoders, strict=True)]
    fusion = FusionTransformer(cfg.width, heads=cfg.heads, padded=cfg.padding != "seen")
    head = ProjectionHead(cfg.width, cfg.head_hidden, cfg.head_features)
    if method == "supcon":
        options |= {"temperature": TEMPERATURE}
        return SupCon(encoders, adapters, fusion, head, **options)
    if method == "alone":
        check_choice("modalities that 'alone' sees", len(modalities), [1])
        options |= {"convention": "released", "masks": [[True]]}  # NT-Xent of two views
    else:
        options |= {"convention": cfg.convention, "masks": MASKS[cfg.masks](len(modalities))}
        options["trains_on_padding"] = cfg.padding == "released"
    return CoMM(encoders, adapters, fusion, head, **options)


def views(modality: Modality, crop_low: float) -> Transform:
    """The random transform of CoMM for a modality of that kind."""
    if modality.kind == "image":
        return simclr(
            modality.features,
            crop_low=crop_low,
            blurred=modality.blurred,
            upright=modality.upright,
        )
    if modality.kind == "table":
        return Corrupt(0.3, modality.marginals)
    if modality.kind == "text":
        return MaskTokens(0.15)
    changes = {"drop": Drop(), "noise": Noise()}
    return Chain([changes[name] for name in modality.changes])


def light(modality: Modality) -> Transform:
    """What Cross sees: images cropped to at least half, anything else as it is."""
    if modality.kind == "image":
        return Compose([ResizedCrop(modality.features, scale=(0.5, 1.0)), Normalize()])
    return as_it_is


def prepared(modality: Modality) -> Transform:
    """An encoder's input without chance."""
    return Normalize() if modality.kind == "image" else as_it_is


def _encoder(modality: Modality, cfg: ModalitySettings) -> nn.Module:
    if _has_its_own(modality, cfg):
        return published.encoder(modality, cfg.width)
    if modality.kind == "image":
        return SmallConvNet(cfg.trunk_width)
    if modality.kind == "sequence":
        return SequenceTransformer(
            modality.features, cfg.width, cfg.encoder_depth, cfg.encoder_heads, cfg.encoder_hidden
        )
    if modality.kind == "text":
        text = TextTransformer(
            modality.features,
            cfg.width,
            cfg.encoder_depth,
            cfg.encoder_heads,
            modality.length,
            out_features=cfg.width,
        )
        return TextStates(text) if cfg.texts == "words" else text
    return TableMLP(modality.schema or TableSchema(modality.features), cfg.width)


def _has_its_own(modality: Modality, cfg: ModalitySettings) -> bool:
    wanted = cfg.encoders == "published" or modality.network in published.PRETRAINED
    return wanted and bool(modality.network)


def _adapter(modality: Modality, encoder: nn.Module, cfg: ModalitySettings) -> nn.Module:
    if modality.kind == "image" and modality.network != "clip_image":
        with torch.no_grad():
            pixels = torch.zeros(1, 3, modality.features, modality.features)
            grid = encoder.eval()(pixels).shape[2:]
        encoder.train()
        return MapAdapter(encoder.out_features, cfg.width, tuple(grid))
    if _has_its_own(modality, cfg):
        return published.adapter(modality, encoder, cfg.width)
    tokens = modality.kind == "sequence" or isinstance(encoder, TextStates)
    return nn.Identity() if tokens else TokenAdapter(cfg.width)


def _pooled(modality: Modality, encoder: nn.Module, cfg: ModalitySettings) -> nn.Module:
    if _has_its_own(modality, cfg):
        return published.pooled(modality, encoder)
    if isinstance(encoder, TextStates):
        return encoder.encoder
    wrap = {"image": GlobalPool, "sequence": StepMean}.get(modality.kind)
    return wrap(encoder) if wrap else encoder
