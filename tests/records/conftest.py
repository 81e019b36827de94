"""A run to write to, and something to write."""

import warnings

import matplotlib.pyplot as plt
import pytest
import torch

from mmlib import records


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)  # a run sets its own
    return records.start(
        "label_dp", {"preset": "smoke", "seed": 3, "folder": str(tmp_path / "run")}
    )


@pytest.fixture
def fill():
    """Note one of each kind in a run."""

    def filled(run):
        run.data("toy", torch.arange(4))
        run.metric("synergy.comm", 50.0, "balanced accuracy in %")
        run.curve("loss", 1, 2.5, method="comm")
        figure, _ = plt.subplots()
        run.figure(figure, "empty", alt="Empty axes.")
        return run

    return filled
