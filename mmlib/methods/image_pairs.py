"""The methods of the Trifeature chapters, built from a chapter's settings."""

from __future__ import annotations

from typing import get_args

import torch
from torch import nn

from mmlib._checks import check_choice
from mmlib.augment.image import Compose, Normalize, ResizedCrop, simclr
from mmlib.encoders.image import AlexNetTrunk, GlobalPool, SmallConvNet
from mmlib.fusion import FusionTransformer, MapAdapter, PooledFusion, ProjectionHead
from mmlib.methods.clip import DualEncoder
from mmlib.methods.comm import CoMM
from mmlib.methods.cross_self import CrossSelf, FusedCrossSelf
from mmlib.methods.factorcl import FactorCL
from mmlib.methods.matching import MatchingCoMM
from mmlib.methods.supcon import SupCon
from mmlib.presets.trifeature import Fusion, Method, TrifeatureSettings, Views

TITLES: dict[str, str] = {
    "cross": "Cross",
    "cross_self": "Cross+Self",
    "cross_self_fused": "Cross+Self, fused",
    "factorcl": "FactorCL",
    "comm": "CoMM",
    "comm_matching": "CoMM + matching",
    "full_only": "L alone",
    "masked_only": "L₁ + L₂ alone",
    "supcon": "SupCon",
}
WEIGHTS = {"comm": (1, 1, 1), "full_only": (0, 0, 1), "masked_only": (1, 1, 0)}


def build(
    method: str,
    cfg: TrifeatureSettings,
    *,
    fusion: Fusion = "transformer",
    views: tuple[Views, Views] = ("full", "full"),
    matching: float = 1.0,
) -> nn.Module:
    """An untrained model of two images; the same ``cfg.seed`` gives all the same encoders.

    ``fusion`` and ``views`` (of either image) are for methods with a fusion, and by default CoMM's;
    ``matching`` weighs the term of ``"comm_matching"``. Views are blurred only where the settings
    say so; FactorCL's of the second image are not cropped. Raises ``ValueError`` for another
    ``method``, ``fusion`` or view.
    Source: CoMM, released code.
    """
    check_choice("method", method, get_args(Method))
    check_choice("fusion", fusion, get_args(Fusion))
    for kind in views:
        check_choice("views", kind, get_args(Views))
    torch.manual_seed(cfg.seed)
    full = simclr(cfg.image_size, crop_low=cfg.crop_low, blurred=cfg.blur)
    crop, *change = full.transforms
    made = {
        "full": full,
        "no_crop": Compose(change),
        "crop": Compose([crop, Normalize()]),
        "light": Compose([ResizedCrop(cfg.image_size, scale=(0.5, 1.0)), Normalize()]),
        "none": Normalize(),
    }
    light = made["light"]

    trunks = [
        AlexNetTrunk() if cfg.trunk == "alexnet" else SmallConvNet(cfg.trunk_width)
        for _ in range(2)
    ]
    channels = trunks[0].out_features
    pooled = [GlobalPool(trunk) for trunk in trunks]
    common = {"prepare": [Normalize()] * 2}
    contrast = {"augment": [made[kind] for kind in views], "temperature": cfg.temperature, **common}
    if method == "cross":
        heads = [nn.Linear(channels, cfg.width, bias=False) for _ in range(2)]
        return DualEncoder(pooled, heads, augment=[light] * 2, **common)
    if method == "cross_self":
        sizes = channels, 2 * cfg.head_hidden, cfg.head_features
        heads = [ProjectionHead(*sizes) for _ in range(2)]
        return CrossSelf(pooled, heads, align=[light] * 2, **contrast)
    if method == "factorcl":
        wide = {"width": cfg.width, "hidden": cfg.width}
        strong = [made["full"], made["no_crop"]]
        return FactorCL(pooled, (channels, channels), **wide, augment=strong, **common)
    with torch.no_grad():
        grid = trunks[0](torch.zeros(1, 3, cfg.image_size, cfg.image_size)).shape[2:]
    adapters = [MapAdapter(channels, cfg.width, tuple(grid)) for _ in range(2)]
    fusions = {
        "transformer": lambda: FusionTransformer(cfg.width, heads=cfg.heads),
        "two_layers": lambda: FusionTransformer(cfg.width, depth=2, heads=cfg.heads),
        "marked": lambda: FusionTransformer(cfg.width, heads=cfg.heads, marked=2),
        "mlp": lambda: PooledFusion(cfg.width, 2, hidden=4 * cfg.width),
        "linear": lambda: PooledFusion(cfg.width, 2),
    }
    fuse = fusions[fusion]()
    head = ProjectionHead(cfg.width, cfg.head_hidden, cfg.head_features)
    parts = trunks, adapters, fuse, head
    if method == "supcon":
        return SupCon(*parts, **contrast)
    if method == "cross_self_fused":
        return FusedCrossSelf(*parts, align=[light] * 2, **contrast)
    if method == "comm_matching":
        return MatchingCoMM(*parts, convention=cfg.convention, matching=matching, **contrast)
    return CoMM(*parts, convention=cfg.convention, weights=WEIGHTS[method], **contrast)
