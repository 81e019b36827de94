"""Rendered cars: image-table pairs with the classes, columns and imbalance of DVM-Car, and no file.

A stand-in for DVM-Car (Huang et al. 2022) after the filters of the code that the label-DP paper
builds on: 286 car models of 100 to 5,023 advertisements each, one photo and one row of 17 columns
an advertisement. Here a seed makes a catalogue of models; rows are drawn from it as advertisements
are (a year, a mileage, a price that falls with both, a colour), lengths get the same jitter of up
to 50 mm, and the picture is drawn from the row's *own* wheelbase, height, width, length, body type
and colour, seen from a random side on a random ground, sometimes partly hidden. Lengths and body
alone would not tell 286 models apart in a picture of unknown scale, so each model has a style, too:
a form of nose and tail, lamps, a grille, rims, tones of glass, roof and trim, somewhat different
in each advertisement. So what image and row have in common is known: the model and those six
columns. No real car is in it: models are numbers, and a score on it is no score on DVM-Car.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mmlib._checks import check_range
from mmlib.data._cars_render import COLOURS, PROFILES, STYLE, Scene, render
from mmlib.data.image_table import ImageTable, split

DIMENSIONS = ("wheelbase", "height", "width", "length")
CONTINUOUS = (
    *DIMENSIONS, "adv_year", "adv_month", "reg_year", "runned_miles", "price", "seat_num",
    "door_num", "entry_price", "engine_size",
)  # fmt: skip
CATEGORICAL = {
    "color": tuple(COLOURS),
    "bodytype": tuple(PROFILES),
    "gearbox": ("manual", "automatic", "semi-automatic"),
    "fuel_type": (
        "petrol", "diesel", "hybrid petrol", "hybrid diesel", "plug-in hybrid", "electric",
        "bi fuel", "lpg", "natural gas", "ethanol", "hydrogen", "other",
    ),
}  # fmt: skip
COLUMNS = (*CONTINUOUS, *CATEGORICAL)
JITTER = 50  # millimetres, both ways
VARIETY = 0.12  # spread of style among advertisements of a model, of the range among models
VIEWPOINTS = tuple(range(0, 360, 45))

# Training advertisements of a model at these shares of the models, smallest first: DVM-Car's.
_SHARES = (0.0, 0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95, 1.0)
_COUNTS = (40.0, 46.0, 55.0, 94.0, 174.0, 317.0, 456.0, 738.0, 1980.0)

# Of each body type: wheelbase, height, width, length in mm, seats, doors, how common it is.
_BODIES = {
    "hatchback": (2520, 1480, 1730, 3980, 5, 5, 0.34),
    "suv": (2660, 1680, 1850, 4500, 5, 5, 0.20),
    "saloon": (2800, 1440, 1820, 4700, 5, 4, 0.14),
    "mpv": (2720, 1640, 1810, 4420, 7, 5, 0.10),
    "estate": (2760, 1480, 1810, 4700, 5, 5, 0.05),
    "coupe": (2560, 1350, 1820, 4380, 4, 2, 0.07),
    "convertible": (2480, 1340, 1790, 4200, 2, 2, 0.05),
    "pickup": (3100, 1800, 1860, 5260, 5, 4, 0.01),
    "panel van": (3000, 1940, 1940, 4980, 3, 4, 0.01),
    "minibus": (3300, 2000, 1980, 5300, 9, 5, 0.01),
    "limousine": (3150, 1480, 1900, 5250, 5, 4, 0.01),
    "combi van": (2740, 1830, 1830, 4400, 5, 5, 0.005),
    "camper": (3000, 1990, 1950, 5000, 4, 5, 0.005),
}


@dataclass(frozen=True)
class Catalogue:
    """What all advertisements of a car model share, for K models."""

    dimensions: Tensor  # (K, 4) wheelbase, height, width, length in mm
    body: Tensor  # (K,) usual body type
    seats: Tensor
    doors: Tensor
    price: Tensor  # of a new one in 2010
    engines: Tensor  # (K, 3) sizes in litres
    automatic: Tensor  # (K,) chance of an automatic gearbox
    fuel: Tensor  # (K, 12) chances
    style: Tensor  # (K, 16) from 0 to 1: what of a picture is the maker's choice

    def __len__(self) -> int:
        return len(self.body)


def class_counts(n: int, classes: int = 286) -> Tensor:
    """Rows of each class (K,), largest first, for ``n`` rows in all: DVM-Car's histogram.

    Interpolated, geometrically, between the quantiles of the published split's training part; every
    class has ten rows at least, as many as all parts of a split need. Raises ``ValueError`` if
    ``n`` is less than that.

    >>> counts = class_counts(176_414)
    >>> int(counts.sum()), len(counts), counts[0].item() > 40 * counts[-1].item()
    (176414, 286, True)
    """
    check_range("classes", classes, 2)
    check_range("n", n, 10 * classes)
    logs = np.interp(np.linspace(1, 0, classes), _SHARES, np.log(_COUNTS))
    shape = torch.from_numpy(logs).exp()
    wanted = n * shape / shape.sum()
    if wanted.min() < 10:
        wanted = 10 + (n - 10 * classes) * shape / shape.sum()
    counts = wanted.floor().long()
    counts[(wanted - counts).argsort(descending=True, stable=True)[: n - int(counts.sum())]] += 1
    return counts


def catalogue(classes: int, generator: torch.Generator) -> Catalogue:
    """K made-up car models; neighbours in size and price are common, as they are on the road."""
    check_range("classes", classes, 2)
    rows = torch.tensor([_BODIES[name] for name in PROFILES], dtype=torch.float64)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    body = torch.multinomial(rows[:, 6], classes, replacement=True, generator=generator)
    size = 1 + 0.06 * normal(classes, 1)  # a small or large car of its kind
    dimensions = rows[body, :4] * size * (1 + 0.02 * normal(classes, 4))
    dimensions[:, 1] = rows[body, 1] * (1 + 0.3 * (size[:, 0] - 1) + 0.02 * normal(classes))
    longest = dimensions[:, 3] * 0.75  # a wheelbase has to fit below the car
    dimensions[:, 0] = torch.minimum(dimensions[:, 0], longest)
    price = (9.9 + 6 * (size[:, 0] - 1) + 0.35 * normal(classes)).exp()
    engines = (0.9 + 0.4 * (price / 15_000)[:, None] + 0.4 * normal(classes, 3).abs()).clamp(0.8, 6)
    likely = torch.tensor([5, 4, 0.3, 0.1, 0.2, 0.3, 0.05, 0.05, 0.02, 0.02, 0.02, 0.02])
    fuel = likely.double() * normal(classes, 12).exp()
    return Catalogue(
        dimensions=dimensions.round(),
        body=body,
        seats=rows[body, 4],
        doors=rows[body, 5],
        price=price.round(),
        engines=(10 * engines).round() / 10,
        automatic=torch.sigmoid((price / 15_000 - 2) + normal(classes)),
        fuel=fuel / fuel.sum(1, keepdim=True),
        style=torch.rand(classes, len(STYLE), generator=generator),
    )


def advertisements(models: Catalogue, labels: Tensor, generator: torch.Generator) -> Tensor:
    """A row (N, 17) in :data:`COLUMNS`' own units for each of ``labels`` (N,)."""
    n = len(labels)

    def uniform(low: int, high: int, *shape: int) -> Tensor:
        return torch.randint(low, high + 1, shape or (n,), generator=generator)

    def normal() -> Tensor:
        return torch.randn(n, generator=generator, dtype=torch.float64)

    def chosen(chances: Tensor) -> Tensor:
        return torch.multinomial(chances, 1, generator=generator)[:, 0]

    dimensions = models.dimensions[labels] + uniform(-JITTER, JITTER, n, 4)
    adv_year = uniform(2018, 2021)
    age = (
        (-torch.log(torch.rand(n, generator=generator, dtype=torch.float64)) * 6)
        .long()
        .clamp(max=18)
    )
    miles = ((age + 0.5) * 8_000 * (0.4 * normal()).exp()).round()
    registered = adv_year - age
    entry = (models.price[labels] * 1.02 ** (registered - 2010)).round()
    price = (entry * 0.86**age * (-miles / 400_000 + 0.12 * normal()).exp()).round()
    engine = models.engines[labels].gather(1, uniform(0, 2)[:, None])[:, 0]
    other = torch.rand(n, generator=generator) < 0.05  # of another body type than usual
    body = torch.where(other, uniform(0, len(PROFILES) - 1), models.body[labels])
    common = torch.tensor(
        [8.0 if c in ("black", "blue", "grey", "red", "silver", "white") else 0.5 for c in COLOURS]
    )
    automatic = torch.rand(n, generator=generator, dtype=torch.float64) < models.automatic[labels]
    semi = torch.rand(n, generator=generator) < 0.05
    continuous = [
        *dimensions.T, adv_year, uniform(1, 12), registered, miles, price, models.seats[labels],
        models.doors[labels], entry, engine,
    ]  # fmt: skip
    categorical = [
        chosen(common.expand(n, -1)),
        body,
        torch.where(semi, 2, automatic.long()),
        chosen(models.fuel[labels]),
    ]
    return torch.stack([c.double() for c in (*continuous, *categorical)], dim=1)


