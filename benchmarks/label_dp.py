"""Label-DP: the nearest-neighbour draw beside its matrix products and scikit-learn, and the audit.

``python benchmarks/label_dp.py [--growth] [--keep]``

The draw, of 10,000 records and of as many as DVM-Car has: 286 classes of uneven sizes (none below
12), random float32 features of width 2,048, every record swapped with chance 0.962, k = 10, own
image left out.

* Beside scikit-learn, which fits NearestNeighbors to each class's pool and asks for one neighbour
  more (itself may be among them); the rest is the same. Where no two distances are equal both draw
  the same image from the same coins, which is checked. A ratio above one says how many times as
  fast the draw is.
* Beside the bare products of the same groups: for each class the rows that drew it are gathered,
  the class's rows are gathered, and the two are multiplied. That ratio says how many times as long
  the draw takes, at least one.
* Peak memory, measured in a process of its own: the most that was resident during the draw, less
  what was before the features were made, over the size of the features.
* ``--growth``: seconds, bare products and memory from 10,000 records to a million. At 286 classes
  the work grows with the square of the records. The width there is 256, since a million rows of
  2,048 are 8 GB.

The audit: 10 million draws of randomized response at K = 286 in all, on two labels; a bound on
seconds, since there is nothing to put beside it.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import torch
from _measure import Report, parser, ratios
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from mmlib.label_dp.accounting import noise_for
from mmlib.label_dp.audit import audit
from mmlib.label_dp.coins import coins, uniform
from mmlib.label_dp.mechanisms.randomized_response import randomized_response
from mmlib.label_dp.mechanisms.swap_images import swap_images

K, NEIGHBOURS = 286, 10
WHOLE = 176_414  # records of DVM-Car
GROWTH = (10_000, 31_623, 100_000, 316_228, 1_000_000)
NOISE = noise_for(5.0, K, responses=2)


def world(n: int, width: int) -> tuple[Tensor, Tensor]:
    """Labels (N,) with class shares that fall as DVM-Car's do, and features (N, width)."""
    generator = torch.Generator().manual_seed(0)
    share = torch.logspace(0, -1.7, K)  # the largest class is 50 times the smallest
    sizes = (share / share.sum() * n).long().clamp(min=NEIGHBOURS + 2)
    labels = torch.arange(K).repeat_interleave(sizes)
    return labels, torch.randn(len(labels), width, generator=generator)


def ours(labels: Tensor, features: Tensor) -> Tensor:
    return swap_images(
        labels,
        NOISE,
        K,
        neighbours=NEIGHBOURS,
        features=features,
        generator=torch.Generator(labels.device).manual_seed(1),
    )


def products(labels: Tensor, features: Tensor) -> None:
    """The matrix products that the draw needs, on its own groups, and nothing else."""
    generator = torch.Generator().manual_seed(1)
    record = coins(NOISE, labels, generator).nonzero().squeeze(1)
    drawn = uniform(K, record, generator)
    groups = record[drawn.argsort()].split(drawn.bincount(minlength=K).tolist())
    pools = labels.argsort(stable=True).split(labels.bincount(minlength=K).tolist())
    for group, pool in zip(groups, pools, strict=True):
        features.index_select(0, group) @ features.index_select(0, pool).T


def sklearns(labels: Tensor, features: Tensor) -> Tensor:
    """The same draw by scikit-learn, one searcher a class."""
    generator = torch.Generator().manual_seed(1)
    source = torch.arange(len(labels))
    swapped = coins(NOISE, source, generator)
    record = source[swapped]
    drawn = uniform(K, record, generator)
    sizes = labels.bincount(minlength=K)[drawn] - (labels[record] == drawn).long()
    pick = uniform(sizes.clamp(max=NEIGHBOURS), record, generator)
    found = torch.empty_like(record)
    for c in range(K):
        pool = (labels == c).nonzero().squeeze(1)
        group = (drawn == c).nonzero().squeeze(1)
        if not len(group):
            continue
        search = NearestNeighbors(n_neighbors=min(NEIGHBOURS + 1, len(pool)))
        near = search.fit(features[pool].numpy()).kneighbors(
            features[record[group]].numpy(), return_distance=False
        )
        near = pool[torch.from_numpy(near)]
        near = near.masked_fill(near == record[group, None], len(labels))  # itself goes last
        others = (near == len(labels)).long().argsort(dim=1, stable=True)
        near = near.gather(1, others)[:, :NEIGHBOURS].sort(1).values  # by index
        found[group] = near.gather(1, pick[group, None]).squeeze(1)
    source[swapped] = found
    return source


def respond(label: int, n: int, generator: torch.Generator) -> Tensor:
    return randomized_response(torch.full((n,), label), NOISE, K, generator=generator)


def peak(n: int, width: int) -> float:
    """Most memory of a draw, features with it, over the features' size; in a new process."""
    command = [sys.executable, __file__, "--peak-of", str(n), str(width)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def resident() -> int:
    """The most bytes that this process has held so far; getrusage would count its parent's, too."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(next(x.split()[1] for x in status.splitlines() if x.startswith("VmHWM")))


def measure_peak(n: int, width: int) -> float:
    ours(*world(10 * K * NEIGHBOURS, 8))  # what the first draw loads is no memory of a draw
    before = resident()
    labels, features = world(n, width)
    ours(labels, features)
    return (resident() - before) / (features.numel() * features.element_size())


def beside_products(report: Report, n: int, width: int, repeats: int = 3) -> None:
    labels, features = world(n, width)
    r = ratios(lambda: ours(labels, features), lambda: products(labels, features), repeats)
    what, whole = f"nearest draw, {len(labels):,} x {width}", n == WHOLE and width == 2048
    report.number(what, r["a"], "s", 10 if whole else None)
    report.number(
        f"{what}, beside its bare products", r["ratio"], "times as long", 1.5 if whole else None
    )
    memory = peak(n, width)
    report.number(f"{what}, memory", memory, "times the features", 1.5 if whole else None)


def beside_sklearn(report: Report, n: int, width: int) -> None:
    labels, features = world(n, width)
    assert torch.equal(ours(labels, features), sklearns(labels, features))
    r = ratios(lambda: sklearns(labels, features), lambda: ours(labels, features), repeats=3)
    what = f"nearest draw, {len(labels):,} x {width}, beside scikit-learn's search by class"
    report.ratio(what, r, 5)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--growth", action="store_true")
    options.add_argument("--peak-of", type=int, nargs=2, help="(used inside)")
    asked = options.parse_args()
    if asked.peak_of:
        print(measure_peak(*asked.peak_of))
        return
    width = 256 if asked.growth else 2048
    how = f"{K} classes, k = {NEIGHBOURS}, float32, {torch.get_num_threads()} threads"
    name = "label_dp_growth" if asked.growth else "label_dp"
    with Report(name, how, keep=asked.keep) as report:
        for n in GROWTH if asked.growth else (10_000, WHOLE):
            beside_products(report, n, width, repeats=1 if n > 150_000 else 3)
            if n <= 10_000 and not asked.growth:
                beside_sklearn(report, n, width)
        if not asked.growth:
            start = time.perf_counter()
            audit(
                respond, range(2), K, draws=5_000_000, confidence=0.99,
                generator=torch.Generator().manual_seed(0),
            )  # fmt: skip
            taken = time.perf_counter() - start
            report.number(f"audit of 10 million draws at K = {K}", taken, "s", 10)


if __name__ == "__main__":
    main()
