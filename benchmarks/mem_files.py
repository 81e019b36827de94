"""MEM's protection with noise in files beside the same in memory: time, memory, and being killed.

``python benchmarks/mem_files.py [--pairs N] [--noise-steps S] [--kills K] [--folder F] [--keep]``.
Synthetic pairs: N random images of 224 x 224 pixels with a caption each, and a small trunk, so that
reading and writing weighs as much as it ever may against computing. The images are a mapped file on
both sides; protecting in memory reads them into memory first, as the chapters do.

Each run is a process of its own. Printed of each are its seconds, the peak of its resident set
(``getrusage``), in which pages of mapped files count although the kernel may take them back at any
time, and the peak of its anonymous memory, which it may not (sampled 50 times a second, Linux
only): that is what must not grow with N. Then the same run in files is killed K times, after even
parts of what it took undisturbed, and its bytes are compared.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import torch
from _measure import Report, parser
from torch import nn

from mmlib.augment.image import Normalize
from mmlib.augment.transform import as_it_is
from mmlib.encoders.image import GlobalPool, SmallConvNet
from mmlib.encoders.text import END, PAD, SPECIAL, START, TextTransformer
from mmlib.mem.protect import protect
from mmlib.mem.settings import Protection
from mmlib.methods.clip import DualEncoder

SIDE, WORDS, LENGTH, MIB = 224, 1000, 24, 2**20
STATUS = Path("/proc/self/status")


def images_of(path: Path, pairs: int) -> torch.Tensor:
    """Random images in a mapped file; made where they are not there."""
    made = path.exists()
    shape = pairs, 3, SIDE, SIDE
    images = torch.from_file(str(path), shared=True, size=pairs * 3 * SIDE**2, dtype=torch.uint8)
    if not made:
        g = torch.Generator().manual_seed(0)
        for part in images.view(shape).split(256):
            part.random_(256, generator=g)
    return images.view(shape)


def run(folder: Path | None, images: torch.Tensor, noise_steps: int) -> torch.Tensor:
    """Protect; the published images."""
    torch.manual_seed(0)
    encoders = [GlobalPool(SmallConvNet(4)), TextTransformer(WORDS, 32, 1, 2, LENGTH, 32)]
    projections = [nn.Linear(16, 32, bias=False), nn.Identity()]
    views = [Normalize(), as_it_is]
    model = DualEncoder(encoders, projections, augment=views, prepare=views)
    g = torch.Generator().manual_seed(0)
    captions = torch.full((len(images), 1, LENGTH), PAD)
    captions[:, 0, :14] = torch.randint(len(SPECIAL), WORDS, (len(images), 14), generator=g)
    captions[:, 0, 0], captions[:, 0, 13] = START, END
    settings = Protection(
        rounds=2, trigger_rounds=1, surrogate_steps=4, noise_steps=noise_steps, candidates=4,
        selection="sample",
    )  # fmt: skip
    if folder is None:
        images = images.clone()
    return protect(
        model, images, captions, settings, generator=g, folder=folder, progress=False
    ).images


def child(folder: str, images: str, pairs: int, noise_steps: int) -> None:
    """One run, and what it took, as JSON."""
    pixels, anonymous, over = images_of(Path(images), pairs), [0], threading.Event()

    def sample() -> None:
        while STATUS.exists() and not over.wait(0.02):
            lines = STATUS.read_text().splitlines()
            anonymous[0] = max(
                anonymous[0], *(int(x.split()[1]) for x in lines if x.startswith("RssAnon"))
            )

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    watcher = threading.Thread(target=sample)
    watcher.start()
    start = time.perf_counter()
    made = run(Path(folder) if folder else None, pixels, noise_steps)
    seconds = time.perf_counter() - start
    over.set()
    watcher.join()
    digest = hashlib.sha256()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for part in made.split(256):
        digest.update(part.numpy().tobytes())
    print(json.dumps({
        "seconds": seconds, "resident": peak / 1024, "before": before / 1024,
        "anonymous": anonymous[0] / 1024, "sha256": digest.hexdigest(),
    }))  # fmt: skip


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--pairs", type=int, default=1024)
    options.add_argument("--noise-steps", type=int, default=8)
    options.add_argument("--kills", type=int, default=3, help="0: no second run")
    options.add_argument("--folder", type=Path, help="on the disk that is to be tried")
    options.add_argument("--files-only", action="store_true", help="leave out the run in memory")
    options.add_argument("--child", nargs=2, help="(used inside)")
    given = options.parse_args()
    if given.child:
        return child(*given.child, given.pairs, given.noise_steps)
    torch.set_num_threads(1)
    how = (
        f"MEM with noise in files, {given.pairs:,} pairs at {SIDE} px, 2 rounds of "
        f"{given.noise_steps} noise steps, small trunk, 1 thread"
    )
    with tempfile.TemporaryDirectory(dir=given.folder) as scratch:
        name = f"mem_files_{given.pairs}"
        with Report(name, how, keep=given.keep) as report:
            measure(report, given, Path(scratch))
    return None


def measure(report: Report, given: argparse.Namespace, scratch: Path) -> None:
    images = scratch / "images"
    size = images_of(images, given.pairs).numel()
    report.number("the images", size / MIB, "MiB")
    sizes = ["--pairs", str(given.pairs), "--noise-steps", str(given.noise_steps)]

    def started(folder: str) -> subprocess.Popen:
        command = [sys.executable, __file__, *sizes, "--child", folder, str(images)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    digests = set()
    for name, folder in (("in memory", ""), ("in files", str(scratch / "whole"))):
        if folder or not given.files_only:
            result = json.loads(started(folder).communicate()[0])
            digests.add(result["sha256"])
            report.number(f"{name}, time", result["seconds"], "s")
            report.number(f"{name}, anonymous memory at the peak", result["anonymous"], "MiB")
            report.number(f"{name}, resident at the peak", result["resident"], "MiB")
    kept = sum(f.stat().st_size for f in (scratch / "whole").iterdir())
    report.number("files, an image", kept / given.pairs, "bytes")
    if given.kills:
        shutil.rmtree(scratch / "whole")  # room for the next
        for _ in range(given.kills):
            begun = started(str(scratch / "killed"))
            time.sleep(5 + result["seconds"] / (given.kills + 1))
            begun.kill()
            begun.communicate()
        ended = json.loads(started(str(scratch / "killed")).communicate()[0])
        digests.add(ended["sha256"])
        report.number(f"killed {given.kills} times, the rest took", ended["seconds"], "s")
        report.number("different results of all these runs", len(digests), "(same bytes: 1)", 1)


if __name__ == "__main__":
    main()
