"""Attackers against enumeration, and what a table in place tells."""

import pytest
import torch

from mmlib.label_dp.accounting import noise_for
from mmlib.label_dp.attacks import label_posterior, recognised, table_posterior
from mmlib.label_dp.exact import double_rr_law, response_law
from mmlib.label_dp.mechanisms.randomized_response import randomized_response

from .chances import generator


@pytest.mark.parametrize("noise", [0.2, 0.9])
def test_posterior_is_bayes_rule_over_the_enumerated_law(noise):
    images = torch.rand(3, 5, generator=generator(), dtype=torch.float64)
    images /= images.sum(1, keepdim=True)
    prior = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    law = double_rr_law(images, noise)
    expected = (prior[:, None, None] * law).permute(1, 2, 0).flatten(0, 1)
    expected /= expected.sum(1, keepdim=True)
    label, image = torch.cartesian_prod(torch.arange(3), torch.arange(5)).unbind(1)
    found = label_posterior(label, noise, prior, shown=7 * images.T[image], noise_image=noise)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    alone = label_posterior(torch.arange(3), noise, prior)
    expected = (prior[:, None] * response_law(noise, 3)).T
    torch.testing.assert_close(alone, expected / expected.sum(1, keepdim=True))
    assert torch.allclose(label_posterior(torch.arange(3), 1.0, prior), prior.expand(3, 3))


def test_a_prior_is_of_these_records():
    with pytest.raises(ValueError, match=r"prior has shape \(3, 2\); expected \(N=4, K\)"):
        label_posterior(torch.tensor([0, 1, 1, 0]), 0.5, torch.ones(3, 2) / 2)


def test_a_table_in_place_is_read_like_a_label():
    g = generator()
    labels = torch.randint(3, (600,), generator=g)
    table = torch.randn(600, 3, generator=g) + 3 * torch.eye(3)[labels]
    found = table_posterior(table[:400], labels[:400], table[400:], 3, seed=0)
    assert torch.allclose(found.sum(1), torch.ones(200, dtype=torch.float64))
    assert (found.argmax(1) == labels[400:]).double().mean() > 0.9
    # with the released label as well it can only become better, in expectation
    noise = noise_for(2.0, 3)
    released = randomized_response(labels[400:], noise, 3, generator=g)
    both = label_posterior(released, noise, found.clamp(min=1e-6)).argmax(1)
    assert (both == labels[400:]).sum() >= (found.argmax(1) == labels[400:]).sum()


def test_a_table_of_many_rare_classes_is_read_and_codes_have_no_order():
    """150 classes of some ten known rows each, told by one number; then classes told by a code."""
    g = generator()
    labels = torch.randint(150, (3_000,), generator=g)
    table = labels[:, None] + 0.01 * torch.randn(3_000, 1, generator=g)
    found = table_posterior(table[:1_500], labels[:1_500], table[1_500:], 150, seed=0)
    assert (found.argmax(1) == labels[1_500:]).double().mean() > 0.6
    codes = torch.randint(60, (3_000, 1), generator=g)
    sides = torch.randint(2, (60,), generator=g)[codes[:, 0]]
    share = {
        columns: (
            table_posterior(
                codes[:1_500], sides[:1_500], codes[1_500:], 2, categorical=columns, seed=0
            ).argmax(1)
            == sides[1_500:]
        )
        .double()
        .mean()
        for columns in ((), (0,))
    }
    assert share[0,] > max(0.97, share[()] + 0.03)


def test_own_images_are_recognised():
    images = torch.arange(40).reshape(10, 1, 2, 2)
    source = torch.tensor([0, 3, 2, 2, 4, 9, 6, 7, 7, 9])
    assert recognised(images[source], images).tolist() == (source == torch.arange(10)).tolist()
    with pytest.raises(ValueError, match="shown has shape"):
        recognised(images, images[:3])
