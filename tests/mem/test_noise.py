import copy

import pytest
import torch

from mmlib import losses
from mmlib.mem import noise


def mixed_loss(weights):
    """A loss with a gradient whose size and sign differ by pixel."""
    return lambda x: (weights * x).sum() + (x**2).sum()


@pytest.fixture
def images(make_pairs):
    return make_pairs(6)[0]


def zeros(images):
    return torch.zeros_like(images, dtype=torch.int8)


def test_bound_is_exact_in_the_published_image(images):
    weights = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    made = noise.pgd(images, zeros(images), mixed_loss(weights), steps=30)
    published = noise.add(images, made)
    difference = published.int() - images.int()
    assert published.dtype == torch.uint8
    assert difference.abs().max() == 8
    assert torch.equal(difference, made.int())  # the range was kept already


@pytest.mark.parametrize("step_size", [1, 3])
def test_equals_a_slow_loop_over_pixels(images, step_size):
    weights = torch.randn(images.shape, generator=torch.Generator().manual_seed(1))
    made = noise.pgd(
        images, zeros(images), mixed_loss(weights), epsilon=5, step_size=step_size, steps=4
    )
    pixels, slopes = images.flatten().tolist(), weights.double().flatten().tolist()
    expected = []
    for pixel, slope in zip(pixels, slopes, strict=True):
        delta = 0
        for _ in range(4):
            gradient = slope + 2 * (pixel + delta) / 255
            delta -= step_size * ((gradient > 0) - (gradient < 0))
            delta = max(-5, min(5, delta))
            delta = max(0, min(255, pixel + delta)) - pixel
        expected.append(delta)
    assert (made.flatten() != torch.tensor(expected)).float().mean() < 1e-3  # ties of rounding


def test_a_second_visit_goes_on_where_the_first_ended(images):
    weights = torch.randn(images.shape, generator=torch.Generator().manual_seed(2))
    loss = mixed_loss(weights)
    half = noise.pgd(images, zeros(images), loss, steps=3)
    assert half.abs().max() == 3
    twice = noise.pgd(images, half, loss, steps=3)
    assert torch.equal(twice, noise.pgd(images, zeros(images), loss, steps=6))


def test_minimises_or_maximises(images):
    loss = mixed_loss(torch.randn(images.shape, generator=torch.Generator().manual_seed(3)))
    start = loss(images / 255)
    lower = noise.pgd(images, zeros(images), loss)
    higher = noise.pgd(images, zeros(images), loss, maximise=True)
    assert loss(noise.add(images, lower) / 255) < start < loss(noise.add(images, higher) / 255)


def test_shared_noise_follows_the_sum_of_its_images_gradients(images):
    """Against a slow loop: one noise for images 0, 2, 5, another for the rest."""
    owner = torch.tensor([0, 1, 0, 1, 1, 0])
    weights = torch.randn(images.shape, generator=torch.Generator().manual_seed(4))
    start = torch.zeros(2, *images.shape[1:]).char()
    made = noise.pgd(images, start, mixed_loss(weights), epsilon=5, steps=7, owner=owner)
    expected = start.int()
    for _ in range(7):
        slopes = torch.zeros(expected.shape, dtype=torch.float64)
        for i, group in enumerate(owner.tolist()):
            x = (images[i].int() + expected[group]).clamp(0, 255).double() / 255
            slopes[group] += weights[i] + 2 * x
        expected = (expected - slopes.sign().int()).clamp(-5, 5)
    assert (made != expected).float().mean() < 1e-3  # ties of rounding
    assert made.abs().max() == 5
    assert (noise.add(images, made[owner]).int() - images.int()).abs().max() == 5


def test_noise_of_ones_own_is_noise_shared_by_one():
    images = torch.randint(20, 230, (4, 3, 8, 8), generator=torch.Generator().manual_seed(0)).byte()
    loss = mixed_loss(torch.randn(images.shape, generator=torch.Generator().manual_seed(1)))
    own = noise.pgd(images, zeros(images), loss)
    shared = noise.pgd(images, zeros(images), loss, owner=torch.arange(4))
    assert torch.equal(own, shared)


def test_no_budget_no_noise(images):
    made = noise.pgd(images, zeros(images), lambda x: x.sum(), epsilon=0)
    assert not made.any()
    assert not noise.uniform(images, epsilon=0, generator=torch.Generator()).any()


def clip_loss(model, captions):
    def loss(x):
        view = x.to(model.log_scale.dtype), captions
        return losses.clip(*model.project(view), scale=model.scale)

    return loss


def test_first_step_goes_against_the_finite_difference_of_the_contrastive_loss(
    make_model, make_pairs
):
    images, captions = make_pairs(4)
    images = images.clamp(20, 235)
    model = make_model().double().eval()
    loss = clip_loss(model, captions[:, 0])
    step = noise.pgd(images, zeros(images), loss, steps=1)
    x, h = images.double() / 255, 1e-6
    pixels = torch.randperm(x.numel(), generator=torch.Generator().manual_seed(0))[:60]
    compared = 0
    with torch.no_grad():
        for pixel in pixels.tolist():
            moved = torch.zeros(x.numel(), dtype=torch.float64)
            moved[pixel] = h
            moved = moved.view_as(x)
            slope = float(loss(x + moved) - loss(x - moved)) / (2 * h)
            if abs(slope) > 1e-7:
                assert step.flatten()[pixel] == (-1 if slope > 0 else 1)
                compared += 1
    assert compared > 40


def test_leaves_the_model_alone(make_model, make_pairs):
    images, captions = make_pairs(4)
    model = make_model().eval()
    before = copy.deepcopy(model.state_dict())
    made = noise.pgd(images, zeros(images), clip_loss(model, captions[:, 0]))
    assert made.any()
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_lowers_the_contrastive_loss(make_model, make_pairs):
    images, captions = make_pairs(16)
    model = make_model().eval()
    loss = clip_loss(model, captions[:, 0])
    made = noise.pgd(images, zeros(images), loss, steps=20)
    assert loss(noise.add(images, made) / 255) < loss(images / 255) - 0.05


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_noise_of_images_in_main_memory_is_drawn_where_the_surrogate_is():
    images = torch.full((2, 3, 4, 4), 128, dtype=torch.uint8)
    made = noise.uniform(images, epsilon=8, generator=torch.Generator("cuda"))
    assert made.device.type == "cpu"
    assert made.abs().max() <= 8


def test_uniform_noise_has_all_levels_alike():
    grey = torch.full((8, 3, 64, 64), 128, dtype=torch.uint8)
    made = noise.uniform(grey, epsilon=8, generator=torch.Generator().manual_seed(0))
    share = torch.bincount(made.flatten().long() + 8, minlength=17) / made.numel()
    assert share.shape == (17,)
    assert (share - 1 / 17).abs().max() < 0.004


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epsilon": 128}, "epsilon is 128; allowed:"),
        ({"epsilon": -1}, "epsilon is -1; allowed:"),
        ({"step_size": 0}, "step_size is 0; allowed:"),
        ({"images": torch.zeros(1, 3, 4, 4)}, "images are torch.float32; allowed: torch.uint8"),
        ({"noise": torch.zeros(2, 3, 4, 4).char()}, r"noise has shape \(2, 3, 4, 4\)"),
        ({"noise": torch.full((1, 3, 4, 4), 0.03)}, "noise is torch.float32; allowed: torch.int8"),
    ],
)
def test_bad_input_names_the_value(change, message):
    images = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    given = {"images": images, "noise": images.char(), "loss": torch.sum, **change}
    with pytest.raises(ValueError, match=message):
        noise.pgd(**given)
