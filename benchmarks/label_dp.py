"""Label-DP: the nearest-neighbour draw beside scikit-learn, and the audit.

``python benchmarks/label_dp.py [--records N ...]``

The draw: 286 classes of uneven sizes (none below 12), random float32 features of width 2,048, every
record swapped with chance 0.962, k = 10, own image left out. scikit-learn's side fits
NearestNeighbors to each class's pool and asks for one neighbour more (itself may be among them);
the rest is the same. Where no two distances are equal both draw the same image from the same coins,
which is checked. A ratio above one says how many times as fast the draw is.

The audit: 10 million draws of randomized response at K = 286 in all, on two labels; a bound on
seconds, since there is nothing to put beside it.
"""

from __future__ import annotations

import argparse
import time

import torch
from _interleave import ratios
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from mmlib.label_dp.accounting import noise_for
from mmlib.label_dp.audit import audit
from mmlib.label_dp.coins import coins, uniform
from mmlib.label_dp.mechanisms import randomized_response, swap_images

K, WIDTH, NEIGHBOURS = 286, 2048, 10
NOISE = noise_for(5.0, K, responses=2)


def world(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Labels (N,) with class shares that fall as DVM-Car's do, and features (N, 2048)."""
    share = torch.logspace(0, -1.7, K)  # the largest class is 50 times the smallest
    sizes = (share / share.sum() * n).long().clamp(min=NEIGHBOURS + 2)
    labels = torch.arange(K).repeat_interleave(sizes)
    return labels, torch.randn(len(labels), WIDTH, generator=generator)


def ours(labels: Tensor, features: Tensor) -> Tensor:
    return swap_images(
        labels,
        NOISE,
        K,
        draw="knn",
        features=features,
        neighbours=NEIGHBOURS,
        generator=torch.Generator().manual_seed(1),
    )


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, nargs="+", default=[10_000])
    for n in parser.parse_args().records:
        labels, features = world(n, torch.Generator().manual_seed(0))
        assert torch.equal(ours(labels, features), sklearns(labels, features))
        r = ratios(lambda: sklearns(labels, features), lambda: ours(labels, features), repeats=3)  # noqa: B023
        print(
            f"{len(labels):,} x {WIDTH}, {torch.get_num_threads()} threads: scikit-learn "
            f"{r['a']:.2f} s, mmlib {r['b']:.2f} s, ratio {r['ratio']:.1f} "
            f"({r['low']:.1f} to {r['high']:.1f})"
        )
    start = time.perf_counter()
    found = audit(
        respond, range(2), K, draws=5_000_000, confidence=0.99,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    print(
        f"audit, 10 million draws at K = {K}: {time.perf_counter() - start:.1f} s, "
        f"epsilon at least {found.lower_bound:.3f}"
    )


if __name__ == "__main__":
    main()