def styles(models: Catalogue, labels: Tensor, generator: torch.Generator) -> Tensor:
    """Style (N, 16), 0 to 1, of a car of each of ``labels`` (N,): near to that of its model."""
    changes = torch.randn(len(labels), len(STYLE), generator=generator)
    return (models.style[labels] + VARIETY * changes).clamp(0, 1)


def scenes(n: int, generator: torch.Generator) -> Scene:
    """What is random about ``n`` pictures: eight viewpoints, distance, place, ground, a post."""

    def rand(*shape: int) -> Tensor:
        return torch.rand(n, *shape, generator=generator)

    views = torch.tensor(VIEWPOINTS)[torch.randint(len(VIEWPOINTS), (n,), generator=generator)]
    tone = 0.55 + 0.45 * rand(1)
    hidden = torch.stack([0.9 * rand(), 0.04 + 0.10 * rand(), 0.3 + 0.5 * rand()], dim=1)
    hidden[:, 1] *= rand() < 0.3
    return Scene(
        yaw=views + 10 * (rand() - 0.5),
        zoom=0.9 + 0.2 * rand(),
        shift=0.06 * (rand(2) - 0.5),
        sky=(tone + 0.1 * (rand(3) - 0.5)).clamp(0, 1),
        ground=(0.7 * tone + 0.1 * (rand(3) - 0.5)).clamp(0, 1),
        hidden=hidden,
        post=rand(3),
    )


