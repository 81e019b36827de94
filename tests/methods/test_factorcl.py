import math

import pytest
import torch
from torch import nn

from mmlib import losses
from mmlib.methods.factorcl import Critic, FactorCL


def as_is(x, generator):
    return x


def noisy(x, generator):
    return x + 0.1 * torch.randn(x.shape, generator=generator)


def make(augment=noisy):
    torch.manual_seed(0)
    return FactorCL(
        [nn.Linear(3, 6), nn.Linear(4, 5)], (6, 5), width=7, hidden=9,
        augment=[augment, augment], prepare=[as_is, as_is],
    )  # fmt: skip


def batch(n=6):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(n, 3, generator=generator), torch.randn(n, 4, generator=generator)


def seeded():
    return torch.Generator().manual_seed(2)


def slow_scores(critic, x, y):
    """One pair after the other, both side by side through all layers."""
    return [[critic.rest(critic.first(torch.cat([a, b])))[0] for b in y] for a in x]


def slow_nce(critic, x, y):
    """log B plus the mean over y of the log-share of its own x."""
    s, n = slow_scores(critic, x, y), len(x)
    shares = [s[j][j] - torch.stack([s[i][j] for i in range(n)]).logsumexp(0) for j in range(n)]
    return math.log(n) + sum(shares) / n


def slow_club(critic, x, y):
    s, n = slow_scores(critic, x, y), len(x)
    return sum(s[i][i] for i in range(n)) / n - sum(map(sum, s)) / n**2


def test_loss_is_that_of_six_critics_computed_pair_by_pair():
    model = make()
    x, generator = batch(), seeded()
    plain = [f(v) for f, v in zip(model.encoders, x, strict=True)]
    views = [f(noisy(v, generator)) for f, v in zip(model.encoders, x, strict=True)]

    def both(kind, features):
        return [h(f) for h, f in zip(model.heads[kind], features, strict=True)]

    def given(kind):
        return [torch.cat(p, 1) for p in zip(both(kind, plain), both(kind, views), strict=True)]

    own, own_views = both("own", plain), both("own", views)
    lower = (
        slow_nce(model.shared_low, *both("shared_low", plain))
        + slow_nce(model.given_low, *given("given_low"))
        + slow_nce(model.own1, own[0], own_views[0])
        + slow_nce(model.own2, own[1], own_views[1])
    )
    high, given_high = both("shared_high", plain), given("given_high")
    upper = slow_club(model.shared_high, *high) + slow_club(model.given_high, *given_high)
    learning = slow_nce(model.shared_high, *high) + slow_nce(model.given_high, *given_high)
    parts = model.loss(x, seeded())
    torch.testing.assert_close(parts["bound"], (upper - lower).detach())
    torch.testing.assert_close(parts["loss"], upper - lower - learning)


def test_upper_bounds_move_the_encoders_and_infonce_their_critics():
    model = make()
    x = batch()
    with torch.no_grad():  # the critics of lower bounds give nothing, so upper bounds are alone
        for critic in (model.shared_low, model.given_low, model.own1, model.own2):
            critic.rest[-1].weight.zero_()
    model.loss(x, seeded())["loss"].backward()
    critic = model.shared_high
    found = critic.first.weight.grad.clone(), model.heads["shared_high"][0][0].weight.grad.clone()
    model.zero_grad()
    plain = [f(v) for f, v in zip(model.encoders, x, strict=True)]
    z = [h(f) for h, f in zip(model.heads["shared_high"], plain, strict=True)]
    (-slow_nce(critic, *[v.detach() for v in z])).backward()
    torch.testing.assert_close(found[0], critic.first.weight.grad)
    slow_club(critic, *z).backward()
    torch.testing.assert_close(found[1], model.heads["shared_high"][0][0].weight.grad)


def test_bounds_hold_for_the_best_critic_of_a_known_channel():
    """x uniform on 4 values, y a noisy copy: the bounds enclose I(x; y)."""
    generator = torch.Generator().manual_seed(0)
    n, values, kept = 4000, 4, 0.7
    x = torch.randint(values, (n,), generator=generator)
    other = torch.randint(values, (n,), generator=generator)
    y = torch.where(torch.rand(n, generator=generator) < kept, x, other)
    joint = kept * torch.eye(values) / values + (1 - kept) / values**2
    exact = (joint * (joint * values**2).log()).sum().item()
    scores = (joint * values**2).log()[x][:, y]
    assert losses.information_bound(scores).item() == pytest.approx(exact, abs=0.03)
    assert losses.club_bound(scores).item() > exact + 0.1


def test_embedding_is_ten_projections_without_chance():
    model = make()
    x = batch()
    features = [f(v) for f, v in zip(model.encoders, x, strict=True)]
    expected = [h[k](features[k]) for k in range(2) for h in model.heads.values()]
    assert len(expected) == 10
    assert torch.equal(model.embed(x), torch.cat(expected, dim=1))


def test_every_parameter_gets_a_gradient_in_bfloat16_too():
    for autocast in (False, True):
        model = make()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            model.loss(batch(), seeded())["loss"].backward()
        assert all(p.grad.any() for p in model.parameters() if p.ndim > 1)


def test_errors():
    with pytest.raises(ValueError, match="features has 1 entries for 2 modalities"):
        FactorCL([nn.Identity()] * 2, [1], width=2, hidden=2, augment=[], prepare=[])
    with pytest.raises(ValueError, match="hidden is 0"):
        Critic(1, 1, hidden=0)
