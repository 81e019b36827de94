"""CoMM's training step and probe of four tasks, beside a plain re-statement of the released code.

python benchmarks/comm.py [--size paper|desk] [--threads 2] [--repeats 5]: ratios measured side by
side, float32, on the CPU. The plain pipeline does what the released one does: PNG images are
decoded and augmented one by one with PIL, the fusion runs once for each mask and computes every
token's state, and for each of the four tasks the embeddings are extracted anew, through random
crops, and about twenty classifiers are fitted. Both models have the same weights, and it is checked
that they give the same embeddings. At least 2 times is wanted for the step and 20 for the probe.

Extraction is timed on slices of pairs and images and scaled to the 10,000 + 4,094 pairs of the
paper (or all of a smaller world), since a plain one takes the better part of an hour.
"""

from __future__ import annotations

import argparse
import io
import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from _interleave import ratios
from PIL import Image, ImageFilter
from torch import Tensor, nn
from torchvision import transforms as T

from mmlib import losses
from mmlib.augment import image
from mmlib.data import trifeature
from mmlib.encoders.image import AlexNetTrunk, SmallConvNet
from mmlib.evaluate.metrics import balanced_accuracy
from mmlib.evaluate.probe import linear_probe, stratified_split
from mmlib.fusion import FusionTransformer, MapAdapter, ProjectionHead
from mmlib.methods.comm import CoMM, single_masks
from mmlib.train import parameter_groups

TASKS = ("R", "U1", "U2", "S")
LIGHT = (0.5, 1.0)  # crops of the released probe


@dataclass(frozen=True)
class Size:
    pixels: int
    trunk: Callable[[], nn.Module]
    grid: int
    width: int
    hidden: int
    batch: int
    learning_rate: float


SIZES = {
    "paper": Size(224, AlexNetTrunk, 6, 512, 512, 64, 3e-4),
    "desk": Size(64, lambda: SmallConvNet(32), 8, 128, 256, 128, 1e-3),
}


# The plain pipeline.


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
    def __init__(self, ours: CoMM, size: Size):
        super().__init__()
        self.trunks = nn.ModuleList(size.trunk() for _ in ours.encoders)
        self.adapters = nn.ModuleList(
            MapAdapter(e.out_features, size.width, (size.grid, size.grid)) for e in ours.encoders
        )
        self.trunks.load_state_dict(ours.encoders.state_dict())
        self.adapters.load_state_dict(ours.adapters.state_dict())
        self.fusion = PlainFusion(ours.fusion)
        self.head = ProjectionHead(size.width, size.hidden, 256)

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


def models(size: Size) -> tuple[CoMM, PlainCoMM]:
    torch.manual_seed(0)
    trunks = [size.trunk(), size.trunk()]
    cells = (size.grid, size.grid)
    ours = CoMM(
        trunks,
        [MapAdapter(trunk.out_features, size.width, cells) for trunk in trunks],
        FusionTransformer(size.width),
        ProjectionHead(size.width, size.hidden, 256),
        augment=[image.simclr(size.pixels)] * 2,
        prepare=[image.Normalize()] * 2,
        convention="released",
    )
    plain = PlainCoMM(ours, size)
    return ours.to(memory_format=torch.channels_last), plain


