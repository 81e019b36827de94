"""Laws of what is released are those of the mechanisms; the corrected loss is their likelihood."""

import math

import pytest
import torch
import torch.nn.functional as F
from scipy import stats

from mmlib.label_dp.accounting import agreement
from mmlib.label_dp.attacks import label_posterior
from mmlib.label_dp.exact import response_law
from mmlib.label_dp.learning import (
    class_shares,
    forward_loss,
    law_likelihood,
    shown_law,
    shown_likelihood,
)
from mmlib.label_dp.mechanisms.double_rr import double_rr
from mmlib.label_dp.mechanisms.laplace import laplace_labels, laplace_posterior
from mmlib.label_dp.mechanisms.randomized_response import randomized_response
from mmlib.label_dp.mechanisms.swap_images import swap_images

from .chances import generator


def drawn(n=40, classes=5, seed=0):
    logits = torch.randn(n, classes, generator=generator(seed), dtype=torch.float64) * 2
    return logits, torch.randint(classes, (n,), generator=generator(seed + 1))


# --- the loss -----------------------------------------------------------------------------------


def slow_loss(logits, released, law):
    """Patrini et al. 2017: cross-entropy of T^T softmax, record by record."""
    total = 0.0
    for scores, told in zip(logits.tolist(), released.tolist(), strict=True):
        chances = [math.exp(z) for z in scores]
        chances = [c / sum(chances) for c in chances]
        total -= math.log(sum(c * row[told] for c, row in zip(chances, law.tolist(), strict=True)))
    return total / len(released)


def test_loss_is_cross_entropy_of_the_law_times_the_models_chances():
    logits, released = drawn()
    law = torch.rand(5, 5, generator=generator(2), dtype=torch.float64)  # not symmetric
    law = law / law.sum(1, keepdim=True)
    ours = forward_loss(logits, law_likelihood(released, law)).item()
    assert ours == pytest.approx(slow_loss(logits, released, law), rel=1e-12)
    assert ours != pytest.approx(slow_loss(logits, released, law.T / law.sum(0)[:, None]), rel=1e-2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_without_noise_it_is_plain_cross_entropy_and_so_is_its_gradient(dtype):
    logits, released = drawn()
    logits = logits.to(dtype).requires_grad_()
    ours = forward_loss(logits, law_likelihood(released, response_law(0.0, 5)))
    plain = F.cross_entropy(logits, released)
    torch.testing.assert_close(ours, plain)
    torch.testing.assert_close(
        torch.autograd.grad(ours, logits)[0], torch.autograd.grad(plain, logits)[0]
    )


def test_coarse_logits_are_summed_in_single_precision():
    logits, released = drawn()
    told = law_likelihood(released, response_law(0.6, 5))
    coarse = logits.bfloat16()
    ours = forward_loss(coarse, told)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, forward_loss(coarse.float(), told))


def test_a_factor_of_a_records_likelihood_moves_no_gradient():
    logits, released = drawn()
    told = law_likelihood(released, response_law(0.6, 5))
    factors = torch.rand(40, 1, generator=generator(5), dtype=torch.float64) + 0.1
    free = logits.requires_grad_()
    one, other = (
        torch.autograd.grad(forward_loss(free, t), free)[0] for t in (told, factors * told)
    )
    torch.testing.assert_close(one, other)


def test_gradient_is_that_of_finite_differences():
    logits, released = drawn(n=4)
    told = law_likelihood(released, response_law(0.7, 5))
    assert torch.autograd.gradcheck(lambda z: forward_loss(z, told), logits.requires_grad_())


def test_its_step_is_one_to_the_posterior_with_the_models_own_prior():
    """ALIBI's target at each step, and Bayes' rule for a response, by other code of ours."""
    logits, released = drawn()
    free, chances = logits.clone().requires_grad_(), logits.softmax(1)
    noisy = laplace_labels(released, 5, 2.0, generator=generator(3))
    near = (chances.log() - (noisy[:, None] - torch.eye(5)).abs().sum(2)).softmax(1)  # scale 1
    for told, target in (
        (laplace_posterior(noisy, 2.0), near),
        (
            law_likelihood(released, response_law(0.6, 5)),
            label_posterior(released, 0.6, chances),
        ),
    ):
        (ours,) = torch.autograd.grad(forward_loss(free, told), free)
        (soft,) = torch.autograd.grad(F.cross_entropy(free, target), free)
        torch.testing.assert_close(ours, soft)
        torch.testing.assert_close(ours, (chances - target) / len(logits))


