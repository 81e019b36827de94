import pytest
import torch
from torch import nn

from mmlib.augment.transform import as_it_is
from mmlib.data.text import END
from mmlib.encoders.image import GlobalPool
from mmlib.mem import saliency
from mmlib.methods.clip import DualEncoder


class RedAndGreen(nn.Module):
    """A trunk of two channels that copies those of the image, each pixel a place."""

    out_features = 2

    def forward(self, images):
        return images[:, :2]


@pytest.fixture
def copier():
    """A model whose vector of an image is (mean red, mean green), of a text a row of a table."""
    texts = nn.Sequential(nn.Embedding(3, 2), nn.Flatten())  # of one id
    with torch.no_grad():
        texts[0].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]]))
    views = [as_it_is, as_it_is]
    encoders = [GlobalPool(RedAndGreen()), texts]
    return DualEncoder(encoders, [nn.Identity()] * 2, augment=views, prepare=views).eval()


@pytest.fixture
def case(make_model, make_pairs):
    images, captions = make_pairs(3)
    model = make_model().double().eval()
    model.projections[0] = nn.Linear(16, 8, bias=False).double()
    return model, images.double() / 255, captions[:, 0]


def test_the_map_of_two_channels_as_worked_out_by_hand(copier):
    image = torch.zeros(1, 3, 2, 4)
    image[:, 0, :, :1] = 0.8  # a column of red and three of green: means 0.2 and 0.3
    image[:, 1, :, 1:] = 0.4
    r, g = 0.2, 0.3
    by_red, by_green = g**2, -r * g  # derivatives of r / |(r, g)|, times |(r, g)|^3
    expected = torch.tensor([0.8 * by_red] + [0.4 * by_green] * 3) / (r**2 + g**2) ** 1.5 / 8
    red = saliency.activation_map(copier, image, torch.tensor([[0]]))
    torch.testing.assert_close(red[0], expected.expand(2, 4))
    cut = saliency.grad_cam(copier, image, torch.tensor([[0]]))
    torch.testing.assert_close(cut[0], expected.clamp(min=0).expand(2, 4))
    green = saliency.activation_map(copier, image, torch.tensor([[1]]))
    assert (green[0, :, 0] < 0).all()
    assert (green[0, :, 1:] > 0).all()


def test_a_text_that_the_image_matches_fully_shows_nothing(copier):
    image = torch.full((1, 3, 4, 4), 0.5)
    assert saliency.grad_cam(copier, image, torch.tensor([[2]])).max() < 1e-7


def test_the_map_is_the_derivative_by_the_weight_of_a_place(case):
    model, images, texts = case
    made = saliency.activation_map(model, images, texts)
    encoder, h = model.encoders[0], 1e-6
    with torch.no_grad():
        maps = encoder.trunk(images)
        assert made.shape == (3, *maps.shape[2:])
        v = model.projections[1](model.encoders[1](texts))
        for place in range(made[0].numel()):
            moved = []
            for side in (h, -h):
                weight = torch.ones(made[0].numel(), dtype=torch.float64)
                weight[place] += side
                u = model.projections[0](encoder.pool(maps * weight.view(made.shape[1:])))
                moved.append(torch.cosine_similarity(u, v))
            slope = (moved[0] - moved[1]) / (2 * h)
            torch.testing.assert_close(made.flatten(1)[:, place], slope, rtol=1e-5, atol=1e-9)
    assert made.abs().max() > 1e-4


def test_what_some_places_add_others_take(case):
    made = saliency.activation_map(*case)
    torch.testing.assert_close(made.sum(dim=(1, 2)), torch.zeros(3).double(), atol=1e-12, rtol=0)
    case[0].projections[0] = nn.Linear(16, 8).double()  # with a bias
    assert (saliency.activation_map(*case).sum(dim=(1, 2)).abs() > 1e-6).all()


def test_grad_cam_has_the_size_of_the_image_and_its_map_at_the_places_of_the_trunk(case):
    model, images, texts = case
    low = saliency.activation_map(model, images, texts).clamp(min=0)
    high = saliency.grad_cam(model, images, texts)
    assert high.shape == (3, 16, 16)
    torch.testing.assert_close(
        high[:, ::15, ::15], low[:, :: low.shape[1] - 1, :: low.shape[2] - 1]
    )
    assert high.max() <= low.max() + 1e-12


def similarity(model, images, texts, embedded):
    u = model.projections[0](model.encoders[0](images))
    v = model.projections[1](model.encoders[1].encode_embedded(embedded, texts))
    return torch.cosine_similarity(u, v).sum()


def test_gradient_lengths_are_finite_differences(case):
    model, images, texts = case
    by_pixel, by_word = saliency.gradient_lengths(model, images, texts)
    embedded, h = model.encoders[1].token_embedding(texts).detach(), 1e-6

    def length(tensor, places):
        slopes = []
        for place in places:
            step = torch.zeros_like(tensor)
            step[place] = h
            pair = [
                similarity(model, images + s * step, texts, embedded)
                if tensor is images
                else similarity(model, images, texts, embedded + s * step)
                for s in (1, -1)
            ]
            slopes.append(float(pair[0] - pair[1]) / (2 * h))
        return sum(slope**2 for slope in slopes) ** 0.5

    with torch.no_grad():
        for b, y, x in ((0, 3, 7), (1, 0, 15), (2, 10, 2)):
            expected = length(images, [(b, c, y, x) for c in range(3)])
            assert float(by_pixel[b, y, x]) == pytest.approx(expected, rel=1e-4)
        for b, t in ((0, 1), (2, 2)):
            expected = length(embedded, [(b, t, d) for d in range(embedded.shape[2])])
            assert float(by_word[b, t]) == pytest.approx(expected, rel=1e-4)


def test_nothing_behind_the_end_token_matters(case):
    model, images, texts = case
    _, by_word = saliency.gradient_lengths(model, images, texts)
    behind = (texts == END).cumsum(1).roll(1, 1).bool()
    behind[:, 0] = False
    assert behind.any()
    assert not by_word[behind].any()
    assert (by_word[~behind] > 0).all()


@pytest.mark.parametrize(
    "of", [saliency.gradient_lengths, saliency.activation_map, saliency.grad_cam]
)
def test_pairs_do_not_change_each_other_and_the_model_stays(case, of):
    model, images, texts = case
    model.prepare = [lambda x, _: x / 255 if x.dtype == torch.uint8 else x, as_it_is]
    both, alone = (of(model, images[:n], texts[:n]) for n in (3, 1))
    for many, one in zip(*((x,) if torch.is_tensor(x) else x for x in (both, alone)), strict=True):
        torch.testing.assert_close(many[:1], one)
    assert all(parameter.grad is None for parameter in model.parameters())
    bytes_ = (images * 255).round().byte()
    as_bytes, as_floats = (of(model.float(), x, texts) for x in (bytes_, bytes_ / 255))
    torch.testing.assert_close(as_bytes, as_floats)
    with pytest.raises(ValueError, match=r"model\.training is True; allowed: False"):
        of(model.train(), images, texts)


def test_a_share_is_of_each_map_and_then_the_mean():
    part = torch.tensor([[[1, 0], [0, 0]], [[1, 1], [0, 0]], [[1, 0], [0, 0]]])
    maps = torch.tensor([[[1.0, 0], [0, 3]], [[30, 20], [0, 50]], [[0, 0], [0, 0]]])
    assert saliency.share_in(part, maps) == pytest.approx((25 + 50 + 0) / 3)
    assert saliency.share_in(part.bool(), maps) == pytest.approx(25)