def probes(timed: Callable, size: Size, ours: CoMM, plain: PlainCoMM, data: tuple) -> None:
    """Time the parts of probing four tasks and add them up."""
    world, files, pairs, tests = data
    ours.eval(), plain.eval()
    total, images = len(pairs) + len(tests), len(world.train) + len(world.test)
    light = pil_views(size.pixels, strong=False)
    places = [side[: size.batch] for side in (pairs.first, pairs.second)]
    full = single_masks(2)[-1:]

    @torch.no_grad()
    def plain_extract() -> None:
        plain.embeddings([plain_view(files, p, light) for p in places], full)

    @torch.no_grad()
    def encode() -> list[Tensor]:
        return [ours.encode(k, world.train.images[: size.batch]) for k in range(2)]

    crop = image.Compose([image.ResizedCrop(size.pixels, scale=LIGHT)])
    generator = torch.Generator().manual_seed(0)

    @torch.no_grad()
    def extract_crops() -> None:
        ours.embed([crop(world.train.images[p], generator) for p in places])

    tokens = [t.repeat(4, 1, 1) for t in encode()]

    @torch.no_grad()
    def combine() -> None:
        ours.combine([t[: 4 * size.batch] for t in tokens])

    n = size.batch
    each = timed(f"embedding {n} pairs, cropped", plain_extract, extract_crops)
    once = timed(f"embedding {n} pairs; encoding {n} images for either side", plain_extract, encode)
    fused = timed(f"embedding {n} pairs; fusing {4 * n} pairs", plain_extract, combine)

    x, test_x = (torch.randn(len(p), size.width, generator=generator) for p in (pairs, tests))
    for p, features in ((pairs, x), (tests, test_x)):  # labels of all tasks can be read in part
        for task in TASKS:
            codes = F.one_hot(p.labels[task], 10).float()
            mixed = torch.randn(10, size.width, generator=torch.Generator().manual_seed(1))
            features += codes @ mixed
    y, test_y = pairs.labels["R"], tests.labels["R"]
    counts = []

    def plain_probe() -> None:
        counts[:] = [plain_fits(x, y, test_x, test_y)]

    def our_probe(**options) -> None:
        seeded = torch.Generator().manual_seed(48)
        linear_probe(x, y, test_x, test_y, generator=seeded, **options)

    fits = timed("classifiers of one task of ten classes", plain_probe, our_probe, 1)
    print(f"  the plain ones are {counts[0]} fits")
    released = {
        "validation": 0.4, "penalty": "unsquared", "standardize": False,
        "strengths": tuple(10.0**k for k in range(-6, 7)),
    }  # fmt: skip
    slower = ratios(lambda: our_probe(**released), our_probe, 1)["ratio"]

    # As if each task had ten classes; S has two, which is quicker for both.
    plain_fit, our_fit = 4 * fits["a"], 4 * fits["b"]
    clean = once["b"] * images / n + fused["b"] * total / (4 * n) + our_fit
    reference = each["b"] * total / n + slower * our_fit
    for what, plain_pairs, seconds in (
        ("clean: each image encoded once, standard penalty", once["a"], clean),
        ("reference: crops of each pair, un-squared norm", each["a"], reference),
    ):
        plain_seconds = 4 * plain_pairs * total / n + plain_fit
        print(
            f"four tasks, {what}: plain {plain_seconds:.0f} s, mmlib {seconds:.1f} s: "
            f"{plain_seconds / seconds:.1f} times as fast (added up from the parts above)"
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", choices=SIZES, default="paper")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    size = SIZES[args.size]
    world = trifeature.load(size.pixels)
    files = [png(picture) for picture in world.train.images]
    images = world.train.images
    pairs = world.pairs("train", 10_000, biased=False, seed=trifeature.SEED)
    tests = world.pairs("test", biased=False, seed=trifeature.SEED)
    sides = (pairs.first, pairs.second)
    ours, plain = models(size)
    generator = torch.Generator().manual_seed(0)
    print(
        f"{args.size}: {size.pixels} px, batch {size.batch}, width {size.width}, "
        f"{args.threads} threads, {args.repeats} repeats"
    )

    def timed(what: str, a: Callable, b: Callable, repeats: int = args.repeats) -> dict:
        r = ratios(a, b, repeats)
        print(
            f"{what}: plain {r['a']:.3f} s, mmlib {r['b']:.3f} s: {r['ratio']:.2f} times as fast "
            f"({r['low']:.2f} to {r['high']:.2f})"
        )
        return r

    ours.eval(), plain.eval()
    few = [images[side[:8]] for side in sides]
    with torch.no_grad():
        expected = plain.embeddings([image.Normalize()(x) for x in few], single_masks(2))
        found = ours.fuse([image.Normalize()(x) for x in few], single_masks(2))
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
    ours.train(), plain.train()

    places = [side[: size.batch] for side in sides]
    strong = pil_views(size.pixels, strong=True)
    timed(
        "augmenting a batch",
        lambda: [plain_view(files, p, strong) for _ in range(2) for p in places],
        lambda: [
            t(images[p], generator)
            for _ in range(2)
            for t, p in zip(ours.augment, places, strict=True)
        ],
    )

    plain_optimizer = torch.optim.AdamW(plain.parameters(), size.learning_rate, weight_decay=1e-4)
    optimizer = torch.optim.AdamW(parameter_groups(ours, 1e-4), size.learning_rate, fused=True)
    view = [torch.randn(size.batch, 3, size.pixels, size.pixels) for _ in range(2)]

    def finish(loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def forward(views: list[list[Tensor]]) -> Tensor:
        z1, z2 = (ours.project(v, ours.masks) for v in views)
        return losses.comm(z1, z2, temperature=0.1, convention="released")

    def plain_step() -> None:
        view1, view2 = ([plain_view(files, p, strong) for p in places] for _ in range(2))
        finish(plain.loss(view1, view2), plain_optimizer)

    def our_step() -> None:
        finish(ours.loss([images[p] for p in places], generator)["loss"], optimizer)

    timed(
        "forward, backward and update on made views",
        lambda: finish(plain.loss(view, view), plain_optimizer),
        lambda: finish(forward([view, view]), optimizer),
    )
    timed("a whole training step", plain_step, our_step)
    probes(timed, size, ours, plain, (world, files, pairs, tests))


if __name__ == "__main__":
    main()