# --- laws ---------------------------------------------------------------------------------------


def slow_shown_counts(labels, noise_label, noise_image, n_classes):
    """Expected records (K, K) by class of the shown image and released label: every coin, by hand.

    Pools are the records themselves, the own one left out.
    """
    sizes = [labels.count(c) for c in range(n_classes)]
    counts = torch.zeros(n_classes, n_classes, dtype=torch.float64)
    for i, y in enumerate(labels):
        shown = torch.zeros(n_classes, dtype=torch.float64)
        shown[y] += 1 - noise_image
        for c in range(n_classes):
            for j, other in enumerate(labels):
                if other == c and j != i:
                    shown[c] += noise_image / n_classes / (sizes[c] - (y == c))
        for answer in range(n_classes):
            chance = noise_label / n_classes + (1 - noise_label) * (answer == y)
            counts[:, answer] += shown * chance
    return counts


@pytest.mark.parametrize(("noise_label", "noise_image"), [(0.5, 0.5), (0.3, 0.8), (0.0, 0.6)])
def test_law_given_the_shown_image_is_that_of_enumeration(noise_label, noise_image):
    labels = [0] * 9 + [1] * 4 + [2] * 2
    counts = slow_shown_counts(labels, noise_label, noise_image, 3)
    shares = torch.tensor([9.0, 4.0, 2.0], dtype=torch.float64) / 15
    law = shown_law(noise_label, noise_image, shares)
    torch.testing.assert_close(law, counts / counts.sum(1, keepdim=True))


def test_law_of_every_single_image_is_that_of_its_class():
    """Even to who recognises the shown image, as long as classes alone tell what it means."""
    labels = [0] * 5 + [1] * 3
    label_of = torch.tensor(labels)
    counts = torch.zeros(8, 2, dtype=torch.float64)
    for i, y in enumerate(labels):
        for s, c in enumerate(labels):
            others = labels.count(c) - (y == c)
            chance = 0.4 * (s == i) + (0.6 / 2 / others if s != i else 0.0)
            for answer in range(2):
                counts[s, answer] += chance * (0.35 + 0.3 * (answer == y))
    law = shown_law(0.7, 0.6, label_of.bincount().double() / 8)
    torch.testing.assert_close(counts / counts.sum(1, keepdim=True), law[label_of])


def test_law_given_the_shown_image_is_that_of_simulation():
    labels = torch.multinomial(
        torch.tensor([0.5, 0.3, 0.15, 0.05]), 200_000, replacement=True, generator=generator()
    )
    released, source = double_rr(labels, 0.5, 4, generator=generator(1))
    law = shown_law(0.5, 0.5, labels.bincount() / len(labels))
    for c in range(4):
        counts = released[labels[source] == c].bincount(minlength=4)
        expected = (law[c] * counts.sum()).numpy()
        assert stats.chisquare(counts.numpy(), expected).pvalue > 1e-4
        # and not the law of one response, nor the one that forgets unequal shares
        for wrong in (response_law(0.5, 4), response_law(0.75, 4)):
            assert stats.chisquare(counts.numpy(), (wrong[c] * counts.sum()).numpy()).pvalue < 1e-4


@pytest.mark.parametrize("noise", [0.0, 0.3, 0.659878, 0.962372])
def test_with_equal_shares_two_coins_are_one(noise):
    law = shown_law(noise, noise, torch.full((286,), 1 / 286, dtype=torch.float64))
    torch.testing.assert_close(law, response_law(1 - (1 - noise) ** 2, 286))
    assert law.diagonal().mean().item() == pytest.approx(agreement(noise, 286))


def test_limits_of_the_shown_law():
    shares = torch.tensor([0.6, 0.4, 0.0], dtype=torch.float64)
    torch.testing.assert_close(shown_law(0.4, 0.0, shares), response_law(0.4, 3))
    anybody = shown_law(0.4, 1.0, shares)
    torch.testing.assert_close(anybody, (shares @ response_law(0.4, 3)).expand(3, 3))
    law = shown_law(0.2, 0.5, shares)  # of class 2 no record is its own, all are anybody
    torch.testing.assert_close(law[2], shares @ response_law(0.2, 3))


