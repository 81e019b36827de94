"""Two stages: the second sees what the first released, and no label is used twice."""

import pytest
import torch

from mmlib.label_dp.accounting import keep_probability, noise_for
from mmlib.label_dp.mechanisms.two_stage_rr import two_stage_rr

from ..chances import generator


def test_the_second_stage_sees_released_labels_alone_and_each_label_is_used_once():
    labels = torch.randint(6, (4000,), generator=generator())
    first = torch.rand(4000, generator=generator(1)) < 0.4
    seen = []

    def predict(released):
        seen.append(released.clone())
        return torch.full((int((~first).sum()), 6), 1 / 6)

    released = two_stage_rr(labels, first, predict, 6, 1.5, generator=generator(2))
    assert len(seen) == 1
    assert torch.equal(seen[0], released[first])
    keep = keep_probability(noise_for(1.5, 6), 6)  # with a flat prior both stages are plain
    for part in (first, ~first):
        share = (released[part] == labels[part]).double().mean().item()
        assert share == pytest.approx(keep, abs=0.04)
    # A second-stage label changes that record's release alone.
    other = labels.clone()
    other[~first] = (other[~first] + 1) % 6
    again = two_stage_rr(other, first, predict, 6, 1.5, generator=generator(2))
    assert torch.equal(again[first], released[first])


@pytest.mark.parametrize("all_first", [True, False])
def test_a_stage_may_be_empty(all_first):
    labels = torch.arange(300) % 3
    first = torch.full((300,), all_first)
    flat = torch.full((0 if all_first else 300, 3), 1 / 3)
    released = two_stage_rr(labels, first, lambda r: flat, 3, 50.0, generator=generator())
    assert torch.equal(released, labels)  # at such an epsilon nothing is noise


def test_a_good_model_of_the_first_stage_makes_the_second_one_right_more_often():
    g = generator()
    labels = torch.randint(50, (20_000,), generator=g)
    hint = torch.where(torch.rand(20_000, generator=g) < 0.2, (labels + 1) % 50, labels)
    first = torch.arange(20_000) < 10_000

    def predict(released):  # how often each hint came with each label, as a histogram
        table = torch.zeros(50, 50).index_put_((hint[first], released), torch.ones(()), True)
        return (table / table.sum(1, keepdim=True))[hint[~first]]

    released = two_stage_rr(labels, first, predict, 50, 2.0, generator=g)
    right = (released == labels).double()
    assert right[first].mean() < 0.16  # 7.389 / (49 + 7.389) = 0.131
    assert right[~first].mean() > 3 * right[first].mean()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: two_stage_rr(
                torch.tensor([0, 1]), torch.tensor([True, False]), lambda r: torch.ones(2, 2), 2,
                1.0, generator=generator(),
            ),
            r"prior has shape \(2, 2\); expected \(M=1, K=2\)",
        ),
    ],
)  # fmt: skip
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
