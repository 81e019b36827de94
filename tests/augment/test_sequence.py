"""Noise and drop change the stated share of samples, each by its own amount."""

import pytest
import torch
from scipy import stats

from mmlib.augment.sequence import Chain, Drop, Noise


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def changed(out, batch):
    return (out != batch).flatten(1).any(1)


def test_what_is_not_given_is_the_released_codes():
    assert (Noise().sd, Noise().p, Drop().p) == (0.1, 0.5, 0.5)


@pytest.mark.parametrize("transform", [Noise(0.3, 0.25), Drop(0.25)])
def test_each_sample_is_changed_with_probability_p(transform, generator):
    batch = torch.ones(8000, 40, 2)
    # A drop of less than a fortieth is none: that takes 1/32 off the share.
    p = 0.25 * (1 - 1 / 32) if isinstance(transform, Drop) else 0.25
    share = changed(transform(batch, generator), batch).double().mean()
    assert abs(share - p) < 4 * (p * (1 - p) / len(batch)) ** 0.5


def test_noise_is_normal_independent_and_of_its_sd(generator):
    noise = Noise(sd=0.1, p=1.0)(torch.zeros(500, 10, 4), generator)
    assert noise.std().item() == pytest.approx(0.1, rel=0.02)
    assert stats.kstest(noise.flatten().numpy() / 0.1, "norm").pvalue > 1e-3
    correlation = torch.corrcoef(noise.flatten(1).T) - torch.eye(40)
    assert correlation.abs().max() < 0.25


def test_drop_zeroes_whole_steps_a_uniform_share_of_them(generator):
    t = 200
    out = Drop(p=1.0)(torch.ones(4000, t, 3), generator)
    dropped = out[:, :, 0] == 0
    assert torch.equal(out, (~dropped)[:, :, None].float().expand_as(out))
    share = dropped.double().mean(1)
    assert share.max() < 0.8
    jitter = torch.rand(share.shape, generator=generator, dtype=torch.float64) / t  # undo rounding
    assert stats.kstest((share + jitter).numpy(), "uniform", args=(0, 0.8)).pvalue > 1e-3
    per_step = dropped.double().mean(0)  # every step equally often
    assert (per_step - per_step.mean()).abs().max() < 4 * (0.4 * 0.6 / len(out)) ** 0.5


def test_drop_of_a_vector_zeroes_entries(generator):
    out = Drop(p=1.0)(torch.ones(3000, 50), generator)
    assert out.mean().item() == pytest.approx(0.6 + 0.5 / 50, abs=0.02)
    assert set(out.unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("transform", [Noise(0.1, 0.0), Noise(0.0, 1.0), Drop(0.0)])
def test_limits_change_nothing(transform, generator):
    batch = torch.randn(50, 6, 3, generator=generator)
    assert torch.equal(transform(batch, generator), batch)


@pytest.mark.parametrize("transform", [Noise(0.3, 0.5), Drop(0.5)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_input_and_dtype_stay_and_the_generator_decides(transform, dtype, generator):
    batch = torch.ones(20, 30, 2, dtype=dtype)
    first = transform(batch, generator)
    assert (batch == 1).all()
    assert first.dtype == dtype
    assert torch.equal(first, transform(batch, torch.Generator().manual_seed(0)))
    assert not torch.equal(first, transform(batch, generator))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Noise(sd=-0.1), "sd is -0.1"),
        (lambda: Noise(p=1.5), "p is 1.5"),
        (lambda: Drop(p=-1.0), "p is -1.0"),
    ],
)
def test_bad_input_names_what_is_wrong(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_chain_drops_first_and_adds_noise_to_what_was_dropped(generator):
    batch = torch.ones(50, 20)
    seen = Chain([Drop(p=1.0), Noise(0.1, 1.0)])(batch, generator)
    again = torch.Generator().manual_seed(0)
    dropped = Drop(p=1.0)(batch, again)
    assert torch.equal(seen, Noise(0.1, 1.0)(dropped, again))
    assert (seen[dropped == 0] != 0).all()
