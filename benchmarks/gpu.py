"""What one GPU can do, and how near training, protecting and releasing come to it.

``python benchmarks/gpu.py [--tiny] [--keep]``, some minutes on a data-centre GPU. First its own
ceilings, copying and a plain matrix product of each precision. Then, at the papers' sizes:

* CoMM's step on Trifeature, operation by operation and compiled, as training makes it, in images a
  second and as a share of the speed of a matrix product of its precision. The goal is of the
  precision that has matrix units; where it is missed, a profile says which kernels take the
  device's time, and how much of a step it is idle;
* an epoch of image-table training beside the same steps on tensors that are made already, which
  says what data and views cost;
* one alternation of MEM on random captions as long as Flickr8K's, of as many words as CLIP has: its
  image passes a second beside those of the bare network, forward and backward;
* the nearest-neighbour draw of 176,414 records, and the words of a large vocabulary scored.

``--tiny`` runs every line on small networks, on a CPU too; its numbers say nothing, and it keeps
none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import torch
from _measure import Report, parser, ratios, seconds
from label_dp import WHOLE, ours, world
from mem import LENGTH, captions_as_long, scored
from torch import Tensor
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from mmlib.augment.transform import as_it_is
from mmlib.device import pick_device
from mmlib.mem.protect import protect
from mmlib.mem.trigger import allowed_words
from mmlib.methods import transformed
from mmlib.presets.base import Settings, resolve
from mmlib.studies.image_table import ImageTableStudy
from mmlib.studies.pairs import PairStudy
from mmlib.studies.unlearnable.models import budget, new_model
from mmlib.train import Optim, fit

DEVICE = pick_device()
PRECISIONS = ("float32", "bfloat16")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator(DEVICE).manual_seed(seed)


def settings(chapter: str, tiny: bool, **changes) -> Settings:
    paper = resolve(chapter, {"preset": "paper", **changes})
    small = {"preset": "smoke", "precision": paper.precision, **changes}
    return resolve(chapter, small) if tiny else paper


def ceilings(report: Report, tiny: bool) -> dict[str, float]:
    """FLOP/s of a plain matrix product of each precision."""
    size, side = (2**20, 256) if tiny else (2**30, 8192)
    here, there = (torch.zeros(size, dtype=torch.uint8, device=DEVICE) for _ in range(2))
    bandwidth = 2 * size / seconds(lambda: there.copy_(here))
    report.number("copying, read and written", bandwidth / 1e9, "GB/s")
    speeds = {}
    for precision in PRECISIONS:
        matrix = torch.randn(side, side, device=DEVICE).to(getattr(torch, precision))
        speeds[precision] = 2 * side**3 / seconds(partial(torch.matmul, matrix, matrix))
        report.number(f"product of matrices, {precision}", speeds[precision] / 1e12, "TFLOP/s")
    return speeds


def comm(report: Report, tiny: bool, ceiling: dict[str, float]) -> None:
    for precision in PRECISIONS:
        cfg = settings("comm", tiny, precision=precision)
        study = PairStudy(cfg, DEVICE)
        model = study.untrained("comm")

        def train(steps: int, study=study, model=model) -> None:
            study.train(model, steps, biased=False, generator=seeded(), name="CoMM")

        few, many = (1, 3) if tiny else (20, 220)
        with torch.compiler.set_stance("force_eager"), FlopCounterMode(display=False) as counter:
            train(1)
        # Operation by operation first, which works where a compiler may not.
        for how, stance in (("each operation alone", "force_eager"), ("compiled", "default")):
            with torch.compiler.set_stance(stance):
                took = [seconds(partial(train, steps), 1) for steps in (few, many)]
                step = (took[1] - took[0]) / (many - few)
                what = (
                    f"CoMM's step, {cfg.image_size} px, batch {cfg.batch_size}, {precision}, {how}"
                )
                report.number(what, 1000 * step, "ms")
                report.number(f"{what}: views", 4 * cfg.batch_size / step, "images/s")
                share = 100 * counter.get_total_flops() / step / ceiling[precision]
                goal = 40 if precision == "bfloat16" and stance == "default" else None
                report.number(f"{what}: of the product's speed", share, "%", goal, least=True)
                total = cfg.steps * step / 60
                report.number(f"{what}: {cfg.steps:,} of them", total, "min", goal and 2)
                if tiny or (goal and share < goal):
                    account(report, what, train, step, 3 if tiny else 20)


def account(
    report: Report, what: str, train: Callable[[int], None], step: float, steps: int
) -> None:
    """What bounds a step of so many seconds: the device's kernels, or that it has none to run.

    Kernels take as long under the profiler as without it, and the host longer: so the device's idle
    share is of the step as it was timed.
    """
    cuda = DEVICE.type == "cuda"
    with profile(activities=[ProfilerActivity.CUDA if cuda else ProfilerActivity.CPU]) as profiled:
        train(steps)
    kind = DeviceType.CUDA if cuda else DeviceType.CPU
    taken = Counter(
        {
            e.key: e.self_device_time_total if cuda else e.self_cpu_time_total
            for e in profiled.key_averages()
            if e.device_type == kind and not e.is_user_annotation
        }
    )
    busy = taken.total() / 1e6 / steps
    report.number(f"{what}: the device idle", 100 * max(0, 1 - busy / step), "% of a step")
    for kernel, time in taken.most_common(5):
        share = 100 * time / taken.total()
        report.number(f"{what}: {kernel[:60]}", share, "% of the device's time")


def image_table(report: Report, tiny: bool) -> None:
    small = {"rows": 10_000, "image_size": 8} if tiny else {"rows": 40_000, "image_size": 128}
    cfg = settings("image_table", tiny, data="cars", **small)
    study = ImageTableStudy(cfg, seeded)
    images, table = study.dataset.train.images, study.dataset.train.table
    model, steps = study.untrained(), study.sampler.steps_per_epoch
    drawn = model.augment
    rows = study.sampler(0)
    made = [v.detach() for v in transformed(drawn, (images[rows], table[rows]), seeded())]

    def epoch(views: list, batch: Callable[[Tensor], list[Tensor]]) -> None:
        model.augment = views
        optim = Optim(steps, cfg.learning_rate, optimizer="adam", precision=cfg.precision)
        fit(
            model, lambda rows, g: model.loss(batch(rows), g), optim, study.sampler,
            generator=seeded(), progress=False,
        )  # fmt: skip

    r = ratios(
        lambda: epoch(drawn, lambda rows: [images[rows], table[rows]]),
        lambda: epoch([as_it_is] * 2, lambda _: made),
        repeats=3,
    )
    what = f"image and table, {cfg.image_size} px, batch {cfg.batch_size}, {cfg.precision}"
    report.number(f"{what}: images", steps * cfg.batch_size / r["a"], "images/s")
    report.number(f"{what}: beside fixed tensors", r["ratio"], "times as long", 1.1)


def mem(report: Report, tiny: bool) -> None:
    batches, whole = (2, 4) if tiny else (20, 234)  # of a visit: here, and of Flickr8K's pairs
    cfg, words = settings("unlearnable_audit", tiny), 1_000 if tiny else 49_408
    size, side = cfg.batch_size, cfg.image_size
    g = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (batches * size, 3, side, side), generator=g, dtype=torch.uint8)
    captions = captions_as_long(len(images), words, g)[:, None]
    images, captions = images.to(DEVICE), captions.to(DEVICE)
    pairs = SimpleNamespace(tokenizer=range(words), length=LENGTH, train=(images, captions))
    steps = max(1, round(cfg.surrogate_steps * batches / whole))
    took = []
    for triggers in (0, 1):
        plan = replace(budget(cfg), rounds=1, surrogate_steps=steps, trigger_rounds=triggers)
        protected = partial(
            protect, new_model(cfg, pairs, 0), images, captions, plan, progress=False
        )
        took.append(seconds(lambda p=protected: p(generator=seeded()), 1))
    bare_model = new_model(cfg, pairs, 0)
    batch = torch.rand(size, 3, side, side, device=DEVICE)

    def bare() -> None:
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=cfg.precision == "bfloat16"):
            loss = bare_model.encoders[0](batch).float().square().mean()
        loss.backward()

    passes = (steps + batches * cfg.noise_steps) * size
    rate = size / seconds(bare)
    what = f"MEM, {cfg.trunk}, {side} px, {words:,} words, batch {size}, {cfg.precision}"
    report.number(f"{what}: the image encoder alone, forward and backward", rate, "images/s")
    for name, passed in zip(("noise", "noise and triggers"), took, strict=True):
        share = 100 * passes / passed / rate
        report.number(f"{what}: an alternation of {name}, of that", share, "%", 60, least=True)
    first = cfg.trigger_rounds
    total = (first * took[1] + (cfg.rounds - first) * took[0]) * whole / batches
    report.number(f"{what}: {cfg.rounds} rounds of 30,000 pairs", total / 60, "min", 30)


def labels_and_words(report: Report, tiny: bool) -> None:
    n, width = (4_000, 16) if tiny else (WHOLE, 2048)
    labels, features = (x.to(DEVICE) for x in world(n, width))
    took = seconds(partial(ours, labels, features))
    report.number(f"nearest draw, {len(labels):,} x {width}", took, "s", 1)
    words, positions = (1_000, 2) if tiny else (49_408, 5)
    table = torch.randn(words, 512, device=DEVICE)
    gradient = torch.randn(128, positions, 512, device=DEVICE)
    took = seconds(partial(scored, gradient, table, allowed_words(words, DEVICE)))
    what = f"{words:,} words of width 512 scored for 128 captions and {positions} positions"
    report.number(what, 1000 * took, "ms", 5)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--tiny", action="store_true", help="run every line on small networks")
    given = options.parse_args()
    if not given.tiny and DEVICE.type != "cuda":
        options.error("there is no GPU here; --tiny runs every line without one")
    with Report("gpu", "one GPU, the papers' sizes", keep=given.keep and not given.tiny) as report:
        comm(report, given.tiny, ceilings(report, given.tiny))
        image_table(report, given.tiny)
        mem(report, given.tiny)
        labels_and_words(report, given.tiny)


if __name__ == "__main__":
    main()
