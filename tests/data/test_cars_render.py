"""Pictures of cars: lengths, wheels and paint where they should be, outlines of the exact solid."""

import itertools
import math

import pytest
import torch

from mmlib.data import cars
from mmlib.data._cars_render import (
    CLEARANCE,
    COLOURS,
    PROFILES,
    SPAN,
    STYLE,
    Scene,
    outline,
    profile,
    render,
)

RED = list(COLOURS).index("red")
CAR = (2600.0, 1450.0, 1780.0, 4300.0)  # wheelbase, height, width, length


def still(n=1, yaw=90.0, **changes):
    """``n`` pictures without chance, on white."""
    white = torch.ones(n, 3)
    parts = {
        "yaw": torch.full((n,), float(yaw)), "zoom": torch.ones(n), "shift": torch.zeros(n, 2),
        "sky": white, "ground": white, "hidden": torch.zeros(n, 3), "post": white,
    }  # fmt: skip
    return Scene(**{**parts, **changes})


def styled(n=1, **changes):
    """Style (N, 16), in the middle but for ``changes``."""
    values = torch.tensor([changes.get(name, 0.5) for name in STYLE])
    return values.expand(n, -1)


def picture(car=CAR, body="hatchback", size=64, colour=RED, style=None, **scene):
    """(3, size, size)."""
    kind = torch.tensor([list(PROFILES).index(body)])
    style = styled(**(style or {}))
    return render(torch.tensor([car]), kind, torch.tensor([colour]), style, still(**scene), size)[0]


def inked(image):
    return (image.float() - 255).abs().amax(0) > 60


def extent(image):
    """Width and height of what is drawn, in millimetres."""
    ink = inked(image)
    pixel = SPAN / image.shape[1]
    return ink.any(0).sum().item() * pixel, ink.any(1).sum().item() * pixel


def longer(by, place):
    return tuple(v + by * (k == place) for k, v in enumerate(CAR))


def test_length_shows_from_the_side_and_width_from_the_front():
    side, front = (picture(yaw=yaw, size=120) for yaw in (90, 0))
    pixel = SPAN / 120
    assert extent(side)[0] == pytest.approx(4300, abs=pixel)
    assert extent(front)[0] == pytest.approx(1780, abs=pixel)
    for image in (side, front):
        assert extent(image)[1] == pytest.approx(1450, abs=pixel)
    assert extent(picture(longer(600, 3), yaw=90, size=120))[0] == pytest.approx(4900, abs=pixel)
    assert torch.equal(picture(longer(600, 3), yaw=0), picture(yaw=0))  # not seen from the front
    assert torch.equal(picture(longer(200, 2), yaw=90), picture(yaw=90))  # nor width from the side
    assert extent(picture(longer(300, 1), size=120))[1] == pytest.approx(1750, abs=pixel)


def test_the_wheelbase_is_the_distance_of_the_wheels():
    for wheelbase in (2200.0, 2600.0, 3000.0):
        image = picture((wheelbase, *CAR[1:]), size=240, colour=list(COLOURS).index("white"))
        pixel = SPAN / 240
        low = int(240 / 2 + CAR[1] / 2 / pixel - 60 / pixel)  # a row between ground and body
        dark = (image[:, low].float().amax(0) < 128).nonzero()[:, 0].float()
        left, right = dark[dark < 120].mean(), dark[dark > 120].mean()
        assert ((right - left) * pixel).item() == pytest.approx(wheelbase, abs=1.5 * pixel)


@pytest.mark.parametrize(("yaw", "side"), [(45, -1), (315, 1)])
def test_the_wheels_before_the_body_are_those_of_the_side_that_faces_us(yaw, side):
    """With the nose to the right front, our flank is the left one in the picture."""
    size = 240
    plain = {"rim_tone": 0.0, "trim_tone": 1.0}
    image, pixel = picture(yaw=yaw, size=size, style=plain), SPAN / 240
    height = 0.2 * CAR[1]  # within a wheel and above the underbody
    row = int(size / 2 + (CAR[1] / 2 - height) / pixel)
    turn = math.cos(math.radians(45))
    for end in (-0.5, 0.5):
        near, far = (
            image[:, row, int(size / 2 + (end * CAR[0] + k * side * 780) * turn / pixel)]
            for k in (1, -1)
        )
        assert near.max() < 60
        assert far.min() > 100  # a light trim


@pytest.mark.parametrize("name", STYLE)
def test_each_choice_of_a_maker_shows_where_it_can_be_seen(name):
    side = {"nose", "tail", "roof_front", "wheel", "rim", "rim_tone"}
    end = {"lamp_height", "lamp_spread", "lamp_size", "grille", "grille_tone"}
    for yaw, hidden in ((90, end), (0, side - {"wheel"}), (45, set())):
        low, high = (picture(yaw=yaw, style={name: value}).float() for value in (0.0, 1.0))
        changed = (low - high).abs().amax(dim=0) > 0  # but for the rim of a column seen edge-on
        assert (changed.double().mean() < 0.001) == (name in hidden), yaw


def test_a_style_in_the_middle_is_the_plain_profile_and_none_breaks_it():
    kinds = torch.arange(len(PROFILES))
    plain = torch.tensor(list(PROFILES.values()))
    torch.testing.assert_close(profile(kinds, styled(len(kinds))), plain)
    for values in itertools.product((0.0, 1.0), repeat=3):
        changes = dict(zip(("nose", "tail", "roof_front"), values, strict=True))
        corners = profile(kinds, styled(len(kinds), **changes))
        place, height = corners.unbind(2)
        assert (place.diff(dim=1) > 0).all()
        assert (height[:, :2].diff(dim=1) >= 0).all()
        assert (height[:, 2:].diff(dim=1) < 0).all()
        assert (height[:, 1:3] == 1).all()


