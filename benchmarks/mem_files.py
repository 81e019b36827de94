"""MEM's protection with noise in files: processor time, memory, and being killed, for many pairs.

``python benchmarks/mem_files.py [--pairs N] [--kills K] [--folder F] [--keep]``. Synthetic pairs: N
random images of 224 x 224 pixels with a caption each. Measured is the storage, so the network is as
small as can be: a linear map that reads each pixel once, random words, one round, one noise step. A
longer protection computes more for the same reading and writing.

An image is three neighbouring planes of one mapped file, shared with the images beside it, so that
N of them need a third of their room: the folder takes 2.5 times N images of 147 KiB at most.

Each run is a process of its own on one thread, or one more for each time that it is killed, which
is after even parts of its batches. Printed are what its processes took of the processor, the time
by the clock, and the peak of their anonymous memory, which must not grow with N (sampled 50 times a
second, Linux only); pages of mapped files do not count, since the kernel may take them back at any
time. One in 25 of the pairs is protected in memory, too. What was killed gives the same bytes as
what was not, and so do files and memory.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from _measure import Report, parser
from safetensors import safe_open
from torch import nn

from mmlib.augment.image import ToFloat
from mmlib.augment.transform import as_it_is
from mmlib.data.text import END, PAD, SPECIAL, START
from mmlib.encoders.text import TextTransformer
from mmlib.mem.protect import protect
from mmlib.mem.settings import Protection
from mmlib.methods.clip import DualEncoder

SIDE, WORDS, LENGTH, BATCH, MIB = 224, 1000, 24, 32, 2**20


def images_of(path: Path, pairs: int) -> torch.Tensor:
    """Random images in a mapped file; made where they are not there."""
    made, size = path.exists(), (pairs + 2) * SIDE**2
    planes = torch.from_file(str(path), shared=True, size=size, dtype=torch.uint8)
    if not made:
        g = torch.Generator().manual_seed(0)
        for part in planes.split(64 * MIB):
            part.random_(256, generator=g)
    return planes.as_strided((pairs, 3, SIDE, SIDE), (SIDE**2, SIDE**2, SIDE, 1))


def run(folder: Path | None, images: torch.Tensor) -> torch.Tensor:
    """Protect; the published images."""
    torch.manual_seed(0)
    trunk = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE**2, 8))
    encoders = [trunk, TextTransformer(WORDS, 32, 1, 2, LENGTH, 32)]
    projections = [nn.Linear(8, 32, bias=False), nn.Identity()]
    views = [ToFloat(), as_it_is]
    model = DualEncoder(encoders, projections, augment=views, prepare=views)
    g = torch.Generator().manual_seed(0)
    captions = torch.full((len(images), 1, LENGTH), PAD)
    captions[:, 0, :14] = torch.randint(len(SPECIAL), WORDS, (len(images), 14), generator=g)
    captions[:, 0, 0], captions[:, 0, 13] = START, END
    settings = Protection(
        text="random", rounds=1, trigger_rounds=0, surrogate_steps=1, noise_steps=1,
        batch_size=BATCH,
    )  # fmt: skip
    if folder is None:
        images = images.clone()
    return protect(
        model, images, captions, settings, generator=g, folder=folder, progress=False
    ).images


def child(folder: str, images: str, pairs: int) -> None:
    """One run; prints what was published, as a digest."""
    digest = hashlib.sha256()
    for part in run(Path(folder) if folder else None, images_of(Path(images), pairs)).split(256):
        digest.update(part.numpy().tobytes())
    print(digest.hexdigest())


def followed(
    report: Report, name: str, command: list[str], note: Path, at: Sequence[int] = ()
) -> tuple[str, float]:
    """Run, killed when the batches ``at`` are to be made; digest and anonymous memory in MiB."""
    start, processor, anonymous, at = time.perf_counter(), 0.0, 0, list(at)
    while True:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        killed = False
        while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
            lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
            anonymous = max([anonymous, *(int(x.split()[1]) for x in lines if "RssAnon" in x)])
            if at and note.exists():
                with safe_open(note, framework="pt") as file:
                    done = json.loads(file.metadata()["numbers"])["batch"]
                if done >= at[0]:
                    process.kill()
                    report.number(f"{name}: killed after batches", done, "")
                    at, killed = at[1:], True
            time.sleep(0.02)
        processor += ended[2].ru_utime + ended[2].ru_stime
        if not killed:
            break
    report.number(f"{name}: processor", processor, "s")
    report.number(f"{name}: clock", time.perf_counter() - start, "s")
    report.number(f"{name}: anonymous memory at the peak", anonymous / 1024, "MiB")
    return process.stdout.read().strip(), anonymous / 1024


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--pairs", type=int, default=4096)
    options.add_argument("--kills", type=int, default=1)
    options.add_argument("--folder", type=Path, help="on the disk that is to be tried")
    options.add_argument("--child", nargs=2, help="(used inside)")
    given = options.parse_args()
    torch.set_num_threads(1)
    if given.child:
        return child(*given.child, given.pairs)
    how = (
        f"MEM with noise in files, {given.pairs:,} pairs at {SIDE} px, 1 round of 1 noise step, "
        f"batches of {BATCH}, a linear trunk, 1 thread"
    )
    with tempfile.TemporaryDirectory(dir=given.folder) as scratch:
        name = f"mem_files_{given.pairs}"
        with Report(name, how, keep=given.keep) as report:
            measure(report, given.pairs, given.kills, Path(scratch))
    return None


def measure(report: Report, pairs: int, kills: int, scratch: Path) -> None:
    images, batches = scratch / "images", pairs // BATCH
    few = max(2, batches // 25) * BATCH  # full batches, as nearly all of the many are
    images_of(images, pairs)

    def protected(name: str, folder: str, pairs: int, at: Sequence[int] = ()) -> tuple[str, float]:
        place = str(scratch / folder) if folder else ""
        command = [sys.executable, __file__, "--pairs", str(pairs), "--child", place, str(images)]
        note = scratch / folder / "batch.safetensors"
        return followed(report, f"{pairs:,} pairs {name}", command, note, at)

    plain, _ = protected("in memory", "", few)
    small, before = protected("in files", "few", few)
    parts = [batches * (k + 1) // (kills + 1) for k in range(kills)]
    ended, after = protected(f"in files, killed {kills}x", "killed", pairs, parts)
    report.number("anonymous memory, each pair more", (after - before) * MIB / (pairs - few), "B")
    kept = sum(f.stat().st_size for f in (scratch / "killed").iterdir())
    report.number(f"files, each image of {3 * SIDE**2:,} bytes", kept / pairs, "B")
    shutil.rmtree(scratch / "killed")  # room for the next
    whole, _ = protected("in files, undisturbed", "whole", pairs)
    different = max(len({plain, small}), len({ended, whole}))
    report.number("different bytes of the same run", different, "(the same: 1)", 1)


if __name__ == "__main__":
    main()
