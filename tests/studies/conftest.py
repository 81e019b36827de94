"""What chapters' studies have at smoke: chapter 5's records."""

import pytest
import torch

from mmlib.presets.base import resolve
from mmlib.studies.image_table import ImageTableStudy


@pytest.fixture(scope="module")
def study():
    cfg = resolve("image_table", {"preset": "smoke"})
    return ImageTableStudy(cfg, lambda k: torch.Generator().manual_seed(k))
