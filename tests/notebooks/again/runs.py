"""What metrics of a chapter's smoke run have to be, computed again by the library alone.

A chapter's cells decide what a number is of: which pairs, labels, noise, network or part. Modules
of this folder say that once more, for rows in which a slip of either would show; ``AGAIN`` of each
names its chapters. Here is which runs these are: of which seed and settings.
"""

from collections.abc import Iterator
from types import SimpleNamespace

from mmlib import records
from mmlib.device import pick_device
from mmlib.presets.base import resolve

SEED = 1
# Beside preset and seed: other steps on free pairs than the preset has on biased ones; and hackers
# who learn enough to tell what they were given, of images that batches do not divide.
PARAMETERS = {
    "comm": {"steps": 3},
    "comm_ablation": {"steps": 3},
    "unlearnable_audit": {
        "steps": 20, "learning_rate": 5e-3, "pixel_noise": 0.1, "n_train": 72, "n_test": 60,
    },
    # Every answer meets every defence: so some of these alone.
    "unlearnable_sweeps": {
        "steps": 12, "defences": ["first", "shared", "views", "unspelled", "both"],
    },
}  # fmt: skip
Values = Iterator[tuple[str, float]]  # name of a metric, and what it has to be


def started(chapter: str, **changes) -> SimpleNamespace:
    """As much of a run as studies ask for."""
    given = {"preset": "smoke", "seed": SEED, **PARAMETERS.get(chapter, {}), **changes}
    run = SimpleNamespace(
        settings=resolve(chapter, given), seed=SEED, device=pick_device(),
        metric=lambda *_: None, curve=lambda *_, **__: None,
        once=lambda part, work, *arguments, **keywords: work(*arguments, **keywords),
    )  # fmt: skip
    run.generator = lambda k=0: records.Run.generator(run, k)
    return run
