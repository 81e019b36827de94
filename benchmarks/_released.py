"""A plain re-statement of the released CoMM pipeline, for benchmarks to compare with."""

from __future__ import annotations

import copy
import io
import random

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageFilter
from torch import Tensor, nn
from torchvision import transforms as T

from mmlib.augment import image
from mmlib.evaluate.metrics import balanced_accuracy
from mmlib.evaluate.probe import stratified_split
from mmlib.fusion import FusionTransformer
from mmlib.methods.comm import CoMM, single_masks

LIGHT = (0.5, 1.0)  # crops of the released probe


class PlainFusion(nn.Module):
    """One block over the whole sequence; its weights are those of a FusionTransformer."""

    def __init__(self, ours: FusionTransformer):
        super().__init__()
        (block,) = ours.transformer.blocks
        self.class_token = nn.Parameter(ours.class_token.detach().clone())
        self.attention = nn.MultiheadAttention(ours.width, block.heads, batch_first=True)
        with torch.no_grad():
            query, rest = block.query, block.key_value
            self.attention.in_proj_weight.copy_(torch.cat([query.weight, rest.weight]))
            self.attention.in_proj_bias.copy_(torch.cat([query.bias, rest.bias]))
            self.attention.out_proj.load_state_dict(block.attention_out.state_dict())
        self.norm1, self.norm2 = nn.LayerNorm(ours.width), nn.LayerNorm(ours.width)
        self.norm3 = nn.LayerNorm(ours.width)
        self.first = nn.Linear(ours.width, 4 * ours.width)
        self.second = nn.Linear(4 * ours.width, ours.width)
        self.first.load_state_dict(block.mlp[0].state_dict())
        self.second.load_state_dict(block.mlp[2].state_dict())

    def forward(self, tokens: list[Tensor], mask: list[bool]) -> Tensor:
        seen = [t for t, keep in zip(tokens, mask, strict=True) if keep]
        x = torch.cat([self.class_token.repeat(len(seen[0]), 1, 1), *seen], dim=1)
        normed = self.norm1(x)
        x = x + self.attention(normed, normed, normed, need_weights=False)[0]
        hidden = self.first(self.norm2(x))
        x = x + self.second(hidden * torch.sigmoid(1.702 * hidden))
        return self.norm3(x)[:, 0]


class PlainCoMM(nn.Module):
    """The same network as ``ours``, of copied weights, with one fusion pass for each mask."""

    def __init__(self, ours: CoMM):
        super().__init__()
        self.trunks = copy.deepcopy(ours.encoders)
        self.adapters = copy.deepcopy(ours.adapters)
        self.fusion = PlainFusion(ours.fusion)
        self.head = copy.deepcopy(ours.head)

    def embeddings(self, view: list[Tensor], masks: list[list[bool]]) -> list[Tensor]:
        parts = zip(self.adapters, self.trunks, view, strict=True)
        tokens = [adapter(trunk(x)) for adapter, trunk, x in parts]
        return [self.fusion(tokens, mask) for mask in masks]

    def loss(self, view1: list[Tensor], view2: list[Tensor]) -> Tensor:
        masks = single_masks(2)
        z1, z2 = ([self.head(z) for z in self.embeddings(v, masks)] for v in (view1, view2))
        terms = [
            (plain_nt_xent(a, z2[-1]) + plain_nt_xent(b, z1[-1])) / 2
            for a, b in zip(z1, z2, strict=True)
        ]
        return sum(terms) / len(terms)


def plain_nt_xent(a: Tensor, b: Tensor) -> Tensor:
    rows = F.normalize(torch.cat([a, b]), dim=1)
    logits = rows @ rows.T / 0.1 - 1e8 * torch.eye(len(rows))
    return F.cross_entropy(logits, torch.arange(len(rows)).roll(len(a)))


class PilBlur:
    def __call__(self, picture: Image.Image) -> Image.Image:
        return picture.filter(ImageFilter.GaussianBlur(radius=random.uniform(0.1, 2.0)))


def pil_views(pixels: int, strong: bool) -> T.Compose:
    end = [T.ToTensor(), T.Normalize(image.IMAGENET_MEAN, image.IMAGENET_STD)]
    if not strong:
        return T.Compose([T.RandomResizedCrop(pixels, scale=LIGHT), *end])
    return T.Compose([
        T.RandomResizedCrop(pixels, scale=(0.08, 1.0)),
        T.RandomApply([T.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
        T.RandomGrayscale(p=0.2),
        T.RandomApply([PilBlur()], p=0.5),
        T.RandomHorizontalFlip(),
        *end,
    ])  # fmt: skip


def png(picture: Tensor) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture.permute(1, 2, 0).numpy()).save(file, "PNG")
    return file.getvalue()


def plain_view(files: list[bytes], places: Tensor, transform: T.Compose) -> Tensor:
    opened = (Image.open(io.BytesIO(files[k])).convert("RGB") for k in places.tolist())
    return torch.stack([transform(picture) for picture in opened])


def plain_fits(x: Tensor, y: Tensor, test_x: Tensor, test_y: Tensor) -> int:
    """Choose C coarsely, then by bisection, refit and score; returns how many fits that took."""
    fit, held = stratified_split(y, 0.4, generator=torch.Generator().manual_seed(48))
    classes, merit = int(y.max()) + 1, {}

    def classifier(x: Tensor, y: Tensor, log_c: float) -> nn.Linear:
        linear = nn.Linear(x.shape[1], classes)
        nn.init.zeros_(linear.weight), nn.init.zeros_(linear.bias)
        solver = torch.optim.LBFGS(linear.parameters(), max_iter=100, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            solver.zero_grad()
            norm = linear.weight.square().sum().add(1e-30).sqrt()  # not squared
            loss = F.cross_entropy(linear(x), y) + 0.5 * 10.0**-log_c * norm
            loss.backward()
            return loss

        solver.step(closure)
        return linear

    def validate(log_c: float) -> float:
        if log_c not in merit:
            found = classifier(x[fit], y[fit], log_c)
            merit[log_c] = balanced_accuracy(found(x[held]).argmax(1), y[held])
        return merit[log_c]

    best = max(range(-6, 7, 2), key=validate)
    grid = np.linspace(best - 2, best + 2, 29)
    place, step = 14, 7
    while step:
        around = [k for k in (place, place - step, place + step) if 0 <= k < len(grid)]
        place = max(around, key=lambda k: validate(round(float(grid[k]), 6)))
        step //= 2
    final = classifier(x, y, float(grid[place]))
    balanced_accuracy(final(test_x).argmax(1), test_y)
    return len(merit) + 1
