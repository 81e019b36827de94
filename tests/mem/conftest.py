import pytest
import torch
from torch import nn

from mmlib.augment.transform import as_it_is
from mmlib.data.text import END, PAD, SPECIAL, START
from mmlib.encoders.image import GlobalPool, SmallConvNet
from mmlib.encoders.text import TextTransformer
from mmlib.mem.protect import protect
from mmlib.mem.settings import Protection
from mmlib.methods.clip import DualEncoder

VOCABULARY, LENGTH = 20, 12


def to_unit(images, _):
    return images / 255 if images.dtype == torch.uint8 else images


@pytest.fixture
def make_model():
    def make(seed=0):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            encoders = [
                GlobalPool(SmallConvNet(width=4)),
                TextTransformer(VOCABULARY, 16, depth=1, heads=2, length=LENGTH, out_features=8),
            ]
            nn.init.normal_(encoders[1].token_embedding.weight)  # words that matter
            projections = [nn.Linear(16, 8), nn.Identity()]
        transforms = [to_unit, as_it_is]
        return DualEncoder(encoders, projections, augment=transforms, prepare=transforms)

    return make


@pytest.fixture
def make_pairs():
    def make(n, captions=1, seed=0):
        """Images (n, 3, 16, 16) with black and white pixels among them, captions (n, C, LENGTH)."""
        g = torch.Generator().manual_seed(seed)
        images = torch.randint(-100, 356, (n, 3, 16, 16), generator=g).clamp(0, 255).byte()
        ids = torch.full((n, captions, LENGTH), PAD)
        ids[..., 0] = START
        for row in ids.flatten(0, 1):
            words = int(torch.randint(2, 7, (), generator=g))
            row[1 : 1 + words] = torch.randint(len(SPECIAL), VOCABULARY, (words,), generator=g)
            row[1 + words] = END
        return images, ids

    return make


@pytest.fixture
def small():
    return Protection(
        rounds=2, trigger_rounds=1, surrogate_steps=3, batch_size=4, candidates=5, noise_steps=3,
        learning_rate=1e-2,
    )  # fmt: skip


@pytest.fixture
def run(make_model, make_pairs):
    """Protect nine pairs (batches of unequal size) from given seeds."""

    def go(settings, captions=1, **more):
        images, ids = make_pairs(9, captions)
        model = make_model()
        g = torch.Generator().manual_seed(3)
        made = protect(model, images, ids, settings, generator=g, progress=False, **more)
        return made, images, model

    return go
