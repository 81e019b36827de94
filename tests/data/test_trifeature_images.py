"""Further renderings beside the released ones, and images made smaller."""

import pytest
import torch

from mmlib.data._trifeature_images import _stream, area_resize
from mmlib.data.trifeature import load


def test_more_renderings_leave_the_first_as_they_are():
    few = {"shapes": ("plus",), "textures": ("noise", "dots"), "colors": ("red", "green", "blue")}
    base, more = load(32, **few), load(32, **few, renderings=(5, 3))
    for name, before, after in (("train", 3, 5), ("test", 1, 3)):
        part, larger = getattr(base, name), getattr(more, name)
        n = len(part)
        assert len(larger) == n // before * after
        assert larger.names[:n] == part.names
        assert torch.equal(larger.images[:n], part.images)
        assert torch.equal(larger.labels[:n], part.labels)
        assert len(set(larger.names)) == len(larger)
        assert len(larger.images.unique(dim=0)) == len(larger)
    assert load(32, **few, renderings=(1, 1)).train.names == base.train.names[::3]


def test_a_rendering_does_not_depend_on_how_many_there_are_or_what_else_is_drawn():
    many = load(16, shapes=("tee",), textures=("rain",), renderings=(5, 4))
    one = load(16, shapes=("tee",), textures=("rain",), colors=("red", "blue"), renderings=(4, 6))
    common = [name for name in one.train.names if name in many.train.names]
    assert [name[-1] for name in common].count("3") > 0
    for name in common:
        pixels = [part.images[part.names.index(name)] for part in (one.train, many.train)]
        assert torch.equal(*pixels)


def test_no_two_images_have_the_same_chances():
    drawn = [chance for *_, chance in _stream({"train": 5, "test": 4})]
    assert len({repr(chance) for chance in drawn}) == len(drawn) == 5 * 800 + 4 * 200


@pytest.mark.parametrize("size", [1, 4, 7, 12, 20])
def test_area_resampling_is_the_mean_of_what_a_pixel_covers(size):
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (2, 3, 12, 9), generator=generator, dtype=torch.uint8)
    fine = pixels.repeat_interleave(size, dim=2).repeat_interleave(size, dim=3)  # common grid
    blocks = fine.double().unflatten(3, (size, 9)).unflatten(2, (size, 12)).mean(dim=(3, 5))
    assert (area_resize(pixels, size).double() - blocks).abs().max() <= 0.5 + 1e-4
