"""Chapter 5's study by other settings, and what a release of its records shows."""

import copy

from mmlib.label_dp.mechanisms.double_rr import DoubleRR
from mmlib.label_dp.mechanisms.randomized_response import LabelRR
from mmlib.label_dp.release import Release
from mmlib.presets.base import resolve


def with_settings(study, **changes):
    """The same records by other settings: to load them takes longest."""
    other = copy.copy(study)
    other.cfg = resolve("image_table", {"preset": "smoke", **changes})
    return other


def released(study, labels=None, source=None, **terms):
    """Private records with these labels, showing these records' images."""
    labels = study.private.labels if labels is None else labels
    if source is None:
        given = LabelRR(n_classes=10, noise=0.5)
    else:
        terms = {"table": "stays", "noise_label": 0.5, "noise_image": 0.5, **terms}
        given = DoubleRR(n_classes=10, pools="records", **terms)
    return Release(labels, source, given, (), teaching=True)
