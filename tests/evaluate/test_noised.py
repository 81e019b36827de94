"""A probe of likelihoods: the plain probe without noise, at a stationary point with it."""

import pytest
import torch

from mmlib.evaluate import _logistic as module
from mmlib.evaluate.noised import noised_probe
from mmlib.evaluate.probe import logistic_path
from mmlib.label_dp.exact import response_law
from mmlib.label_dp.learning import forward_loss, law_likelihood
from mmlib.label_dp.mechanisms.randomized_response import randomized_response

CLASSES = 4


def blobs(n=800, seed=0, spread=1.0):
    g = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (n,), generator=g)
    centers = 2 * torch.randn(CLASSES, 6, generator=torch.Generator().manual_seed(99))
    x = centers[labels] + spread * torch.randn(n, 6, generator=g)
    return x.double() * torch.logspace(-1, 1, 6) + 3.0, labels


def told_of(labels, noise, seed=1):
    g = torch.Generator().manual_seed(seed)
    released = randomized_response(labels, noise, CLASSES, generator=g)
    return released, law_likelihood(released, response_law(noise, CLASSES))


@pytest.mark.parametrize("classes", [2, 4])
def test_one_hot_likelihoods_give_the_fit_of_class_numbers(classes):
    x, labels = blobs(n=300)
    labels = labels % classes
    (plain,) = logistic_path(x, labels, [0.1], standardize=True, tolerance=1e-7)
    one_hot = torch.eye(classes, dtype=torch.float64)[labels]
    # Of two classes plain regression fits one column; two share it, for half the squared norm.
    strength = 0.1 if classes > 2 else 0.05
    (told,) = logistic_path(x, 7 * one_hot, [strength], standardize=True, tolerance=1e-7)
    ours, theirs = (c.logits(x).log_softmax(1) for c in (told, plain))
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_values_and_gradients_are_those_of_the_loss(monkeypatch):
    x, labels = blobs(n=50)
    x = x - x.mean(0)
    _, told = told_of(labels, 0.6)
    problems = module.Problems(x, told, CLASSES, "l2")
    positions = torch.randn(3, 7, CLASSES, dtype=torch.float64, generator=torch.Generator())
    forces = torch.tensor([0.01, 0.5, 2.0], dtype=torch.float64)
    for entries in (2**20, 9):  # at once, and a row at a time
        monkeypatch.setattr(module, "_ENTRIES", entries)
        values, gradients = problems.objective(positions, forces)
        for position, force, value, gradient in zip(
            positions, forces, values, gradients, strict=True
        ):
            free = position.clone().requires_grad_()
            weight = problems.basis @ free[:-1]
            loss = forward_loss(x @ weight + free[-1], told) + force * weight.square().sum() / 2
            torch.testing.assert_close(value, loss.detach())
            torch.testing.assert_close(gradient, torch.autograd.grad(loss, free)[0])


def test_a_fit_is_at_a_stationary_point_of_its_objective():
    x, labels = blobs()
    _, told = told_of(labels, 0.6)
    (found,) = logistic_path(x, told, [0.1], tolerance=1e-8)
    weight, bias = found.weight.clone().requires_grad_(), found.bias.clone().requires_grad_()
    penalty = weight.square().sum() / (2 * 0.1 * len(x))
    gradients = torch.autograd.grad(forward_loss(x @ weight + bias, told) + penalty, [weight, bias])
    assert max(g.abs().max() for g in gradients) < 1e-6


def test_zero_likelihoods_leave_classes_out():
    x, labels = blobs()
    either = torch.zeros(len(x), CLASSES, dtype=torch.float64)
    either[torch.arange(len(x)), labels] = 1.0
    either[torch.arange(len(x)), (labels + 1 + torch.arange(len(x)) % 3) % CLASSES] = 1.0
    (found,) = logistic_path(x, either, [0.1], standardize=True, tolerance=1e-6)
    assert torch.isfinite(found.weight).all()
    assert (found.logits(x).argmax(1) == labels).double().mean() > 0.9


def test_it_knows_how_sure_it_may_be_and_a_plain_fit_does_not():
    """With the noise known, chances are those of true classes; without, of released ones."""
    x, labels = blobs(n=6000)
    test_x, test_labels = blobs(n=4000, seed=5)
    released, told = told_of(labels, 0.7)
    one_hot = torch.eye(CLASSES, dtype=torch.float64)[released]
    doubt = {}
    for name, likelihood in (("known", told), ("as it is", one_hot)):
        fit, held = likelihood[:4500], likelihood[4500:]
        found = noised_probe(x[:4500], fit, validation=(x[4500:], held), strengths=(1.0, 10.0))
        sure, guess = found.logits(test_x).softmax(1).max(1)
        right = (guess == test_labels).double().mean()
        assert right > 0.85
        doubt[name] = (right - sure.mean()).item()
    assert abs(doubt["known"]) < 0.03
    assert doubt["as it is"] > 0.4  # the released label is the true one in 47.5 % of the records


def test_the_strength_is_what_explains_validation_best_and_nothing_else_chooses():
    x, labels = blobs(n=300, spread=2.0)
    _, told = told_of(labels, 0.5)
    strengths = (1e-3, 0.1, 10.0)
    chosen = noised_probe(
        x[:200], told[:200], validation=(x[200:], told[200:]), strengths=strengths
    )
    path = logistic_path(x[:200], told[:200], strengths, standardize=True, tolerance=1e-5)
    losses = [forward_loss(c.logits(x[200:]), told[200:]).item() for c in path]
    assert chosen.C == strengths[losses.index(min(losses))] == 0.1
    (again,) = logistic_path(x, told, [chosen.C], standardize=True, tolerance=1e-4)
    torch.testing.assert_close(chosen.weight, again.weight)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: noised_probe(
                torch.randn(9, 2), torch.ones(9, 3), validation=(torch.ones(2, 2), torch.ones(2, 3))
            ),
            "no signal",
        ),
        (
            lambda: noised_probe(
                torch.randn(9, 2), torch.eye(9), validation=(torch.ones(2, 2), torch.ones(2, 3))
            ),
            r"validation labels has shape \(2, 3\); expected \(N=2, K=9\)",
        ),
        (lambda: logistic_path(torch.randn(3, 2), -torch.eye(3), [1.0]), "smallest likelihood is"),
        (
            lambda: logistic_path(torch.randn(3, 2), torch.zeros(3, 3), [1.0]),
            "a record's largest likelihood is 0.0",
        ),
        (
            lambda: logistic_path(torch.randn(3, 2), torch.eye(3), [1.0], penalty="unsquared"),
            "penalty is 'unsquared'; allowed: 'l2'",
        ),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
