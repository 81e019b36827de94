"""Each change at fixed values, sample by sample, against torchvision's function of that name."""

import pytest
import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as reference

from mmlib.augment import functional
from mmlib.augment.functional import (
    adjust_brightness_,
    adjust_contrast_,
    adjust_hue,
    adjust_saturation_,
    blur,
    crop,
    grey,
    rotate,
)

B, HIGH, WIDE = 6, 21, 30
FACTORS = torch.tensor([0.0, 0.3, 0.8, 1.0, 1.5, 2.5])
TURNS = torch.tensor([-0.5, -0.21, 0.0, 0.1, 1 / 3, 0.5])
SIGMAS = torch.tensor([0.1, 0.5, 1.0, 2.0, 3.0, 30.0])
ANGLES = torch.tensor([-45.0, 10.0, 0.0, 90.0, 180.0, 33.3])


@pytest.fixture
def batch():
    images = torch.rand(B, 3, HIGH, WIDE, generator=torch.Generator().manual_seed(0))
    images[:, :, :3, :5] = images[:, :1, :3, :5]  # some grey pixels, where hue means nothing
    images[:, :, 3, :5], images[:, :, 4, :5] = 0.0, 1.0
    images[:, :2, 5, :5] = 1.0  # and some whose largest channel is not the only one
    return images


def each(change, batch, *values):
    rows = zip(batch, *(v.tolist() for v in values), strict=True)
    return torch.stack([change(sample, *row) for sample, *row in rows])


def close(ours, theirs, atol=1e-5):
    torch.testing.assert_close(ours, theirs, atol=atol, rtol=0)


@pytest.mark.parametrize(
    ("ours", "theirs", "values"),
    [
        (adjust_brightness_, reference.adjust_brightness, FACTORS),
        (adjust_contrast_, reference.adjust_contrast, FACTORS),
        (adjust_saturation_, reference.adjust_saturation, FACTORS),
        (adjust_hue, reference.adjust_hue, TURNS),
    ],
)
def test_colours(batch, ours, theirs, values):
    close(ours(batch.clone(), values), each(theirs, batch, values))


def test_hue_knows_the_largest_channel_where_a_division_is_less_exact(batch, monkeypatch):
    exact = adjust_hue(batch, TURNS)
    divide = torch.Tensor.div_  # compiled for a GPU it may be a multiplication by an inverse
    monkeypatch.setattr(torch.Tensor, "div_", lambda x, y: divide(x, y).mul_(1 - 2**-24))
    close(adjust_hue(batch, TURNS), exact)


def test_hue_keeps_grey_pixels_value_and_saturation(batch):
    turned = adjust_hue(batch, TURNS)
    close(turned.amax(dim=1), batch.amax(dim=1))
    close(turned.amin(dim=1), batch.amin(dim=1))
    close(turned[:, :, :5, :5], batch[:, :, :5, :5])
    close(adjust_hue(turned, -TURNS), batch)


def test_grey(batch):
    close(grey(batch), reference.rgb_to_grayscale(batch))


@pytest.mark.parametrize("kernel_size", [1, 3, 13])
def test_blur(batch, kernel_size):
    def theirs(sample, sigma):
        return reference.gaussian_blur(sample, [kernel_size] * 2, [sigma] * 2)

    close(blur(batch, SIGMAS, kernel_size), each(theirs, batch, SIGMAS))


def test_rotation(batch):
    def theirs(sample, angle):
        return reference.rotate(sample, angle, interpolation=InterpolationMode.BILINEAR)

    close(rotate(batch, ANGLES), each(theirs, batch, ANGLES), atol=1e-4)


BOXES = {
    "whole": ([0] * B, [0] * B, [HIGH] * B, [WIDE] * B),
    "any": (
        [0, 1, 2, 12, 20, 5],
        [5, 4, 29, 2, 1, 0],
        [21, 10, 9, 8, 1, 3],
        [25, 10, 1, 20, 7, 30],
    ),
}


@pytest.mark.parametrize("boxes", BOXES)
@pytest.mark.parametrize("size", [1, 7, 16, 21, 29, 30, 64])
def test_crop(batch, boxes, size):
    top, left, height, width = map(torch.tensor, BOXES[boxes])

    def theirs(sample, *box):
        return reference.resized_crop(sample, *box, [size, size], antialias=True)

    values = [v.float() for v in (top, left, height, width)]
    close(crop(batch, *values, size), each(theirs, batch, top, left, height, width))


CHANGES = {
    "brightness": lambda x: adjust_brightness_(x.clone(), FACTORS),
    "contrast": lambda x: adjust_contrast_(x.clone(), FACTORS),
    "saturation": lambda x: adjust_saturation_(x.clone(), FACTORS),
    "hue": lambda x: adjust_hue(x, TURNS),
    "blur": lambda x: blur(x, SIGMAS, 5),
    "rotation": lambda x: rotate(x, ANGLES),
    "crop up": lambda x: crop(x, *(torch.tensor(v).float() for v in BOXES["any"]), 32),
    "crop down": lambda x: crop(x, *(torch.tensor(v).float() for v in BOXES["any"]), 8),
}


@pytest.mark.parametrize("change", CHANGES)
def test_bfloat16_stays_bfloat16_and_near(batch, change):
    ours = CHANGES[change](batch.bfloat16())
    assert ours.dtype == torch.bfloat16
    close(ours.float(), CHANGES[change](batch.bfloat16().float()), atol=0.03)


@pytest.mark.parametrize("change", CHANGES)
def test_gradients_are_those_of_finite_differences(change):
    generator = torch.Generator().manual_seed(0)
    batch = torch.rand(B, 3, HIGH, WIDE, generator=generator, dtype=torch.float64)
    batch = (0.02 + 0.96 * batch).requires_grad_()  # nothing at the ends, where values are cut off
    direction = torch.randn(batch.shape, generator=torch.Generator().manual_seed(1)).double()
    weight = torch.rand(CHANGES[change](batch).shape, generator=torch.Generator().manual_seed(2))
    (gradient,) = torch.autograd.grad((CHANGES[change](batch) * weight).sum(), batch)
    step = 1e-3 if change == "rotation" else 1e-7  # rotation computes in float32

    def moved(sign):
        return (CHANGES[change](batch.detach() + sign * step * direction) * weight).sum()

    slope = ((moved(1) - moved(-1)) / (2 * step)).item()
    assert (gradient * direction).sum().item() == pytest.approx(slope, rel=1e-3)


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_compiled_in_one_piece_and_gives_the_same(batch, change, compiling):
    expected = CHANGES[change](batch)
    with compiling:
        close(CHANGES[change](batch), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("change", CHANGES)
def test_cuda_gives_the_same(batch, change, monkeypatch):
    on_cpu = CHANGES[change](batch)
    for name in ("FACTORS", "TURNS", "SIGMAS", "ANGLES"):
        monkeypatch.setitem(globals(), name, globals()[name].cuda())
    with torch.device("cuda"):
        close(CHANGES[change](batch.cuda()).cpu(), on_cpu, atol=1e-4)


def test_nothing_but_the_functions_with_an_underscore_overwrites(batch):
    before = batch.clone()
    for name in ("hue", "blur", "rotation", "crop up", "crop down"):
        CHANGES[name](batch)
        assert torch.equal(batch, before)
    for name in ("adjust_brightness_", "adjust_contrast_", "adjust_saturation_"):
        changed = batch.clone()
        assert getattr(functional, name)(changed, FACTORS).data_ptr() == changed.data_ptr()
