"""What chapters' studies have at smoke: chapter 5's records, chapter 11's pairs."""

import pytest
import torch

from mmlib.presets.base import resolve
from mmlib.studies.image_table import ImageTableStudy
from mmlib.studies.unlearnable_pairs import load_pairs


@pytest.fixture(scope="module")
def study():
    cfg = resolve("image_table", {"preset": "smoke"})
    return ImageTableStudy(cfg, lambda k: torch.Generator().manual_seed(k))


@pytest.fixture(scope="module")
def cfg():
    return resolve("unlearnable_audit", {"preset": "smoke", "seed": 3})


@pytest.fixture(scope="module")
def pairs(cfg):
    return load_pairs(cfg, torch.device("cpu"), longest_trigger=4)
