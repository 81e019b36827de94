"""Chapter 11's settings and pairs at smoke."""

import pytest
import torch

from mmlib.presets.base import resolve
from mmlib.studies.unlearnable.pairs import load_pairs


@pytest.fixture(scope="module")
def cfg():
    return resolve("unlearnable_audit", {"preset": "smoke", "seed": 3})


@pytest.fixture(scope="module")
def pairs(cfg):
    return load_pairs(cfg, torch.device("cpu"), longest_trigger=4)
