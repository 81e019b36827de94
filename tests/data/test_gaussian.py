"""The Gaussian worlds have the mutual information they say, by quadrature, sampling and algebra."""

import math

import pytest
import torch
from scipy import stats

from mmlib.data.gaussian import CorrelatedGaussians, SharedPrivate, gaussian_information


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def information(x, y):
    """Mutual information of jointly Gaussian samples, from the determinants of their covariance."""
    whole = torch.cat([x, y], dim=1).double()
    blocks = (
        torch.logdet(torch.atleast_2d(torch.cov(t.mT))) for t in (x.double(), y.double(), whole)
    )
    first, second, both = (block.item() for block in blocks)
    return (first + second - both) / 2


def unmix(world, x, modality):
    """Content and style from what is observed: the way through the maps, backwards."""
    generator = torch.Generator().manual_seed(2 * world.mixing_seed + modality)
    rotations = [
        torch.linalg.qr(torch.randn(world.width, world.width, generator=generator))[0]
        for _ in range(2)
    ]
    x = x.double()
    for rotation in reversed(rotations):
        x = torch.where(x < 0, 5 * x, x) @ rotation.double().mT
    return x


@pytest.fixture(scope="module")
def world():
    return SharedPrivate(2, 3, 4, agreement=0.8, echo=0.6, mixing_seed=5)


@pytest.fixture(scope="module")
def records(world):
    return world.sample(100_000, generator=seeded(1))


def test_critic_is_the_log_density_ratio():
    pair = CorrelatedGaussians(2, 0.7)
    x, y = (t.double() for t in pair.sample(5, generator=seeded()))
    joint = stats.multivariate_normal(cov=[[1, 0.7], [0.7, 1]])
    for i, row in enumerate(pair.critic(x, y)):
        for j, value in enumerate(row):
            points = torch.stack([x[i], y[j]], dim=1).numpy()
            ratio = joint.logpdf(points) - stats.norm.logpdf(points).sum(axis=1)
            assert value.item() == pytest.approx(ratio.sum(), abs=1e-10)


@pytest.mark.parametrize("correlation", [-0.9, 0.3, 0.8])
def test_information_is_the_mean_of_the_critic(correlation):
    pair = CorrelatedGaussians(1, correlation)
    grid = torch.linspace(-7, 7, 141, dtype=torch.float64)  # smooth, and vanishes at the ends
    density = stats.multivariate_normal(cov=[[1, correlation], [correlation, 1]])
    joint = torch.as_tensor(density.pdf(torch.cartesian_prod(grid, grid).numpy())).view(141, 141)
    mean = (joint * pair.critic(grid[:, None], grid[:, None])).sum().item() * 0.1**2
    assert pair.mutual_information == pytest.approx(mean, abs=1e-6)


def test_pairs_have_the_information_that_was_asked_for():
    for nats, coordinates in ((0.0, 2), (0.5, 1), (6.0, 4)):
        pair = CorrelatedGaussians.with_information(nats, coordinates=coordinates)
        assert pair.mutual_information == pytest.approx(nats, abs=1e-12)
        x, y = pair.sample(200_000, generator=seeded(2))
        assert x.shape == y.shape == (200_000, coordinates)
        assert information(x, y) == pytest.approx(nats, abs=0.02)
        assert x.std().item() == pytest.approx(1, abs=0.01)
        assert y.std().item() == pytest.approx(1, abs=0.01)


def test_what_modalities_share_is_what_causes_it(world, records):
    s, first, second = records.shared, *records.content
    cross = torch.corrcoef(torch.cat([s, first, second], dim=1).mT)
    expected = torch.eye(12)
    for k in range(2):
        expected[k, 2 + k] = expected[k, 7 + k] = math.sqrt(0.8)
        expected[2 + k, 7 + k] = 0.8
    expected = expected.triu() + expected.triu(1).mT
    torch.testing.assert_close(cross, expected, atol=0.015, rtol=0)


