"""SimCLR, BYOL and Barlow Twins: losses by hand, who gets a gradient, and that they learn."""

import pytest
import torch
import torch.nn.functional as F

from mmlib import losses
from mmlib.augment.image import Compose, Resize, ResizedCrop
from mmlib.encoders.image import GlobalPool, SmallConvNet
from mmlib.methods.image_only import OBJECTIVES, ImageOnly, barlow_twins, byol


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def make(objective, views=None, **options):
    torch.manual_seed(0)
    views = views or Resize(8)
    encoder = GlobalPool(SmallConvNet(4))
    options = {"hidden": 32, "features": 16, **options}
    return ImageOnly(encoder, objective, augment=views, prepare=Resize(8), **options)


def photos(n, generator):
    return torch.randint(0, 256, (n, 3, 8, 8), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize(("weight", "given"), [(0.2, {"weight": 0.2}), (5e-3, {})])
def test_barlow_twins_is_the_sum_written_out(generator, weight, given):
    z1, z2 = (torch.randn(7, 3, generator=generator).double() for _ in range(2))
    total = 0.0
    for i in range(3):
        for j in range(3):
            a, b = z1[:, i] - z1[:, i].mean(), z2[:, j] - z2[:, j].mean()
            c = (a * b).sum() / (a.square().sum() * b.square().sum()).sqrt()
            total += (1 - c) ** 2 if i == j else weight * c**2
    assert barlow_twins(z1, z2, **given).item() == pytest.approx(total.item(), abs=1e-3)


def test_barlow_twins_knows_no_scale_or_shift_and_wants_features_to_differ(generator):
    z1, z2 = (torch.randn(50, 4, generator=generator) for _ in range(2))
    moved = z1 * torch.tensor([2.0, 5.0, 9.0, 3.0]) - 7
    torch.testing.assert_close(barlow_twins(moved, z2), barlow_twins(z1, z2), rtol=1e-3, atol=1e-4)
    same = z1[:, :1].expand(-1, 4)  # all features alike: diagonal 0, twelve ones beside it
    assert barlow_twins(same, same, weight=0.5).item() == pytest.approx(6, abs=1e-3)


def test_byol_is_the_squared_distance_on_the_sphere_and_spares_the_target(generator):
    p, t = (torch.randn(5, 6, generator=generator).requires_grad_() for _ in range(2))
    out = byol(p, t)
    by_hand = (F.normalize(p, dim=1) - F.normalize(t, dim=1)).square().sum(1).mean()
    torch.testing.assert_close(out, by_hand)
    out.backward()
    assert p.grad.abs().sum() > 0
    assert t.grad is None


def test_simclr_is_nt_xent_of_the_projected_views(generator):
    model = make("simclr").eval()
    images = photos(6, generator)
    z = model.projection(model.encoders[0](Resize(8)(images, None)))
    expected = losses.nt_xent(z, z, temperature=0.1)
    torch.testing.assert_close(model.loss([images], generator)["loss"], expected)


def test_byols_prediction_of_a_view_is_of_the_slow_copys_other_one(generator):
    crops = ResizedCrop(8, scale=(0.2, 0.6))
    model, images = make("byol", crops, momentum=1.0), photos(6, generator)  # it stays
    x1, x2 = (crops(images, again) for again in [torch.Generator().manual_seed(1)] for _ in "12")
    z1, z2 = (model.predictor(model.projection(model.encoders[0](x))) for x in (x1, x2))
    expected = byol(z1, model.slow(x2)) + byol(z2, model.slow(x1))
    found = model.loss([images], torch.Generator().manual_seed(1))["loss"]
    torch.testing.assert_close(found, expected)


def test_byols_slow_copy_follows_by_its_momentum_and_is_not_trained(generator):
    model = make("byol", momentum=0.9)
    before = [p.clone() for p in model.slow.parameters()]
    with torch.no_grad():
        for p in model.projection.parameters():
            p.add_(1.0)
    model.loss([photos(8, generator)], generator)["loss"].backward()
    online = [*model.encoders[0].parameters(), *model.projection.parameters()]
    for slow, old, fast in zip(model.slow.parameters(), before, online, strict=True):
        torch.testing.assert_close(slow, 0.9 * old + 0.1 * fast)
        assert slow.grad is None
    trained = {id(p) for p in model.parameters() if p.requires_grad}
    assert not trained & {id(p) for p in model.slow.parameters()}
    still = [p.clone() for p in model.slow.parameters()]
    model.eval().loss([photos(8, generator)], generator)
    assert all(torch.equal(a, b) for a, b in zip(still, model.slow.parameters(), strict=True))


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_learns_what_views_share(objective, generator):
    """Images of four grey levels, seen through noise: a trained encoder tells them apart better."""
    level = torch.arange(48) % 4
    images = 40 + 50 * level[:, None, None, None] + torch.zeros(48, 3, 8, 8)
    images = images.to(torch.uint8)

    def noisy(batch, g):
        x = Resize(8)(batch, None)
        return x + 0.2 * torch.randn(x.shape, generator=g)

    model = make(objective, noisy)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    history = []
    for _ in range(60):
        loss = model.loss([images], generator)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    assert sum(history[-10:]) < 0.9 * sum(history[:10])
    with torch.no_grad():
        x = model.eval().embed([images])
    x = F.normalize(x - x.mean(0), dim=1)
    own = level[:, None] == level
    assert (x @ x.T)[own].mean() > (x @ x.T)[~own].mean() + 0.5  # no collapse to one point


def test_embeds_without_chance(generator):
    views = Compose([ResizedCrop(8, scale=(0.2, 1.0), ratio=(1.0, 1.0))])
    model = make("simclr", views).eval()
    images = photos(3, generator)
    first = model.embed([images])
    assert torch.equal(first, model.combine([model.encode(0, images)]))
    assert first.shape == (3, 16)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: make("moco"), "objective is 'moco'; allowed: 'simclr', 'byol', 'barlow'"),
        (lambda: make("byol", momentum=1.5), "momentum is 1.5"),
        (lambda: barlow_twins(torch.zeros(1, 2), torch.zeros(1, 2)), "batch size is 1"),
        (lambda: barlow_twins(torch.zeros(3, 2), torch.zeros(3, 4)), "second embeddings"),
        (lambda: byol(torch.zeros(3, 2), torch.zeros(2, 2)), "targets"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
