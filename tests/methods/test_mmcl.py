"""The method is the sheet's: sizes, loss, views; and it learns which row belongs to which image."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmlib.augment.image import (
    ColorJitter,
    Flip,
    GaussianBlur,
    Grayscale,
    Resize,
    ResizedCrop,
    Rotation,
    ToFloat,
)
from mmlib.augment.table import Corrupt
from mmlib.data.table import TableSchema
from mmlib.encoders.image import ResNetTrunk, SmallConvNet
from mmlib.methods.mmcl import Sometimes, dvm_views, mmcl, printed_views

SCHEMA = TableSchema(2, (3,))


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def make(size=16, views=None, schema=SCHEMA):
    torch.manual_seed(0)
    marginals = torch.zeros(4, schema.n_columns)
    return mmcl(SmallConvNet(4), schema, marginals, views=views or Resize(size), size=size)


def pairs(n, generator):
    images = torch.randint(0, 256, (n, 3, 12, 12), generator=generator, dtype=torch.uint8)
    table = torch.randn(n, 3, generator=generator)
    table[:, 2] = torch.randint(3, (n,), generator=generator)
    return images, table


def test_sizes_of_the_papers_model():
    """ResNet-50, 17 columns that one-hot coding makes 63, both 2048 wide, projections of 128."""
    schema = TableSchema(13, (22, 13, 3, 12))
    model = mmcl(ResNetTrunk(50), schema, torch.zeros(5, 17), views=Resize(128), size=128)
    image, table = (sum(p.numel() for p in part.parameters()) for part in model.encoders)
    assert image == 25_557_032 - (2048 * 1000 + 1000)  # torchvision's count without classifier
    assert table == (63 * 2048 + 2048) + 2 * 2048 + (2048 * 2048 + 2048)
    for projection in model.projections:
        assert [type(layer) for layer in projection] == [nn.Linear, nn.ReLU, nn.Linear]
        assert (projection[0].in_features, projection[0].out_features) == (2048, 2048)
        assert (projection[2].in_features, projection[2].out_features) == (2048, 128)
    (corrupt,) = (t for t in model.augment if isinstance(t, Corrupt))
    assert int(corrupt.rate * 17) == 5
    assert model.augment[0].p == 0.95


def test_loss_is_the_mean_of_both_directions_at_a_fixed_temperature(generator):
    """Without chance in the views (all rows alike, images only resized), by hand."""
    model = make().eval()
    images, _ = pairs(6, generator)
    table = torch.zeros(6, 3)
    out = model.loss((images, table), generator)
    x = F.interpolate(images / 255, size=(16, 16), mode="bilinear", antialias=True)
    u = F.normalize(model.projections[0](model.encoders[0](x)), dim=1)
    v = F.normalize(model.projections[1](model.encoders[1](table)), dim=1)
    logits, diagonal = u @ v.T / 0.1, torch.arange(6)
    both = (F.cross_entropy(logits, diagonal) + F.cross_entropy(logits.T, diagonal)) / 2
    torch.testing.assert_close(out["loss"], both)
    assert out["scale"].item() == pytest.approx(10)
    assert not any(p is model.log_scale for p in model.parameters() if p.requires_grad)


def test_learns_to_match_and_embeds_without_chance(generator):
    """Rows that tell their image's grey level: matching goes from chance to nearly all."""
    grey = torch.linspace(0, 1, 16)
    images = (grey[:, None, None, None] * 255).to(torch.uint8).expand(-1, 3, 8, 8)
    table = torch.stack([grey, grey.square(), torch.zeros(16)], dim=1)
    schema = TableSchema(2, (1,))
    torch.manual_seed(0)
    model = mmcl(SmallConvNet(4), schema, table, views=Resize(8), size=8)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    history = []
    for _ in range(150):
        parts = model.loss((images, table), generator)
        optimizer.zero_grad()
        parts["loss"].backward()
        optimizer.step()
        history.append(parts["match"].item())
    assert sum(history[:10]) / 10 < 60
    assert sum(history[-10:]) / 10 > 90
    model.eval()
    with torch.no_grad():
        assert torch.equal(model.embed((images, table)), model.embed((images, table)))


def test_sometimes_takes_each_sample_with_its_probability(generator):
    sometimes = Sometimes(lambda x, g: x + 1, lambda x, g: x, p=0.95)
    out = sometimes(torch.zeros(20000, 2), generator)
    assert torch.equal(out[:, 0], out[:, 1])  # a sample is taken whole
    assert abs(out.mean().item() - 0.95) < 4 * (0.95 * 0.05 / 20000) ** 0.5
    with pytest.raises(ValueError, match="p is 2"):
        Sometimes(ToFloat(), ToFloat(), p=2)


def test_views_of_the_released_recipe(generator):
    images, _ = pairs(64, generator)
    out = dvm_views(24)(images.repeat_interleave(2, 2).repeat_interleave(2, 3), generator)
    assert out.shape == (64, 3, 24, 24)
    assert out.dtype == torch.float32
    assert 0 <= out.min() <= out.max() <= 1
    grey = (out - out.mean(1, keepdim=True)).abs().amax(dim=(1, 2, 3)) < 1e-3
    assert 0 < grey.sum() < 30  # a fifth, give or take
    assert dvm_views(300).transforms == [
        ColorJitter(brightness=0.8, contrast=0.8, saturation=0.8, hue=0.0, p=0.8), Grayscale(p=0.2),
        GaussianBlur(29, sigma=(0.1, 2.0), p=0.5),
        ResizedCrop(300, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3)), Flip(p=0.5),
    ]  # fmt: skip


def test_the_released_blur_is_a_share_of_the_photo():
    """Where it is left out it would change no grey level."""
    kinds = {size: [type(t) for t in dvm_views(size).transforms] for size in (37, 38)}
    assert GaussianBlur in kinds[38]
    assert GaussianBlur not in kinds[37]
    least = next(t for t in dvm_views(38).transforms if isinstance(t, GaussianBlur))
    line = torch.zeros(8, 3, 38, 38)
    line[..., 16] = 1
    blurred = replace(least, sigma=least.sigma[1:] * 2, p=1.0)(line, torch.Generator())
    assert 1e-6 < (blurred - line).abs().max() < 1 / 255


def test_views_of_the_printed_recipe(generator):
    images, _ = pairs(64, generator)
    images = images.repeat_interleave(2, 2).repeat_interleave(2, 3)
    out = printed_views(24)(images, generator)
    assert out.shape == (64, 3, 24, 24)
    assert 0 <= out.min() <= out.max() <= 1
    white = torch.full_like(images, 255)
    corners = printed_views(24, scale=(1.0, 1.0))(white, generator)[:, 0, 0, 0]
    assert 0.2 < (corners < 0.05).float().mean() < 0.6  # turns bring black into the corner
    assert (dvm_views(24, scale=(1.0, 1.0))(white, generator)[:, 0, 0, 0] > 0.1).all()
    assert printed_views(24).transforms == [
        Flip(p=0.5), Rotation(degrees=45, p=0.5),
        ColorJitter(brightness=0.5, contrast=0.5, p=0.5),  # no saturation, no hue
        ResizedCrop(24, scale=(0.2, 1.0), p=0.5),
    ]  # fmt: skip
