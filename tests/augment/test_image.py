"""Random views: torchvision's distributions, a draw for each sample, and no loop over them."""

import math

import pytest
import torch
from scipy import stats
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision.transforms import InterpolationMode, v2

from mmlib.augment import image, transform
from mmlib.augment.image import (
    ColorJitter,
    Compose,
    Flip,
    GaussianBlur,
    Grayscale,
    Normalize,
    Resize,
    ResizedCrop,
    Rotation,
    ToFloat,
    simclr,
)

ALWAYS = {  # every transform with chance, at settings where it changes every image
    "crop": ResizedCrop(16, scale=(0.2, 0.8)),
    "brightness": ColorJitter(brightness=0.4),
    "contrast": ColorJitter(contrast=0.4),
    "saturation": ColorJitter(saturation=0.4),
    "hue": ColorJitter(hue=0.1),
    "jitter": ColorJitter(0.4, 0.4, 0.4, 0.1),
    "blur": GaussianBlur(5, p=1.0),
    "rotation": Rotation(30),
}
SOMETIMES = {"flip": Flip(0.5), "grey": Grayscale(0.3), "jitter": ColorJitter(0.4, p=0.8)}
EVERY = {**ALWAYS, **SOMETIMES, "simclr": simclr(16)}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def picture(size=16):
    """One image with edges, all hues, and dark and bright parts: uint8 (3, size, size)."""
    return torch.randint(256, (3, size, size), generator=seeded(7), dtype=torch.uint8)


def copies(n, size=16):
    return picture(size).expand(n, -1, -1, -1)


# --- distributions --------------------------------------------------------------------------------


def torchvision_simclr(size):
    return v2.Compose(
        [
            v2.RandomResizedCrop(size, antialias=True),
            v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
            v2.RandomGrayscale(p=0.2),
            v2.RandomApply([v2.GaussianBlur(13, (0.1, 2.0))], p=0.5),
            v2.RandomHorizontalFlip(p=0.5),
            v2.Normalize(image.IMAGENET_MEAN, image.IMAGENET_STD),
        ]
    )


SAME = {
    "crop": (ResizedCrop(16), v2.RandomResizedCrop(16, antialias=True)),
    "small crop": (
        ResizedCrop(8, (0.3, 0.5), (0.5, 3.0)),
        v2.RandomResizedCrop(8, (0.3, 0.5), (0.5, 3.0), antialias=True),
    ),
    "flip": (Flip(0.3), v2.RandomHorizontalFlip(0.3)),
    "brightness": (ColorJitter(brightness=1.5), v2.ColorJitter(brightness=1.5)),
    "contrast": (ColorJitter(contrast=0.8), v2.ColorJitter(contrast=0.8)),
    "saturation": (ColorJitter(saturation=0.8), v2.ColorJitter(saturation=0.8)),
    "hue": (ColorJitter(hue=0.3), v2.ColorJitter(hue=0.3)),
    "jitter": (ColorJitter(0.9, 0.9, 0.9, 0.3), v2.ColorJitter(0.9, 0.9, 0.9, 0.3)),
    "some jitter": (ColorJitter(0.9, p=0.4), v2.RandomApply([v2.ColorJitter(0.9)], p=0.4)),
    "grey": (Grayscale(0.3), v2.RandomGrayscale(0.3)),
    "blur": (GaussianBlur(9, (0.1, 3.0), p=1.0), v2.GaussianBlur(9, (0.1, 3.0))),
    "rotation": (
        Rotation(70),
        v2.RandomRotation(70, interpolation=InterpolationMode.BILINEAR, fill=None),
    ),
    "simclr": (simclr(16), torchvision_simclr(16)),
}


