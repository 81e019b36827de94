"""The ridge probe against scikit-learn's, and what chooses its strength."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_squared_error as sklearn_error

from mmlib.evaluate import ridge
from mmlib.evaluate.ridge import STRENGTHS, mean_squared_error, ridge_path, ridge_probe


def made(n=300, width=24, outputs=4, seed=0, noise=0.5):
    """Correlated features far from the origin, and numbers that they partly tell."""
    g = torch.Generator().manual_seed(seed)
    mix = torch.randn(8, width, generator=torch.Generator().manual_seed(98))
    tell = torch.randn(8, outputs, generator=torch.Generator().manual_seed(99))
    hidden = torch.randn(n, 8, generator=g)
    x = hidden @ mix + 0.05 * torch.randn(n, width, generator=g) + 3.0
    return x, hidden @ tell + noise * torch.randn(n, outputs, generator=g) - 5.0


@pytest.mark.parametrize("alpha", [1e-3, 1.0, 1e4])
@pytest.mark.parametrize("n", [300, 15])  # fewer samples than features, too
def test_coefficients_are_scikit_learns(alpha, n):
    x, y = made(n)
    (ours,) = ridge_path(x, y, [alpha])
    theirs = Ridge(alpha=alpha).fit(x.double().numpy(), y.double().numpy())
    np.testing.assert_allclose(ours.weight.numpy(), theirs.coef_.T, atol=1e-7)
    np.testing.assert_allclose(ours.bias.numpy(), theirs.intercept_, atol=1e-6)


def test_a_path_is_the_separate_fits_and_a_strong_penalty_leaves_the_mean():
    x, y = made()
    path = ridge_path(x, y, [10.0, 1e-2, 1e12])
    assert [fit.alpha for fit in path] == [10.0, 1e-2, 1e12]
    (alone,) = ridge_path(x, y, [1e-2])
    torch.testing.assert_close(path[1].weight, alone.weight)
    torch.testing.assert_close(path[2].predict(x), y.double().mean(0).expand_as(y).contiguous(),
                               atol=1e-4, rtol=0)  # fmt: skip


def test_the_probe_is_the_released_procedure_with_scikit_learn():
    sets = {name: made(80, seed=k) for k, name in enumerate(("train", "val", "test"))}
    sets = {k: (x.double().numpy(), y.double().numpy()) for k, (x, y) in sets.items()}
    errors = {}
    for alpha in (1e-6, 1e-4, 1e-2, 1.0, 1e2, 1e4, 1e6):
        fitted = Ridge(alpha=alpha).fit(*sets["train"])
        errors[alpha] = sklearn_error(sets["val"][1], fitted.predict(sets["val"][0]))
    chosen = min(errors, key=errors.get)
    both = [np.concatenate([sets["train"][k], sets["val"][k]]) for k in (0, 1)]
    final = Ridge(alpha=chosen).fit(*both)
    expected = sklearn_error(sets["test"][1], final.predict(sets["test"][0]))

    tensors = {k: tuple(map(torch.from_numpy, pair)) for k, pair in sets.items()}
    found, validation = ridge_probe(*tensors["train"], validation=tensors["val"])
    assert found.alpha == chosen
    assert 1e-6 < chosen < 1e6  # so that the choice means something
    assert validation == pytest.approx(errors)
    x, y = tensors["test"]
    assert mean_squared_error(found.predict(x), y) == pytest.approx(expected)
    assert len(STRENGTHS) == 7


def test_the_error_is_scikit_learns_over_samples_and_outputs():
    (_, a), (_, b) = made(seed=1), made(seed=2)
    assert mean_squared_error(a, b) == pytest.approx(sklearn_error(b.numpy(), a.numpy()), rel=1e-6)


def test_a_validation_set_of_test_samples_is_fitted(monkeypatch):
    """What the released split of Vision & Touch does: features of chance predict the test set."""
    monkeypatch.setattr(ridge, "STRENGTHS", (1.0,))
    g = torch.Generator().manual_seed(0)
    (train_x, test_x, other_x) = torch.randn(3, 60, 150, generator=g)
    (train_y, test_y, other_y) = torch.randn(3, 60, 2, generator=g)
    sets = {"leak": (test_x, test_y), "clean": (other_x, other_y)}
    errors = {}
    for name, validation in sets.items():
        found, _ = ridge_probe(train_x, train_y, validation=validation)
        errors[name] = mean_squared_error(found.predict(test_x), test_y)
    assert errors["leak"] < 0.3 < 0.95 < errors["clean"]


def test_of_equal_strengths_the_weakest_is_chosen():
    nothing, y = torch.zeros(20, 3), made(20)[1]
    found, errors = ridge_probe(nothing, y, validation=(nothing, y))
    assert len(set(errors.values())) == 1
    assert found.alpha == 1e-6


def test_wrong_arguments_are_named():
    x, y = made(20)
    with pytest.raises(ValueError, match=r"alpha is 0.0; allowed: \(0, inf\)"):
        ridge_path(x, y, [0.0])
    with pytest.raises(ValueError, match=r"y has shape \(19, 4\); expected \(N=20, Q\)"):
        ridge_path(x, y[1:], [1.0])
    with pytest.raises(ValueError, match=r"validation labels has shape \(20, 3\)"):
        ridge_probe(x, y, validation=(x, y[:, :3]))
    with pytest.raises(ValueError, match="number of samples is 0"):
        mean_squared_error(y[:0], y[:0])
