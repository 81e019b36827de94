"""What chapters 6, 11 and 12 train: networks, MEM's budget and hackers' schedule, by settings."""

from __future__ import annotations

import torch
from torch import nn

from mmlib._checks import check_choice
from mmlib.augment.image import Normalize
from mmlib.augment.transform import as_it_is
from mmlib.device import to_device
from mmlib.encoders.image import (
    AttentionPool,
    ClipResNetTrunk,
    GlobalPool,
    PatchTransformer,
    SmallConvNet,
)
from mmlib.encoders.text import TextTransformer
from mmlib.mem.pairs import Pairs
from mmlib.mem.settings import Protection
from mmlib.methods.clip import DualEncoder
from mmlib.presets.protected import ProtectedSettings
from mmlib.train import Optim

NETWORKS = {  # by name, what of new_model is other than the settings'
    "usual": {}, "wider": {"scale": 2}, "patches": {"trunk": "patches"},
    "resnet101": {"trunk": "resnet101"},
}  # fmt: skip


def new_model(
    cfg: ProtectedSettings,
    pairs: Pairs,
    offset: int,
    *,
    trunk: str | None = None,
    scale: int = 1,
) -> DualEncoder:
    """A dual encoder from random weights, on the pairs' device; it sees images without a view.

    Args:
        offset: another one is another draw of the weights, for the same ``cfg.seed``.
        trunk: small, patches, or CLIP's resnet50 or resnet101; by default the settings'.
        scale: how many times the settings' widths of trunk, text and embedding.

    Raises ``ValueError`` for another trunk.
    """
    torch.manual_seed(1_000 * cfg.seed + offset)
    width, features = scale * cfg.width, scale * cfg.features

    def patches() -> GlobalPool:
        patch = cfg.image_size // cfg.patches
        sizes = scale * cfg.patch_width, cfg.patch_depth, cfg.patch_heads
        return GlobalPool(PatchTransformer(cfg.image_size, patch, *sizes))

    def resnet(depth: int) -> AttentionPool:
        trunk = ClipResNetTrunk(depth, width)
        return AttentionPool(trunk, (cfg.image_size // 32) ** 2, max(1, width // 2))

    made = {
        "small": lambda: GlobalPool(SmallConvNet(width)),
        "patches": patches,
        "resnet50": lambda: resnet(50),
        "resnet101": lambda: resnet(101),
    }
    image = made[check_choice("trunk", trunk or cfg.trunk, made)]()
    text = TextTransformer(
        len(pairs.tokenizer),
        scale * cfg.text_width,
        cfg.text_depth,
        cfg.text_heads,
        pairs.length,
        features,
    )
    attends = isinstance(image, AttentionPool)  # CLIP's last layer of it is the projection here
    project = nn.Linear(image.out_features, features, bias=attends)
    if attends:
        nn.init.normal_(project.weight, std=image.out_features**-0.5)
    inputs = [Normalize(), as_it_is]  # no augmentation, as in the released code
    model = DualEncoder([image, text], [project, nn.Identity()], augment=inputs, prepare=inputs)
    return to_device(model, pairs.train[0].device)


def budget(cfg: ProtectedSettings) -> Protection:
    """MEM with the settings' sizes and schedule."""
    names = ("epsilon", "rounds", "trigger_rounds", "surrogate_steps", "noise_steps", "candidates")
    names += ("batch_size", "weight_decay", "precision")
    same = {name: getattr(cfg, name) for name in names}
    return Protection(learning_rate=cfg.surrogate_learning_rate, **same)


def optim(cfg: ProtectedSettings) -> Optim:
    """How the settings' hackers are optimised; fewer steps than the warm-up's are all warm-up."""
    return Optim(
        steps=cfg.steps,
        learning_rate=cfg.learning_rate,
        warmup_steps=min(cfg.warmup_steps, cfg.steps),
        schedule=cfg.schedule,
        weight_decay=cfg.weight_decay,
        precision=cfg.precision,
    )