def test_information_of_modalities_and_views_is_exact(world, records):
    """Seen through the inverse maps, observations are Gaussian and their information is known."""
    a, b = (unmix(world, x, m) for m, x in enumerate(records.observed))
    assert information(a, b) == pytest.approx(world.information_across, abs=0.01)
    generator = seeded(3)
    view, other = (
        unmix(world, world.view(records.content[0], 0, generator=generator), 0) for _ in range(2)
    )
    across = unmix(world, world.view(records.content[1], 1, generator=generator), 1)
    assert information(view, other) == pytest.approx(world.information_within_views, abs=0.01)
    assert information(view, across) == pytest.approx(world.information_across_views, abs=0.01)
    assert world.information_across == gaussian_information(2, 0.8)
    assert world.information_across_views == gaussian_information(2, 0.8 * 0.6)
    assert world.information_within_views == gaussian_information(5, 0.6)


def test_maps_lose_nothing_are_fixed_and_differ(world, records):
    latents = [
        torch.cat(parts, dim=1) for parts in zip(records.content, records.style, strict=True)
    ]
    for m, (latent, observed) in enumerate(zip(latents, records.observed, strict=True)):
        torch.testing.assert_close(unmix(world, observed, m).float(), latent, atol=1e-4, rtol=0)
        again = world.mix(records.content[m], records.style[m], m)
        assert torch.equal(again, observed)
    content, style = records.content[0][:10], records.style[0][:10]
    maps = [world.mix(content, style, m) for m in (0, 1)]
    other = SharedPrivate(2, 3, 4, agreement=0.8, echo=0.6, mixing_seed=6)
    maps.append(other.mix(content, style, 0))
    assert all((maps[i] - maps[j]).abs().max() > 0.5 for i, j in ((0, 1), (0, 2), (1, 2)))


def test_views_keep_content_by_echo_and_draw_style_anew(world, records):
    generator = seeded(4)
    content = records.content[1]
    seen = unmix(world, world.view(content, 1, generator=generator), 1).float()
    together = torch.corrcoef(torch.cat([content, records.style[1], seen], dim=1).mT)[:9, 9:]
    expected = torch.diag(torch.tensor([math.sqrt(0.6)] * 5 + [0.0] * 4))
    torch.testing.assert_close(together, expected, atol=0.015, rtol=0)


def test_same_generator_same_records(world):
    one, two, other = (world.sample(5, generator=seeded(s)) for s in (0, 0, 1))
    assert torch.equal(one.observed[1], two.observed[1])
    assert not torch.equal(one.observed[1], other.observed[1])
    assert len(one) == 5


def test_wrong_arguments_name_the_right_ones(world):
    with pytest.raises(ValueError, match="coordinates is 0"):
        CorrelatedGaussians(0, 0.5)
    with pytest.raises(ValueError, match=r"correlation is 1.0; allowed: \(-1, 1\)"):
        CorrelatedGaussians(2, 1.0)
    with pytest.raises(ValueError, match="nats is -1"):
        CorrelatedGaussians.with_information(-1, coordinates=2)
    with pytest.raises(ValueError, match="x has shape"):
        CorrelatedGaussians(2, 0.5).critic(torch.ones(3, 1), torch.ones(3, 2))
    with pytest.raises(ValueError, match="style is 0"):
        SharedPrivate(1, 1, 0, agreement=0.5, echo=0.5, mixing_seed=0)
    with pytest.raises(ValueError, match="echo is 1"):
        SharedPrivate(1, 1, 1, agreement=0.5, echo=1.0, mixing_seed=0)
    with pytest.raises(ValueError, match="modality is 2; allowed: 0, 1"):
        world.mix(torch.ones(2, 5), torch.ones(2, 4), 2)
    with pytest.raises(ValueError, match="content has shape"):
        world.view(torch.ones(2, 4), 0, generator=seeded())
