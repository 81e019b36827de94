"""Rendered cars: DVM-Car's columns and imbalance, and pictures of the row's own car."""

import math

import pytest
import torch

from mmlib.data import cars
from mmlib.data._cars_render import render

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
    faster = relative - age * math.log(0.86)  # than by age alone
    assert torch.corrcoef(torch.stack([miles, faster]))[0, 1] < -0.4
    assert (price > 0).all()
    engine = column(table, "engine_size")
    of_model = models.engines[labels] == engine[:, None]
    assert of_model.any(1).all()
    assert of_model.double().mean(0).min() > 0.3  # each of a model's three
    usual = column(table, "bodytype") == models.body[labels]
    assert 0.93 < usual.double().mean() < 0.98
    assert (models.dimensions[:, 0] < models.dimensions[:, 3]).all()
    automatic = (column(table, "gearbox") == 1).double().view(len(models), -1).mean(dim=1)
    torch.testing.assert_close(automatic, 0.95 * models.automatic, atol=0.2, rtol=0)
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


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cars.load(4), "size is 4"),
        (lambda: cars.load(8, rows=100), "n is 100"),
        (lambda: cars.load(8, seed=-1), "seed is -1"),
        (lambda: cars.class_counts(100, 1), "classes is 1"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