def test_opposite_sides_are_mirror_images():
    assert torch.equal(picture(yaw=90).flip(2), picture(yaw=270))
    assert not torch.equal(picture(yaw=90), picture(yaw=270))
    assert not torch.equal(picture(yaw=0), picture(yaw=180))  # lamps


@pytest.mark.parametrize("body", PROFILES)
@pytest.mark.parametrize("yaw", [20.0, 135.0, 270.0])
def test_the_outline_is_that_of_the_solid(body, yaw):
    """Against the solid itself: points of the extruded profile, turned and projected one by one."""
    kind = torch.tensor([list(PROFILES).index(body)])
    width, length = torch.tensor([[[1800.0]]]), torch.tensor([[[4400.0]]])
    angle = math.radians(yaw)
    corners = profile(kind, torch.rand(1, len(STYLE), generator=torch.Generator().manual_seed(3)))
    reach = 2200 * abs(math.sin(angle)) + 900 * abs(math.cos(angle))
    columns = torch.linspace(-0.97, 0.97, 7) * reach
    found = outline(columns[None, None], length, width, torch.full((1, 1, 1), angle), corners)[0, 0]
    for x, value in zip(columns.tolist(), found.tolist(), strict=True):
        highest = 0.0
        for i in range(1001):
            a = -2200 + 4400 * i / 1000  # along the car
            rest = x - a * math.sin(angle)  # what its place across the car has to make up for
            if abs(rest) > 900 * abs(math.cos(angle)) + 2.3:
                continue
            for (u0, h0), (u1, h1) in itertools.pairwise(corners[0].tolist()):
                if u0 <= a / 4400 <= u1:
                    highest = max(highest, h0 + (h1 - h0) * (a / 4400 - u0) / (u1 - u0))
        assert value == pytest.approx(highest, abs=0.02), (x, value)


def test_paint_glass_and_background_have_their_colours():
    image = picture(size=120)
    door = image[:, 120 // 2 + 4, 60].float()  # below the middle, between the wheels
    paint = torch.tensor(COLOURS["red"]).float()
    assert torch.nn.functional.cosine_similarity(door, paint, dim=0) > 0.995
    glass = image[:, 120 // 2 - 7, 55].float()
    assert glass[2] > glass[0]
    sky, ground = torch.tensor([[0.2, 0.4, 0.6]]), torch.tensor([[0.5, 0.3, 0.1]])
    image = picture(sky=sky, ground=ground, size=32)
    assert image[:, 0, 0].tolist() == [51, 102, 153]
    assert image[:, -1, 0].tolist() == [128, 76, 26]


@pytest.mark.parametrize(("yaw", "red"), [(0, False), (180, True)])
def test_lamps_are_pale_in_front_and_red_behind(yaw, red):
    image = picture(colour=list(COLOURS).index("white"), yaw=yaw, size=120).float()
    assert (image[0] - image[1:].amax(0) > 60).any() == red


def test_a_post_hides_what_is_behind_it():
    post = {"hidden": torch.tensor([[0.25, 0.5, 1.0]]), "post": torch.tensor([[0.0, 1.0, 0.0]])}
    image, free = picture(**post), picture()
    assert (image[:, :, 16:48] == torch.tensor([0, 255, 0])[:, None, None]).all()
    assert torch.equal(image[:, :, :16], free[:, :, :16])
    assert torch.equal(image[:, :, 48:], free[:, :, 48:])


def test_below_the_body_there_is_nothing_but_wheels():
    size = 240
    image, pixel = picture(size=size), SPAN / 240
    gap = int(size / 2 + CAR[1] / 2 / pixel - 0.5 * CAR[1] * CLEARANCE / pixel)
    middle = image[:, gap, size // 2 - 8 : size // 2 + 8]
    assert (middle == 255).all()


def test_a_batch_draws_what_each_alone_draws():
    g = torch.Generator().manual_seed(1)
    models = cars.catalogue(5, g)
    table = cars.advertisements(models, torch.arange(5).repeat(3), g)
    style, scene = cars.styles(models, torch.arange(5).repeat(3), g), cars.scenes(15, g)
    both = render(table[:, :4], table[:, 14], table[:, 13], style, scene, 24)
    for k in range(15):
        one = slice(k, k + 1)
        alone = render(
            table[one, :4], table[one, 14], table[one, 13], style[one], scene.rows(one), 24
        )
        assert torch.equal(both[one], alone)


def test_image_and_row_show_the_same_car():
    """Heights, read off pictures from the side, are those of the rows."""
    g = torch.Generator().manual_seed(2)
    models = cars.catalogue(30, g)
    table = cars.advertisements(models, torch.arange(30).repeat(2), g)
    red = torch.full((60,), RED)
    images = render(table[:, :4], table[:, 14], red, styled(60), still(60, yaw=90), 160)
    heights = torch.tensor([extent(image)[1] for image in images])
    assert torch.corrcoef(torch.stack([heights, table[:, 1].float()]))[0, 1] > 0.98


def test_lamps_are_at_the_end_that_faces_us():
    """Left or right of the middle, as nose and tail are when the car is turned to the right."""
    for yaw, side in ((40, 1), (140, -1), (220, 1), (320, -1)):
        large, small = (picture(yaw=yaw, size=96, style={"lamp_size": k}) for k in (1.0, 0.0))
        place = (large != small).any(0).any(0).nonzero().double().mean() - 47.5
        assert side * place > 5


def test_zoom_makes_a_car_larger():
    assert extent(picture(zoom=torch.tensor([1.1]), size=240))[0] == pytest.approx(4730, abs=30)