@pytest.mark.parametrize("name", SAME)
def test_views_are_distributed_as_torchvisions(name):
    n = 1500
    ours, theirs = SAME[name]
    generator = seeded(1)  # small batches, since all samples of one share the order of the jitter
    views = torch.cat([ours(copies(10), generator) for _ in range(n // 10)]).flatten(1)
    floats = picture().float() / 255
    with torch.random.fork_rng():
        torch.manual_seed(2)
        others = torch.stack([theirs(floats) for _ in range(n)]).flatten(1)
    # Some pixels, and directions in the space of images, in which views differ most.
    _, _, directions = torch.pca_lowrank(others, q=6, niter=4)
    columns = torch.cat([views @ directions, views[:, ::97]], dim=1)
    expected = torch.cat([others @ directions, others[:, ::97]], dim=1)
    columns, expected = (x.mul(1e4).round().div(1e4) for x in (columns, expected))
    p = [
        stats.ks_2samp(a, b, method="asymp").pvalue
        for a, b in zip(columns.T.numpy(), expected.T.numpy(), strict=True)
    ]
    assert min(p) > 1e-4
    spread = others.std(dim=0, correction=0) * math.sqrt(2 / n)
    moments = (views.mean(0) - others.mean(0)).abs() / spread.clamp(min=1e-6)
    assert moments.max() < 5
    ratio = views.std(dim=0, correction=0).mean() / others.std(dim=0, correction=0).mean()
    assert ratio.item() == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize(
    ("size", "scale", "ratio"),
    [
        ((20, 30), (0.08, 1.0), (3 / 4, 4 / 3)),
        ((30, 20), (0.5, 1.0), (0.5, 4.0)),
        ((9, 9), (0.9, 1.0), (2.0, 3.0)),  # no draw fits: the largest central box
        ((9, 40), (0.9, 1.0), (0.9, 1.1)),
        ((40, 9), (0.9, 1.0), (0.9, 1.1)),
        ((12, 8), (0.9, 1.0), (0.6, 0.7)),  # some fit
    ],
)
def test_boxes_are_distributed_as_torchvisions(size, scale, ratio):
    n = 3000
    boxes = ResizedCrop(8, scale, ratio).boxes(n, size, seeded(1))
    theirs = v2.RandomResizedCrop(8, scale, ratio)
    sample = torch.zeros(3, *size)
    with torch.random.fork_rng():
        torch.manual_seed(2)
        drawn = [theirs.make_params([sample]) for _ in range(n)]
    for ours, name in zip(boxes, ("top", "left", "height", "width"), strict=True):
        other = [params[name] for params in drawn]
        assert stats.ks_2samp(ours.numpy(), other, method="asymp").pvalue > 1e-4
    top, left, height, width = boxes
    assert bool((top >= 0).all() & (top + height <= size[0]).all())
    assert bool((left >= 0).all() & (left + width <= size[1]).all())


@pytest.mark.parametrize(("size", "ratio"), [((8, 1), (20.0, 20.0)), ((1, 8), (0.01, 0.01))])
def test_a_box_has_a_pixel_at_least(size, ratio):
    images = torch.full((2, 3, *size), 0.5)
    torch.testing.assert_close(
        ResizedCrop(3, ratio=ratio)(images, seeded()), torch.full((2, 3, 3, 3), 0.5)
    )


def test_jitter_draws_every_order_equally_often(monkeypatch):
    names = ("adjust_brightness_", "adjust_contrast_", "adjust_saturation_", "adjust_hue")
    calls = []
    for name in names:
        monkeypatch.setattr(image, name, lambda batch, _, name=name: calls.append(name) or batch)
    generator, n = seeded(), 1200
    for _ in range(n):
        ColorJitter(0.4, 0.4, 0.4, 0.1)(copies(1), generator)
    orders = [tuple(calls[4 * k : 4 * k + 4]) for k in range(n)]
    counts = [orders.count(order) for order in set(orders)]
    assert len(counts) == 24
    assert stats.chisquare(counts).pvalue > 1e-4


# --- a draw for each sample -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ALWAYS)
def test_copies_of_one_image_become_different_views(name):
    views = ALWAYS[name](copies(64), seeded())
    assert len(views.unique(dim=0)) == 64
    assert not any(torch.equal(view, picture() / 255) for view in views)


@pytest.mark.parametrize(("name", "share"), [("flip", 0.5), ("grey", 0.3), ("jitter", 0.8)])
def test_p_is_the_share_of_samples_that_change(name, share):
    n = 4000
    views = SOMETIMES[name](copies(n, 4), seeded())
    before = picture(4).float() / 255
    changed = (views - before).abs().amax(dim=(1, 2, 3)) > 1e-6
    assert changed.double().mean().item() == pytest.approx(share, abs=4 * 0.5 / math.sqrt(n))


@pytest.mark.parametrize(
    "off",
    [
        Flip(0.0),
        Grayscale(0.0),
        GaussianBlur(3, p=0.0),
        Rotation(90, p=0.0),
        Rotation(0.0),
        ColorJitter(1, 1, 1, 0.5, p=0.0),
        ColorJitter(),
        ResizedCrop(16, (1.0, 1.0), (1.0, 1.0)),
    ],
)
def test_switched_off_changes_nothing(off):
    expected = copies(8) / 255
    torch.testing.assert_close(off(copies(8), seeded()), expected, atol=1e-6, rtol=0)


class Count(TorchDispatchMode):
    calls = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        Count.calls += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", EVERY)
def test_no_loop_over_samples(name):
    EVERY[name](copies(50), seeded())  # the first call makes constants that later ones find
    counts = []
    for n in (50, 500):  # so many that p leaves neither everybody nor nobody
        Count.calls = 0
        with Count():
            EVERY[name](copies(n), seeded())
        counts.append(Count.calls)
    assert counts[0] == counts[1]


def test_chunks_are_whole_and_draw_anew(monkeypatch):
    monkeypatch.setattr(transform, "_CHUNK", 7 * 3 * 16 * 16)
    rows = torch.arange(64, dtype=torch.uint8).view(64, 1, 1, 1).expand(64, 3, 16, 16)
    assert torch.equal(Compose([ToFloat()])(rows), rows / 255)
    views = Compose([ColorJitter(0.4)])(copies(64), seeded())
    assert len(views.unique(dim=0)) == 64
    one = Compose([ToFloat()])(rows[:1])
    assert one.shape == (1, 3, 16, 16)
    assert Compose([ToFloat()])(rows[:0]).shape == (0, 3, 16, 16)


# --- what goes in and what comes out --------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY)
def test_views_are_a_function_of_the_generator_alone(name):
    before = torch.get_rng_state()
    once, again, other = (EVERY[name](copies(32), seeded(seed)) for seed in (0, 0, 1))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)
    generator = seeded()
    assert not torch.equal(EVERY[name](copies(32), generator), EVERY[name](copies(32), generator))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", [*EVERY, "normalise", "resize"])
def test_types(name):
    change = {**EVERY, "normalise": Normalize(), "resize": Resize(11)}[name]
    levels = picture().repeat(32, 1, 1, 1)
    floats = levels.float() / 255
    kept = levels.clone(), floats.clone()
    views = change(levels, seeded())
    assert views.dtype == torch.float32
    assert torch.equal(change(floats, seeded()), views)
    assert torch.equal(levels, kept[0])
    assert torch.equal(floats, kept[1])  # what is overwritten is a copy
    half = change(floats.bfloat16(), seeded())
    assert half.dtype == torch.bfloat16
    away = (half.float() - views).abs()
    assert away.mean() < 0.02
    if name not in ("normalise", "simclr"):
        assert views.min() >= -1e-6
        assert views.max() <= 1 + 1e-6


def test_upright_images_are_turned_a_little_and_not_mirrored():
    usual = simclr(16, crop_low=0.3).transforms
    upright, sharp = simclr(16, upright=True).transforms, simclr(16, blurred=False).transforms
    assert usual[0] == ResizedCrop(16, scale=(0.3, 1.0))
    assert upright[1:] == [Rotation(15) if view == Flip(0.5) else view for view in usual[1:]]
    assert sharp[1:] == [view for view in usual[1:] if not isinstance(view, GaussianBlur)]
    assert len(sharp) == len(usual) - 1


def test_autocast_does_not_reach_views():
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    views = simclr(32)
    plain = views(images, torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(views(images, torch.Generator().manual_seed(0)), plain)


def test_the_ones_without_chance_are_torchvisions():
    floats = copies(2, 20) / 255
    for ours, theirs in (
        (ToFloat(), v2.ToDtype(torch.float32, scale=True)),
        (Normalize(), v2.Normalize(image.IMAGENET_MEAN, image.IMAGENET_STD)),
        (Normalize((0.1, 0.2, 0.3), (1, 2, 3)), v2.Normalize((0.1, 0.2, 0.3), (1, 2, 3))),
        (Resize(9), v2.Resize((9, 9), antialias=True)),
        (Resize(33), v2.Resize((33, 33), antialias=True)),
    ):
        torch.testing.assert_close(ours(copies(2, 20)), theirs(floats))


def test_simclr_is_the_sheets_recipe():
    crop, jitter, grey, blur, flip, normalise = simclr(96).transforms
    assert crop == ResizedCrop(96, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3))
    assert jitter == ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.8)
    assert grey == Grayscale(p=0.2)
    assert (blur.sigma, blur.p) == ((0.1, 2.0), 0.5)
    assert blur.kernel_size >= 6 * blur.sigma[1]
    assert flip == Flip(p=0.5)
    assert normalise == Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_gradients_flow_through_a_whole_view():
    floats = (copies(4) / 255).requires_grad_()
    simclr(16)(floats, seeded()).square().sum().backward()
    assert bool(floats.grad.isfinite().all())
    assert bool((floats.grad.abs().amax(dim=(1, 2, 3)) > 0).all())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", EVERY)
def test_cuda_draws_on_the_device(name):
    generator = torch.Generator("cuda").manual_seed(0)
    views = EVERY[name](copies(400).cuda(), generator)
    on_cpu = EVERY[name](copies(400), seeded())
    assert views.device.type == "cuda"
    torch.testing.assert_close(views.mean(dim=0).cpu(), on_cpu.mean(dim=0), atol=0.15, rtol=0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ResizedCrop(0), r"size is 0; allowed: \[1, inf\)"),
        (lambda: ResizedCrop(8, scale=(0.5, 1.5)), r"scale is 1\.5; allowed: \(0\.0, 1\.0\]"),
        (lambda: ResizedCrop(8, scale=(0.5, 0.1)), "allowed: the smaller end first"),
        (lambda: ResizedCrop(8, ratio=(0.0, 1.0)), r"ratio is 0\.0; allowed: \(0\.0, inf\)"),
        (lambda: Resize(0), r"size is 0; allowed: \[1, inf\)"),
        (lambda: Flip(1.2), r"p is 1\.2; allowed: \[0, 1\]"),
        (lambda: Grayscale(-0.1), r"p is -0\.1; allowed: \[0, 1\]"),
        (lambda: ColorJitter(contrast=-1), r"contrast is -1; allowed: \[0, inf\)"),
        (lambda: ColorJitter(hue=0.6), r"hue is 0\.6; allowed: \[0, 0\.5\]"),
        (lambda: GaussianBlur(4), "kernel_size is 4; allowed: odd, positive"),
        (lambda: GaussianBlur(3, sigma=(0.0, 1.0)), r"sigma is 0\.0; allowed: \(0\.0, inf\)"),
        (lambda: Rotation(200), r"degrees is 200; allowed: \[0, 180\]"),
        (lambda: GaussianBlur(33)(copies(1)), r"kernel_size is 33; allowed: \[1, 31\]"),
        (lambda: ToFloat()(torch.zeros(2, 1, 4, 4)), r"batch has shape \(2, 1, 4, 4\)"),
        (lambda: ToFloat()(torch.zeros(1, 3, 4, 4).long()), r"allowed: uint8 or floats"),
    ],
)
def test_errors_name_the_wrong_value(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("name", EVERY)
def test_chance_needs_a_generator(name):
    with pytest.raises(ValueError, match=r"generator is None; allowed: a torch\.Generator"):
        EVERY[name](copies(2))


def test_a_crop_of_probability_p_leaves_the_others_whole():
    images = torch.rand(4000, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    view = ResizedCrop(6, scale=(0.2, 0.5), p=0.3)(images, torch.Generator().manual_seed(1))
    whole = (view - images).abs().amax(dim=(1, 2, 3)) < 1e-6
    assert whole.float().mean().item() == pytest.approx(0.7, abs=0.03)
