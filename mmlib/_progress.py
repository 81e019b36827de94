"""How far a fit is: a text bar in a terminal, a few lines anywhere else."""

from __future__ import annotations

import sys
import time

from tqdm import tqdm


class Meter:
    """Progress from ``start`` of ``steps`` steps, with rate and time left.

    The bar is never a notebook widget, since pages cannot show those. Lines come at most every
    tenth of the run and every 5 seconds, so that a log or a page has 10 of them at most.
    """

    def __init__(self, name: str, start: int, steps: int, *, shown: bool):
        self.name, self.start, self.steps = name, start, steps
        self.lines = shown and not sys.stderr.isatty()
        self.bar = tqdm(
            desc=name, initial=start, total=steps, unit="step", disable=not shown or self.lines
        )
        self.began = self.spoke = time.perf_counter()
        self.tenth = 10 * start // steps

    def __enter__(self) -> Meter:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def update(self, done: int, loss: float | None) -> None:
        """``done`` steps are done, ``loss`` is the last one known."""
        shown = "" if loss is None else f"loss {loss:.4g}"
        self.bar.set_postfix_str(shown, refresh=False)
        self.bar.update()
        now, tenth = time.perf_counter(), 10 * done // self.steps
        if self.lines and tenth > self.tenth and now - self.spoke > 5:
            self.spoke, self.tenth = now, tenth
            rate = (done - self.start) / (now - self.began)
            left = tqdm.format_interval((self.steps - done) / rate)
            parts = [f"{done}/{self.steps} steps", shown, f"{rate:.3g} steps/s", f"{left} left"]
            print(f"{self.name}: {', '.join(filter(None, parts))}", flush=True)
