"""CoMM's training step and probe of four tasks, beside a plain re-statement of the released code.

python benchmarks/comm.py [--size paper|desk] [--part step|probe] [--repeats 5]: ratios measured
side by side on two threads of the CPU, float32 but where a row says bfloat16. The plain pipeline
does what the released one does: PNG images are decoded and augmented one by one with PIL, the
fusion runs once for each mask and computes every token's state, and for each of the four tasks the
embeddings are extracted anew, through random crops, and one classifier after the other is fitted,
coarsely and then by bisection. Our probe tries no strengths between; the row says how many fits
each side makes.
Our extractions run a frozen copy of the model, as the library's do, which is made once for each.
Both models have the same weights, and it is checked that they give the same embeddings. At least 2
times is wanted for the step and 20 for the probe. At the paper's size both run AlexNet equally
often, which is nearly all of our step, so on a CPU the first is out of reach there by float32.

Extraction is timed on slices of pairs and images and scaled to the paper's 10,000 + 4,094 pairs and
2,600 images, since a plain one takes the better part of an hour. Classifiers are timed on one task
of ten classes, on made features, and counted four times.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from _measure import Report, parser, ratios
from _released import LIGHT, PlainCoMM, pil_views, plain_fits, plain_view, png
from torch import Tensor, nn

from mmlib import losses
from mmlib.augment import image
from mmlib.data import trifeature
from mmlib.encoders.folded import folded
from mmlib.encoders.image import AlexNetTrunk, SmallConvNet
from mmlib.evaluate.probe import PROBES, STRENGTHS, linear_probe
from mmlib.fusion import FusionTransformer, MapAdapter, ProjectionHead
from mmlib.methods.comm import CoMM, single_masks
from mmlib.train import parameter_groups

TASKS = ("R", "U1", "U2", "S")
THREADS = 2


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
    plain = PlainCoMM(ours)
    return ours.to(memory_format=torch.channels_last), plain


def probes(
    report: Report, timed: Callable, size: Size, ours: CoMM, plain: PlainCoMM, data: tuple
) -> None:
    """Time the parts of probing four tasks and add them up."""
    world, files, pairs, tests = data
    plain.eval()
    frozen = folded(ours)
    total, images = len(pairs) + len(tests), len(world.train) + len(world.test)
    light = pil_views(size.pixels, strong=False)
    places = [side[: size.batch] for side in (pairs.first, pairs.second)]
    full = single_masks(2)[-1:]

    @torch.no_grad()
    def plain_extract() -> None:
        plain.embeddings([plain_view(files, p, light) for p in places], full)

    @torch.no_grad()
    def encode() -> list[Tensor]:
        return [frozen.encode(k, world.train.images[: size.batch]) for k in range(2)]

    crop = image.ResizedCrop(size.pixels, scale=LIGHT)
    generator = torch.Generator().manual_seed(0)

    @torch.no_grad()
    def extract_crops(*, bfloat16: bool = False) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            for batch in zip(*(p.split(64) for p in places), strict=True):
                frozen.embed([crop(world.train.images[p], generator) for p in batch])

    tokens = [t.repeat(4, 1, 1) for t in encode()]

    @torch.no_grad()
    def combine() -> None:
        frozen.combine([t[: 4 * size.batch] for t in tokens])

    n = size.batch
    each = timed(f"embedding {n} pairs, cropped", plain_extract, extract_crops)
    rounded = timed(
        f"embedding {n} pairs, cropped, ours by bfloat16",
        plain_extract,
        lambda: extract_crops(bfloat16=True),
    )
    once = timed(f"embedding {n} pairs; encoding {n} images for either side", plain_extract, encode)
    fused = timed(f"embedding {n} pairs; fusing {4 * n} pairs", plain_extract, combine)

    x, test_x = (torch.randn(len(p), size.width, generator=generator) for p in (pairs, tests))
    for p, features in ((pairs, x), (tests, test_x)):  # labels of all tasks can be read in part
        for task in TASKS:
            codes = F.one_hot(p.labels[task], 10).float()
            mixed = torch.randn(10, size.width, generator=torch.Generator().manual_seed(1))
            features += codes @ mixed
    y, test_y = pairs.labels["R"], tests.labels["R"]
    theirs = 0

    def plain_probe() -> None:
        nonlocal theirs
        theirs = plain_fits(x, y, test_x, test_y)

    def our_probe(**options) -> None:
        seeded = torch.Generator().manual_seed(48)
        linear_probe(x, y, test_x, test_y, generator=seeded, **options)

    fits = ratios(plain_probe, our_probe, 1)
    own, unsquared = len(STRENGTHS) + 1, len(PROBES["unsquared"]["strengths"]) + 1
    searched = f"{theirs} fits one by one against {own} of ours"
    report.ratio(f"classifiers of one task of ten classes, {searched}", fits)
    slower = ratios(lambda: our_probe(**PROBES["unsquared"]), our_probe, 1)["ratio"]

    # As if each task had ten classes; S has two, which is quicker for both.
    plain_fit, our_fit = 4 * fits["a"], 4 * fits["b"]
    clean = once["b"] * images / n + fused["b"] * total / (4 * n) + our_fit
    cropped = f"reference: crops of each pair, un-squared norm by {unsquared} fits a task"
    for what, plain_pairs, seconds in (
        ("clean: each image encoded once, standard penalty", once["a"], clean),
        (cropped, each["a"], each["b"] * total / n + slower * our_fit),
        (
            f"{cropped}, ours by bfloat16",
            rounded["a"],
            rounded["b"] * total / n + slower * our_fit,
        ),
    ):
        added = {"a": 4 * plain_pairs * total / n + plain_fit, "b": seconds}
        added["ratio"] = added["low"] = added["high"] = added["a"] / seconds
        report.ratio(f"the probe of four tasks, added up from these; {what}", added, 20)


def steps(
    timed: Callable,
    size: Size,
    ours: CoMM,
    plain: PlainCoMM,
    images: Tensor,
    files: list[bytes],
    sides: tuple[Tensor, Tensor],
) -> None:
    """Time a training step and its halves."""
    generator = torch.Generator().manual_seed(0)
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

    def our_step(*, bfloat16: bool = False) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            loss = ours.loss([images[p] for p in places], generator)["loss"]
        finish(loss, optimizer)

    timed(
        "forward, backward and update on made views",
        lambda: finish(plain.loss(view, view), plain_optimizer),
        lambda: finish(forward([view, view]), optimizer),
    )
    timed("a whole training step", plain_step, our_step, goal=2)
    timed("a whole training step, ours by bfloat16", plain_step, lambda: our_step(bfloat16=True))


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--size", choices=SIZES, default="paper")
    options.add_argument("--part", choices=("step", "probe"), help="both by default")
    options.add_argument("--repeats", type=int, default=5)
    args = options.parse_args()
    torch.set_num_threads(THREADS)
    size = SIZES[args.size]
    world = trifeature.load(size.pixels)
    files = [png(picture) for picture in world.train.images]
    images = world.train.images
    pairs = world.pairs("train", 10_000, biased=False, seed=trifeature.SEED)
    tests = world.pairs("test", biased=False, seed=trifeature.SEED)
    sides = (pairs.first, pairs.second)
    ours, plain = models(size)
    ours.eval(), plain.eval()
    few = [images[side[:8]] for side in sides]
    with torch.no_grad():
        expected = plain.embeddings([image.Normalize()(x) for x in few], single_masks(2))
        for model in (ours, folded(ours)):
            found = model.fuse([image.Normalize()(x) for x in few], single_masks(2))
            torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
    ours.train(), plain.train()

    how = (
        f"CoMM on Trifeature, {args.size}: {size.pixels} px, batch {size.batch}, width "
        f"{size.width}, {THREADS} threads"
    )
    with Report(f"comm_{args.size}", how, keep=args.keep) as report:

        def timed(what: str, a: Callable, b: Callable, *, repeats=args.repeats, goal=None) -> dict:
            r = ratios(a, b, repeats)
            report.ratio(what, r, goal)
            return r

        if args.part != "probe":
            steps(timed, size, ours, plain, images, files, sides)
        if args.part != "step":
            probes(report, timed, size, ours, plain, (world, files, pairs, tests))


if __name__ == "__main__":
    main()