def test_likelihoods_beside_a_shown_image_are_right_in_as_many_records_as_they_say():
    shares = torch.tensor([0.5, 0.3, 0.2])
    labels = shares.multinomial(60_000, replacement=True, generator=generator())
    released = randomized_response(labels, 0.4, 3, generator=generator(1))
    source = swap_images(labels, 0.6, 3, generator=generator(2))
    told = shown_likelihood(released, 0.4, 0.6, 3)
    shown = labels[source]
    for c in range(3):
        for y in range(3):
            seen = (released[shown == c] == y).double().mean().item()
            assert told[released == y][0, c].item() == pytest.approx(seen, abs=0.02)


# --- shares -------------------------------------------------------------------------------------


def test_shares_are_the_histogram_without_noise_and_equal_without_signal():
    labels = torch.tensor([0, 0, 0, 2])
    assert class_shares(labels, 0.0, 3).tolist() == pytest.approx([0.75, 0.0, 0.25])
    assert class_shares(labels, 1.0, 3).tolist() == pytest.approx([1 / 3] * 3)
    assert class_shares(torch.arange(300) % 3, 0.5, 3).tolist() == pytest.approx([1 / 3] * 3)


def test_shares_by_hand():
    """60 and 40 of 100: scatter 0.02, of which coins of 3/4 and 1/4 make 0.00375."""
    released = torch.tensor([0] * 60 + [1] * 40)
    shares = class_shares(released, 0.5, 2).tolist()
    assert shares == pytest.approx([0.5 + (1 - 0.00375 / 0.02) * 0.1 / 0.5, 0.3375])


def test_shares_come_back_from_many_labels_and_beat_the_plain_inverse_on_few():
    truth = torch.linspace(1, 3, 50, dtype=torch.float64)
    truth /= truth.sum()
    noise, errors = 0.9, {"ours": 0.0, "inverse": 0.0, "equal": 0.0}
    for seed, n in [(0, 4_000_000), *((seed, 20_000) for seed in range(1, 9))]:
        labels = torch.multinomial(truth, n, replacement=True, generator=generator(seed))
        released = randomized_response(labels, noise, 50, generator=generator(100 + seed))
        ours = class_shares(released, noise, 50)
        if seed == 0:
            torch.testing.assert_close(ours, truth, atol=2e-3, rtol=0)
            continue
        inverse = (released.bincount(minlength=50) / n - noise / 50) / (1 - noise)
        equal = torch.full_like(truth, 1 / 50)
        for name, found in (("ours", ours), ("inverse", inverse), ("equal", equal)):
            errors[name] += (found - truth).square().sum().item()
        assert ours.sum().item() == pytest.approx(1)
        assert ours.min() >= 0
    assert errors["ours"] < 0.5 * errors["inverse"]
    assert errors["ours"] < errors["equal"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: law_likelihood(torch.tensor([0]), response_law(1.0, 3)),
            "law has the same row for every class",
        ),
        (
            lambda: law_likelihood(
                torch.tensor([0]), shown_law(0.5, 1.0, torch.tensor([0.7, 0.3]))
            ),
            "law has the same row for every class",
        ),
        (
            lambda: law_likelihood(
                torch.tensor([0]), shown_law(1.0, 0.5, torch.tensor([0.7, 0.3]))
            ),
            "law has the same row for every class",
        ),
        (
            lambda: law_likelihood(torch.tensor([0]), 2 * torch.eye(2)),
            r"distance of law's row sums from 1 is 1.0",
        ),
        (lambda: law_likelihood(torch.tensor([3, 0]), torch.eye(3)), "largest label is 3"),
        (lambda: shown_law(0.5, 1.5, torch.ones(2) / 2), "noise_image is 1.5"),
        (lambda: shown_law(0.5, 0.5, torch.ones(2)), "distance of the shares' sum from 1"),
        (
            lambda: forward_loss(torch.zeros(2, 3), torch.ones(2, 2)),
            r"likelihood has shape \(2, 2\); expected \(N=2, K=3\)",
        ),
        (lambda: class_shares(torch.empty(0, dtype=torch.long), 0.5, 3), "number of labels is 0"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
