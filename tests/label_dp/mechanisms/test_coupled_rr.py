"""One coin for both: its law by enumeration and by drawing, and what it costs."""

import math

import pytest
import torch

from mmlib.label_dp.accounting import epsilon_of
from mmlib.label_dp.exact import class_images, double_rr_law, response_law
from mmlib.label_dp.mechanisms.coupled_rr import coupled_rr

from ..chances import agrees, generator, worst

ORDERS = [1.0, 1.5, 2.0, 4.0, 8.0, 32.0, math.inf]
LABELS = torch.tensor([2, 0, 1, 0, 2, 1, 0, 2, 2])
DRAWS = 50_000


@pytest.mark.parametrize("record", [0, 3])
@pytest.mark.parametrize("include_self", [False, True])
def test_coupled_coin_keeps_both_or_draws_both(record, include_self):
    released, source = coupled_rr(
        LABELS, 0.6, 3, include_self=include_self, records=torch.full((DRAWS,), record),
        generator=generator(),
    )  # fmt: skip
    chances = torch.zeros(3, 9, dtype=torch.float64)
    chances[LABELS[record], record] += 0.4
    for j in range(3):
        pool = [i for i in range(9) if LABELS[i] == j and (include_self or i != record)]
        for i in pool:
            chances[j, i] += 0.2 / len(pool)
    assert agrees((released * 9 + source).bincount(minlength=27), chances.flatten())


def test_coupled_coin_costs_half_where_images_are_private_and_all_where_they_are_known():
    images = class_images(torch.arange(4).repeat_interleave(3), 4)
    law = response_law(0.5, 4)[:, :, None] * images  # A_y(j) p_j(x)
    assert worst(law) == pytest.approx(math.log(5), abs=1e-14)  # 1.6094, not 3.2189
    assert worst(double_rr_law(images, 0.5)) == pytest.approx(2 * math.log(5), abs=1e-14)
    for order in ORDERS:
        assert worst(law, order) == pytest.approx(epsilon_of(0.5, 4, order=order), abs=1e-13)
    # The image is known, and only its label is in question: the pools stay, record 0 in none.
    known = torch.zeros(4, 4, 13, dtype=torch.float64)  # last place: its own image
    for y in range(4):
        known[y, :, :12] += 0.5 / 4 * images
        known[y, y, 12] += 0.5
    assert worst(known) == math.inf


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: coupled_rr(LABELS, 1.5, 3, generator=generator()), "noise is 1.5; allowed"),
        (lambda: coupled_rr(LABELS, 0.5, 4, generator=generator()), "class 3 has 0 records"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
