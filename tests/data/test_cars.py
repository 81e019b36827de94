"""Rendered cars: DVM-Car's columns and imbalance, pictures of the row's own car, exact outlines."""

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


# --- The classes ---------------------------------------------------------------------------------


def test_the_histogram_is_dvm_cars():
    counts = cars.class_counts(176_414)
    share = counts / counts.sum()
    assert (len(counts), int(counts.sum())) == (286, 176_414)
    assert counts[0].item() == pytest.approx(5_023, rel=0.08)
    assert counts[-1].item() == pytest.approx(100, rel=0.08)
    assert counts.median().item() == pytest.approx(425, rel=0.08)
    assert -(share * share.log()).sum().item() == pytest.approx(5.31, abs=0.1)
    assert (counts.diff() <= 0).all()


@pytest.mark.parametrize(("n", "classes"), [(2_860, 286), (3_000, 286), (20_001, 286), (77, 3)])
def test_any_number_of_rows_is_met_exactly_and_no_class_is_lost(n, classes):
    counts = cars.class_counts(n, classes)
    assert (int(counts.sum()), len(counts)) == (n, classes)
    assert counts.min() >= 10


# --- The rows ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world():
    g = torch.Generator().manual_seed(0)
    models = cars.catalogue(40, g)
    labels = torch.arange(40).repeat_interleave(100)
    return models, labels, cars.advertisements(models, labels, g)


def column(table, name):
    return table[:, cars.COLUMNS.index(name)]


def test_columns_are_dvm_cars():
    data = cars.load(8, rows=100, classes=4)
    assert data.schema.n_columns == 17
    assert data.schema.cardinalities == (22, 13, 3, 12)
    assert data.schema.n_features == 63
    assert data.columns[:4] == ("wheelbase", "height", "width", "length")


def test_lengths_are_the_models_within_the_jitter(world):
    models, labels, table = world
    off = table[:, :4] - models.dimensions[labels]
    assert off.abs().max() == cars.JITTER
    assert off.std().item() == pytest.approx(math.sqrt((101**2 - 1) / 12), rel=0.03)


def test_rows_are_possible_cars(world):
    models, labels, table = world
    age = column(table, "adv_year") - column(table, "reg_year")
    assert 0 <= age.min() <= age.max() <= 18
    miles, price = column(table, "runned_miles"), column(table, "price")
    assert torch.corrcoef(torch.stack([age, miles]))[0, 1] > 0.5
    relative = (price / column(table, "entry_price")).log()
    assert torch.corrcoef(torch.stack([age, relative]))[0, 1] < -0.8
    assert (price > 0).all()
    engine = column(table, "engine_size")
    assert (models.engines[labels] == engine[:, None]).any(1).all()
    usual = column(table, "bodytype") == models.body[labels]
    assert 0.93 < usual.double().mean() < 0.98
    assert (models.dimensions[:, 0] < models.dimensions[:, 3]).all()
    for name, codes in cars.CATEGORICAL.items():  # each name of a gearbox, a fuel, ... occurs
        assert column(table, name).unique().tolist() == list(range(len(codes)))


def test_cars_of_a_model_differ_less_than_models(world):
    models, labels, _ = world
    style = cars.styles(models, labels, torch.Generator().manual_seed(1))
    assert style.min() >= 0
    assert style.max() <= 1
    within = (style - models.style[labels]).square().mean().sqrt()
    assert within.item() == pytest.approx(cars.VARIETY, rel=0.1)
    nearest = torch.cdist(style, models.style).argmin(dim=1)
    assert (nearest == labels).double().mean() > 0.99


# --- The pictures --------------------------------------------------------------------------------


