import math

import pytest
import torch
from torch import nn

from mmlib import losses
from mmlib.encoders.image import GlobalPool, SmallConvNet
from mmlib.encoders.text import TextTransformer
from mmlib.methods.clip import DualEncoder


def as_is(x, generator):
    return x


def noisy(x, generator):
    return x + 0.1 * torch.randn(x.shape, generator=generator)


def make(**arguments):
    torch.manual_seed(0)
    arguments = {"augment": [as_is, as_is], "prepare": [as_is, as_is]} | arguments
    return DualEncoder(
        [nn.Linear(3, 6), nn.Linear(4, 5)],
        [nn.Linear(6, 8, bias=False), nn.Linear(5, 8, bias=False)],
        **arguments,
    )


def batch(n=6):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(n, 3, generator=generator), torch.randn(n, 4, generator=generator)


def seeded():
    return torch.Generator().manual_seed(2)


def test_loss_is_clips_on_projected_views():
    model = make(augment=[noisy, noisy])
    generator = seeded()
    z1, z2 = model.project([noisy(x, generator) for x in batch()])
    expected = losses.clip(z1, z2, scale=1 / 0.07)
    parts = model.loss(batch(), seeded())
    torch.testing.assert_close(parts["loss"], expected)
    assert parts["match"] == losses.match_accuracy(z1, z2)


def test_learned_scale_is_brought_back_to_its_bounds_and_can_leave_them_again():
    model = make()
    assert model.scale.item() == pytest.approx(1 / 0.07)
    for wrong, bound in ((9.0, math.log(100)), (-3.0, 0.0)):
        nn.init.constant_(model.log_scale, wrong)
        parts = model.loss(batch(), seeded())
        assert model.log_scale.item() == pytest.approx(bound)
        assert parts["scale"].item() == pytest.approx(math.exp(bound), rel=1e-5)
        parts["loss"].backward()
        assert model.log_scale.grad != 0  # not stuck at the bound
        model.zero_grad()


def test_fixed_temperature_stays():
    model = make(temperature=0.1, learn_temperature=False)
    model.loss(batch(), seeded())["loss"].backward()
    assert model.log_scale.grad is None
    assert model.scale.item() == pytest.approx(10)


def test_embedding_is_both_projected_vectors_without_chance():
    model = make(augment=[noisy, noisy])
    z1, z2 = model.project(batch())
    assert torch.equal(model.embed(batch()), torch.cat([z1, z2], dim=1))


def test_image_and_text_in_bfloat16_reach_every_parameter():
    torch.manual_seed(0)
    model = DualEncoder(
        [GlobalPool(SmallConvNet(8)), TextTransformer(20, 16, 2, 4, 9, out_features=16)],
        [nn.Linear(32, 16, bias=False), nn.Identity()],
        augment=[as_is, as_is],
        prepare=[as_is, as_is],
    )
    words = torch.randint(5, 20, (6, 7), generator=seeded())
    words[:, 0], words[:, -1] = 1, 2
    x = (torch.rand(6, 3, 16, 16, generator=seeded()), words)
    exact = model.loss(x, seeded())["loss"]
    exact.backward()
    assert all(p.grad.any() for p in model.parameters() if p.ndim > 1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = model.loss(x, seeded())["loss"]
    torch.testing.assert_close(rough, exact, atol=0, rtol=0.05)


def test_errors():
    with pytest.raises(ValueError, match=r"temperature is 2; allowed: \[0.01, 1\]"):
        make(temperature=2)
    with pytest.raises(ValueError, match="prepare has 1 entries for 2 modalities"):
        make(prepare=[as_is])
