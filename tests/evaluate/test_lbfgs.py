"""Many problems at once: each ends where a solver of its own would, in its own time."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize as scipy_minimize

from mmlib.evaluate._lbfgs import minimize

P, E = 5, 6
OPTIONS = {"tolerance": 1e-9, "standstill": 0.0, "iterations": 500}


@pytest.fixture
def problems():
    """Soft maxima of linear forms plus bowls whose widths differ a thousandfold."""
    g = torch.Generator().manual_seed(0)
    forms = 3 * torch.randn(P, 8, E, generator=g, dtype=torch.float64)
    bowls = torch.logspace(-3, 0, P, dtype=torch.float64)[:, None] * torch.logspace(
        0, 2, E, dtype=torch.float64
    )

    def evaluate(x, of):
        assert x.shape[1:] == (2, E // 2)
        flat = x.flatten(1)
        shares = (forms[of] @ flat[..., None])[..., 0]
        value = shares.logsumexp(dim=1) + (bowls[of] * flat**2).sum(dim=1) / 2
        slope = (shares.softmax(dim=1)[:, None] @ forms[of])[:, 0] + bowls[of] * flat
        return value, slope.view(x.shape)

    return evaluate


def start():
    g = torch.Generator().manual_seed(1)
    return torch.randn(P, 2, E // 2, generator=g, dtype=torch.float64)


def test_each_minimum_is_scipys(problems):
    found, early = minimize(problems, start(), **OPTIONS)
    assert not early.any()
    for k in range(P):
        of = torch.tensor([k])

        def plain(x, of=of):
            value, slope = problems(torch.from_numpy(x).view(1, 2, E // 2), of)
            return value.item(), slope.numpy().ravel()

        theirs = scipy_minimize(
            plain, start()[k].numpy().ravel(), jac=True, method="BFGS", options={"gtol": 1e-9}
        )
        np.testing.assert_allclose(found[k].numpy().ravel(), theirs.x, atol=1e-6)


def test_company_changes_nothing(problems):
    together, _ = minimize(problems, start(), **OPTIONS)
    for k in range(P):
        alone, _ = minimize(lambda x, of, k=k: problems(x, of + k), start()[k : k + 1], **OPTIONS)
        torch.testing.assert_close(alone[0], together[k], atol=1e-7, rtol=0)


def test_what_has_ended_is_not_evaluated_again(problems):
    seen = []

    def watched(x, of):
        seen.append(set(of.tolist()))
        return problems(x, of)

    found, _ = minimize(watched, start(), **OPTIONS)
    seen.clear()
    begun = torch.where(torch.tensor([0, 1, 0, 0, 1]).bool()[:, None, None], found, start())
    again, _ = minimize(watched, begun, **{**OPTIONS, "tolerance": 1e-6})
    assert seen[0] == set(range(P))
    assert all(rows <= {0, 2, 3} for rows in seen[1:])
    assert torch.equal(again[[1, 4]], found[[1, 4]])


def test_a_first_step_too_long_or_too_short_is_mended():
    for width in (1e-4, 1e4):  # the first step tried is this many times what it should be

        def bowl(x, of, width=width):
            return width * (x**2).sum(dim=1) / 2, width * x

        found, early = minimize(
            bowl, torch.ones(1, 3, dtype=torch.float64), tolerance=1e-8 * width, standstill=0.0,
            iterations=20,
        )  # fmt: skip
        assert found.abs().max() < 1e-6
        assert not early.any()


def test_those_that_stop_early_are_told(problems):
    found, early = minimize(problems, start(), **{**OPTIONS, "iterations": 2})
    assert early.all()
    assert (problems(found, torch.arange(P))[0] < problems(start(), torch.arange(P))[0]).all()
    _, early = minimize(problems, start(), **{**OPTIONS, "iterations": 2, "tolerance": 1e9})
    assert not early.any()
