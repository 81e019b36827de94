"""Images redrawn: what comes out by draws, and that no record keeps its own."""

import pytest
import torch

from mmlib.label_dp.mechanisms.redrawn_rr import RedrawnRR

from ..chances import agrees, generator

POOL = torch.tensor([2, 0, 1, 0, 2, 1, 0, 2, 2])
TERMS = RedrawnRR(n_classes=3, noise_label=0.3, noise_image=0.6)


def test_label_and_class_of_the_image_are_two_responses_and_its_images_come_as_often():
    labels = torch.full((50_000,), 1)
    released, source = TERMS.draw(labels, generator(), pool_labels=POOL)
    chances = torch.zeros(3, 9, dtype=torch.float64)
    for j in range(3):
        for i in range(9):
            c = POOL[i].item()
            named, drawn = 0.1 + 0.7 * (j == 1), 0.2 + 0.4 * (c == 1)
            chances[j, i] = named * drawn / (c == POOL).sum()
    shown = source - len(labels)  # never below 0, which would be a record's own image
    assert agrees((released * 9 + shown).bincount(minlength=27), chances.flatten())


def test_a_class_without_images_is_named():
    with pytest.raises(ValueError, match="class 1 has 0 records"):
        TERMS.draw(torch.tensor([0, 2]), generator(), pool_labels=POOL[POOL != 1])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32])
def test_labels_of_a_small_type_are_no_mask_and_draw_the_same(dtype):
    labels = torch.arange(9) % 3
    released, source = TERMS.draw(labels, generator(), pool_labels=POOL)
    small, of_small = TERMS.draw(labels.to(dtype), generator(), pool_labels=POOL.to(dtype))
    assert torch.equal(small, released.to(dtype))
    assert torch.equal(of_small, source)


def test_a_pool_of_other_classes_is_named():
    with pytest.raises(ValueError, match="largest label is 3; allowed: "):
        TERMS.draw(torch.tensor([0, 2]), generator(), pool_labels=torch.tensor([0, 1, 2, 3]))