def test_scenes_are_of_all_sides_and_three_in_ten_have_a_post():
    n = 40_000
    scene = cars.scenes(n, torch.Generator().manual_seed(0))
    side = (scene.yaw / 45).round()
    assert (scene.yaw - 45 * side).abs().max() <= 5
    per_side = (side.long() % 8).bincount(minlength=8) / n
    torch.testing.assert_close(per_side, torch.full((8,), 1 / 8), atol=0.01, rtol=0)
    width = scene.hidden[:, 1]
    assert (width > 0).float().mean().item() == pytest.approx(0.3, abs=0.01)
    assert 0.04 <= width[width > 0].min() < width.max() <= 0.14
    for values, low, high in (
        (scene.zoom, 0.9, 1.1), (scene.shift, -0.03, 0.03), (scene.sky, 0.5, 1.0),
        (scene.ground, 0.33, 0.75), (scene.post, 0.0, 1.0), (scene.hidden[:, 0], 0.0, 0.9),
    ):  # fmt: skip
        reach = 0.02 * (high - low)  # from one end nearly to the other
        assert low <= values.min() + 1e-6
        assert values.min() < low + reach
        assert high - reach < values.max()
        assert values.max() <= high + 1e-6


def test_a_set_shows_cars_from_all_sides_and_behind_posts(monkeypatch):
    drawn = {}

    def note(dimensions, body, colour, style, scene, size):
        drawn.update(yaw=scene.yaw, hidden=scene.hidden)
        return render(dimensions, body, colour, style, scene, size)

    monkeypatch.setattr(cars, "render", note)
    cars.load(8, rows=300, classes=4)
    assert len((drawn["yaw"] / 45).round().long().remainder(8).unique()) == 8
    assert 0.2 < (drawn["hidden"][:, 1] > 0).float().mean() < 0.4


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


# --- The set -------------------------------------------------------------------------------------


def test_split_is_40_10_50_in_every_class_and_a_function_of_the_seed():
    data = cars.load(8, rows=600, classes=12)
    parts = (data.train, data.validation, data.test)
    assert [len(part) for part in parts] == pytest.approx([240, 60, 300], abs=8)
    counts = cars.class_counts(600, 12)
    for part, share in zip(parts, (0.4, 0.1, 0.5), strict=True):
        assert ((part.labels.bincount(minlength=12) - share * counts).abs() <= 1).all()
    again, other = cars.load(8, rows=600, classes=12), cars.load(8, rows=600, classes=12, seed=1)
    assert torch.equal(data.train.images, again.train.images)
    assert torch.equal(data.test.table, again.test.table)
    assert not torch.equal(data.train.images[:50], other.train.images[:50])


def test_a_row_is_drawn_in_its_colour_and_body_and_in_the_style_of_its_model(monkeypatch):
    drawn = {}

    def note(dimensions, body, colour, style, scene, size):
        drawn.update(dimensions=dimensions, style=style, kinds=torch.stack([colour, body], dim=1))
        return render(dimensions, body, colour, style, scene, size)

    monkeypatch.setattr(cars, "render", note)
    data = cars.load(8, rows=300, classes=4)
    rows = torch.cat([data.train.table, data.validation.table, data.test.table])
    told = rows[:, [data.columns.index(name) for name in ("color", "bodytype")]]
    seen, known = (k.long().unique(dim=0, return_counts=True) for k in (drawn["kinds"], told))
    assert all(map(torch.equal, seen, known))
    models = cars.catalogue(4, torch.Generator().manual_seed(0))
    by_lengths = torch.cdist(drawn["dimensions"], models.dimensions).argmin(dim=1)
    by_style = torch.cdist(drawn["style"], models.style).argmin(dim=1)
    assert (by_lengths == by_style).double().mean() > 0.99
    assert (by_style.bincount() > 0).all()


def test_image_and_row_show_the_same_car():
    """Heights, read off pictures from the side, are those of the rows."""
    g = torch.Generator().manual_seed(2)
    models = cars.catalogue(30, g)
    table = cars.advertisements(models, torch.arange(30).repeat(2), g)
    red = torch.full((60,), RED)
    images = render(table[:, :4], table[:, 14], red, styled(60), still(60, yaw=90), 160)
    heights = torch.tensor([extent(image)[1] for image in images])
    assert torch.corrcoef(torch.stack([heights, table[:, 1].float()]))[0, 1] > 0.98


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cars.load(4), "size is 4"),
        (lambda: cars.load(8, rows=100), "n is 100"),
        (lambda: cars.load(8, seed=-1), "seed is -1"),
        (lambda: cars.class_counts(100, 1), "classes is 1"),
        (lambda: picture(colour=22), "colour is 22"),
        (lambda: picture((0.0, 1.0, 1.0, 1.0)), "smallest dimension is 0"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