def load(
    size: int,
    *,
    rows: int = 20_000,
    classes: int = 286,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> ImageTable:
    """Advertisements at ``size`` x ``size`` pixels, split 40 / 10 / 50 within each class.

    Args:
        size: side in pixels, at least 8.
        rows: in all three parts; DVM-Car has 176,414. At least ten a class.
        classes: K.
        seed: of the catalogue, the rows and the pictures, drawn on the CPU; the same everywhere.
        device: where pictures are drawn and parts lie.

    Raises ``ValueError`` for values out of range.

    >>> cars = load(16, rows=200, classes=5)
    >>> len(cars.train), len(cars.validation), len(cars.test), cars.schema.n_features
    (80, 20, 100, 63)
    """
    check_range("size", size, 8)
    check_range("seed", seed, 0)
    counts = class_counts(rows, classes)
    generator = torch.Generator().manual_seed(seed)
    models = catalogue(classes, generator)
    labels = torch.arange(classes).repeat_interleave(counts)
    table = advertisements(models, labels, generator)
    style, views = styles(models, labels, generator), scenes(rows, generator)
    order = torch.randperm(rows, generator=generator)
    labels, table, style, views = labels[order], table[order], style[order], views.rows(order)

    within = torch.empty_like(labels)  # how many of the class stand before
    by_class = labels.argsort(stable=True)
    within[by_class] = torch.arange(rows) - (counts.cumsum(0) - counts)[labels[by_class]]
    share = (within + 0.5) / counts[labels]
    rules = {
        "train": share < 0.4,
        "validation": (share >= 0.4) & (share < 0.5),
        "test": share >= 0.5,
    }
    first = len(CONTINUOUS)
    images = render(
        table[:, :4].to(device), table[:, first + 1].to(device), table[:, first].to(device),
        style.to(device), views.to(device), size,
    )  # fmt: skip
    return split(
        images.cpu(),
        table.float(),
        labels,
        rules,
        columns=COLUMNS,
        categories=CATEGORICAL,
        classes=tuple(f"model {k}" for k in range(classes)),
        device=device,
    )
