"""The matching term tells true pairs from recombined ones, and leaves CoMM's loss as it is."""

import math

import pytest
import torch

from mmlib.methods import matching
from mmlib.methods.image_pairs import build
from mmlib.methods.matching import recombined
from mmlib.presets.base import resolve


def settings():
    return resolve("comm", {"preset": "smoke"})


def images(n=8):
    generator = torch.Generator().manual_seed(0)
    return tuple(
        torch.randint(256, (n, 3, 16, 16), generator=generator, dtype=torch.uint8) for _ in range(2)
    )


@pytest.mark.parametrize("n", [2, 3, 9])
@pytest.mark.parametrize("modalities", [2, 3, 4])
def test_no_recombined_sample_has_two_parts_of_the_first_ones(n, modalities):
    generator = torch.Generator().manual_seed(n)
    whole = [torch.arange(n) for _ in range(modalities)]
    for _ in range(20):
        first, *others = recombined(whole, generator)
        assert torch.equal(first, whole[0])  # and as often as in the data
        for other in others:
            assert not (other == first).any()
            assert torch.equal(other.sort().values, whole[0])
    if n > modalities:  # long enough for shifts of their own
        assert all(not (a == b).any() for k, a in enumerate(others) for b in others[:k])
    with pytest.raises(ValueError, match="batch size is 1"):
        recombined([torch.zeros(1)] * 2, generator)


def test_the_loss_is_comms_plus_the_weighted_term():
    plain, model = (build(m, settings(), matching=0.5) for m in ("comm", "comm_matching"))
    missing = model.load_state_dict(plain.state_dict(), strict=False)
    assert missing.missing_keys == ["judge.weight", "judge.bias"]
    torch.nn.init.zeros_(model.judge.weight)
    torch.nn.init.zeros_(model.judge.bias)
    expected = plain.loss(images(), torch.Generator().manual_seed(3))["loss"]
    parts = model.loss(images(), torch.Generator().manual_seed(3))
    assert parts["matching"].item() == pytest.approx(math.log(2))  # who knows nothing
    assert parts["loss"].item() == pytest.approx(expected.item() + 0.5 * math.log(2), rel=1e-5)


def test_the_term_falls_where_pairs_have_something_in_common_and_only_there():
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)

    def learned(common):
        model = build("comm_matching", settings())
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        shades = torch.linspace(0, 255, 8).byte()[:, None, None, None].expand(8, 3, 16, 16)
        model.augment = model.prepare  # the shade is all there is
        for _ in range(60):
            order = torch.randperm(8, generator=generator)
            batch = shades, shades if common else shades[order]
            term = model.loss(batch, generator)["matching"]
            optimizer.zero_grad()
            term.backward()
            optimizer.step()
        return term.item()

    assert learned(common=True) < 0.45
    assert learned(common=False) > 0.55


def test_the_judge_says_how_likely_a_sample_is_a_true_one(monkeypatch):
    def nothing(tokens, _):
        return [torch.zeros_like(t) for t in tokens]

    class Sure(torch.nn.Module):
        def forward(self, both):  # those that are put together are all alike here
            alike = (torch.cdist(both, both) < 1e-3).sum(dim=1) > 1
            return 50 * (1 - 2 * alike.float())[:, None]

    monkeypatch.setattr(matching, "recombined", nothing)
    model = build("comm_matching", settings())
    model.judge = Sure()
    parts = model.loss(images(), torch.Generator().manual_seed(3))
    assert parts["matching"].item() == pytest.approx(0, abs=1e-6)
