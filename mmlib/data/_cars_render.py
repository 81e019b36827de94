"""Draws cars in whole batches: an extruded side profile, turned to a viewpoint, seen from afar.

A car is a side profile (height over length, rising to a flat roof and falling) of its own length
and height, extruded over its width, on four wheels at its wheelbase. Turned by an angle and
projected orthographically its outline is known in closed form: at each column of the picture the
highest point of the piece of profile that projects there. So length, width, height and wheelbase
all show, each in some views only. Its make shows, too, in what a maker chooses: the form of nose,
tail and roof, and the place and tone of glass, trim, rims, lamps and grille. Units are millimetres;
x goes right, y up from the ground.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

SPAN = 6000.0  # millimetres across the picture at zoom 1
CLEARANCE = 0.12  # height of the underbody over that of the car
_TYRE = 220.0  # width of a tyre
_BATCH = 1024

# Of each body type: where the profile's corners lie, from the tail (-1/2) to the nose (1/2) of the
# length, and their heights over that of the car. The roof is the flat piece of height 1.
PROFILES = {
    "hatchback": ((-0.5, 0.62), (-0.42, 1.0), (0.08, 1.0), (0.26, 0.63), (0.5, 0.46)),
    "suv": ((-0.5, 0.70), (-0.45, 1.0), (0.10, 1.0), (0.24, 0.66), (0.5, 0.56)),
    "saloon": ((-0.5, 0.60), (-0.20, 1.0), (0.06, 1.0), (0.24, 0.62), (0.5, 0.46)),
    "mpv": ((-0.5, 0.66), (-0.46, 1.0), (0.16, 1.0), (0.36, 0.62), (0.5, 0.46)),
    "estate": ((-0.5, 0.60), (-0.45, 1.0), (0.06, 1.0), (0.24, 0.62), (0.5, 0.46)),
    "coupe": ((-0.5, 0.56), (-0.12, 1.0), (-0.02, 1.0), (0.20, 0.62), (0.5, 0.44)),
    "convertible": ((-0.5, 0.60), (-0.14, 1.0), (-0.12, 1.0), (0.20, 0.64), (0.5, 0.46)),
    "pickup": ((-0.5, 0.56), (-0.02, 1.0), (0.12, 1.0), (0.24, 0.62), (0.5, 0.54)),
    "panel van": ((-0.5, 0.98), (-0.49, 1.0), (0.24, 1.0), (0.40, 0.58), (0.5, 0.44)),
    "minibus": ((-0.5, 0.96), (-0.48, 1.0), (0.32, 1.0), (0.45, 0.56), (0.5, 0.42)),
    "limousine": ((-0.5, 0.58), (-0.28, 1.0), (0.14, 1.0), (0.28, 0.60), (0.5, 0.48)),
    "combi van": ((-0.5, 0.90), (-0.47, 1.0), (0.18, 1.0), (0.34, 0.60), (0.5, 0.46)),
    "camper": ((-0.5, 0.94), (-0.47, 1.0), (0.36, 1.0), (0.42, 0.62), (0.5, 0.44)),
}
# What a maker chooses, and how far: the value at 0 and at 1. Places, sizes over the car's height,
# or over its length for the roof's front and over its width for the lamps' spread and the grille;
# the rim's size over the wheel's; tones from 0, black, to 1, white, but the roof's times the paint.
STYLE = {
    "nose": (-0.07, 0.07), "tail": (-0.07, 0.07), "roof_front": (-0.05, 0.05),
    "waist": (0.54, 0.66), "wheel": (0.18, 0.24), "glass_tone": (0.05, 0.45),
    "roof_tone": (0.3, 1.2), "trim_top": (0.16, 0.36), "trim_tone": (0.0, 0.8),
    "rim": (0.3, 0.8), "rim_tone": (0.1, 0.9), "lamp_height": (0.36, 0.50),
    "lamp_spread": (0.26, 0.42), "lamp_size": (0.05, 0.10), "grille": (0.15, 0.7),
    "grille_tone": (0.0, 0.9),
}  # fmt: skip
COLOURS = {
    "beige": (214, 200, 170), "black": (28, 28, 30), "blue": (38, 78, 160),
    "bronze": (140, 100, 60), "brown": (95, 64, 44), "burgundy": (104, 24, 40),
    "gold": (200, 164, 72),
    "green": (44, 110, 66), "grey": (122, 124, 128), "indigo": (62, 48, 128),
    "magenta": (176, 48, 120), "maroon": (112, 30, 30), "multicolour": (150, 140, 90),
    "navy": (28, 38, 84), "orange": (222, 112, 32), "pink": (226, 140, 170),
    "purple": (96, 56, 130), "red": (184, 28, 32), "silver": (188, 190, 194),
    "turquoise": (48, 164, 168), "white": (240, 240, 238), "yellow": (232, 204, 52),
}  # fmt: skip
_GLASS, _RUBBER = (0.80, 1.00, 1.20), (0.06, 0.06, 0.06)
_LAMPS = {"front": (0.98, 0.95, 0.80), "back": (0.75, 0.05, 0.05)}


@dataclass(frozen=True)
class Scene:
    """What a picture shows beside the car itself, a value for each of N pictures.

    ``yaw`` in degrees: at 0 the nose points at us, at 90 to the right, at 180 away. ``zoom`` around
    1; ``shift`` (N, 2) of the car's middle, as a share of the side; ``sky`` and ``ground`` (N, 3)
    colours from 0 to 1; ``hidden`` (N, 3), left edge, width and height of a post in front of the
    car, as shares of the side (width 0: none); ``post`` (N, 3), its colour.
    """

    yaw: Tensor
    zoom: Tensor
    shift: Tensor
    sky: Tensor
    ground: Tensor
    hidden: Tensor
    post: Tensor

    def __len__(self) -> int:
        return len(self.yaw)

    def rows(self, part: slice | Tensor) -> Scene:
        return Scene(*(getattr(self, f.name)[part] for f in fields(self)))

    def to(self, device: torch.device | str) -> Scene:
        return Scene(*(getattr(self, f.name).to(device) for f in fields(self)))


def render(
    dimensions: Tensor, body: Tensor, colour: Tensor, style: Tensor, scene: Scene, size: int
) -> Tensor:
    """Pictures uint8 (N, 3, size, size).

    Args:
        dimensions: wheelbase, height, width, length (N, 4) in millimetres, all positive.
        body: number of the body type (N,), in the order of :data:`PROFILES`.
        colour: number of the colour (N,), in the order of :data:`COLOURS`.
        style: from 0 to 1 (N, 16), in the order of :data:`STYLE`.
        scene: of N pictures.
        size: side in pixels.

    >>> plain = torch.ones(1, 3)
    >>> scene = Scene(
    ...     torch.tensor([90.0]), torch.ones(1), torch.zeros(1, 2), plain, plain,
    ...     torch.zeros(1, 3), plain,
    ... )
    >>> car = torch.tensor([[2600.0, 1450.0, 1780.0, 4300.0]])
    >>> style = torch.full((1, len(STYLE)), 0.5)
    >>> picture = render(car, torch.tensor([0]), torch.tensor([17]), style, scene, 64)
    >>> picture.shape, picture[0, :, 0, 0].tolist()
    (torch.Size([1, 3, 64, 64]), [255, 255, 255])
    """
    out = torch.empty(len(scene), 3, size, size, dtype=torch.uint8, device=dimensions.device)
    for start in range(0, len(scene), _BATCH):
        part = slice(start, start + _BATCH)
        out[part] = _draw(
            dimensions[part].float(), body[part].long(), colour[part].long(), style[part].float(),
            scene.rows(part), size,
        )  # fmt: skip
    return out


def _draw(
    dimensions: Tensor, body: Tensor, colour: Tensor, style: Tensor, scene: Scene, size: int
) -> Tensor:
    device = dimensions.device
    wheelbase, height, width, length = (d[:, None, None] for d in dimensions.T)
    chosen = {name: values[:, None, None] for name, values in _chosen(style).items()}
    pixel = SPAN / size / scene.zoom[:, None, None]  # millimetres
    places = torch.arange(size, device=device) + 0.5
    shift = scene.shift[:, :, None, None] * size
    x = (places[None, None, :] - size / 2 - shift[:, 0]) * pixel  # (N, 1, S)
    y = (size / 2 - places[None, :, None] + shift[:, 1]) * pixel + height / 2  # (N, S, 1)
    yaw = scene.yaw.float().deg2rad()[:, None, None]
    sine, cosine = yaw.sin(), yaw.cos()

    top = height * outline(x, length, width, yaw, profile(body, style))
    inside = length / 2 * sine.abs() + width / 2 * cosine.abs() - x.abs()
    body_depth = torch.minimum(torch.minimum(top - y, y - CLEARANCE * height), inside)
    glass_depth = torch.minimum(
        torch.minimum(top - 0.06 * height - y, y - chosen["waist"] * height), inside - 0.06 * height
    )
    trim_depth = torch.minimum(body_depth, chosen["trim_top"] * height - y)
    roof_depth = torch.minimum(body_depth, y - 0.92 * height)

    def wheels(side: Tensor, share: Tensor | float = 1.0) -> Tensor:
        """Depth inside the nearer of the two wheels of one side, or inside that share of them."""
        found = []
        for end in (-0.5, 0.5):
            middle = end * wheelbase * sine + side * (width / 2 - _TYRE / 2) * cosine
            radius = chosen["wheel"] * height
            half = share * (radius * sine.abs() + _TYRE / 2 * cosine.abs())
            off = ((x - middle) / half).square() + ((y - radius) / (share * radius)).square()
            found.append((1 - off.clamp(min=1e-12).sqrt()) * torch.minimum(half, share * radius))
        return torch.maximum(*found)

    near = torch.where(sine >= 0, -1.0, 1.0)  # the side of the car that faces us
    picture = torch.where(
        (y > 0)[:, None], scene.sky[:, :, None, None], scene.ground[:, :, None, None]
    ).expand(-1, -1, -1, size)
    paint = torch.tensor(list(COLOURS.values()), device=device)[colour] / 255
    shade = (0.8 + 0.3 * y / height).clamp(max=1.1)[:, None]  # light comes from above
    body_ink = paint[:, :, None, None] * shade
    lamps = torch.where(
        (cosine > 0)[:, None], _rgb(_LAMPS["front"], device), _rgb(_LAMPS["back"], device)
    )
    nose = torch.where(cosine > 0, 0.5, -0.5) * length * sine  # or the tail, if that faces us

    def at_the_end(across: Tensor, up: Tensor, half_wide: Tensor, half_high: Tensor) -> Tensor:
        """Depth inside a rectangle on the end of the car that faces us; none from the side."""
        middle = nose + across * width * cosine
        wide = half_wide - (x - middle).abs()
        depth = torch.minimum(torch.minimum(wide, half_high - (y - up).abs()), body_depth)
        return torch.where(cosine.abs() > 0.1, depth, -pixel)

    lamp = chosen["lamp_size"] * height
    lamp_depth = torch.maximum(
        *(
            at_the_end(k * chosen["lamp_spread"], chosen["lamp_height"] * height, lamp, lamp)
            for k in (-1, 1)
        )
    )
    grille_depth = at_the_end(
        torch.zeros_like(width), 0.28 * height, chosen["grille"] / 2 * width * cosine.abs(),
        0.05 * height,
    )  # fmt: skip
    beside = sine.abs() > 0.1
    near_depth = torch.where(beside, wheels(near), -pixel)
    rim_depth = torch.where(beside, wheels(near, chosen["rim"]), -pixel)
    for depth, ink in (
        (torch.maximum(wheels(near), wheels(-near)), _rgb(_RUBBER, device)),
        (body_depth, body_ink),
        (roof_depth, body_ink * chosen["roof_tone"][:, None]),
        (trim_depth, chosen["trim_tone"][:, None]),
        (glass_depth, chosen["glass_tone"][:, None] * _rgb(_GLASS, device)),
        (grille_depth, chosen["grille_tone"][:, None]),
        (lamp_depth, lamps),
        (near_depth, _rgb(_RUBBER, device)),
        (rim_depth, chosen["rim_tone"][:, None]),
    ):
        cover = (0.5 + depth / pixel).clamp(0, 1)[:, None]
        picture = torch.lerp(picture, ink.expand_as(picture), cover)
    left, wide, high = ((scene.hidden * size).T)[:, :, None, None]
    post = (places[None, None, :] >= left) & (places[None, None, :] < left + wide)
    post = post & (places[None, :, None] >= size - high)
    picture = torch.where(post[:, None], scene.post[:, :, None, None], picture)
    return (picture * 255).round().clamp(0, 255).to(torch.uint8)


def profile(body: Tensor, style: Tensor) -> Tensor:
    """Corners (N, 5, 2) of N profiles, as in :data:`PROFILES`, in their makers' style (N, 16)."""
    corners = torch.tensor(list(PROFILES.values()), device=style.device)[body]
    change = _chosen(style)
    place, height = corners.unbind(2)
    height[:, 0] = (height[:, 0] + change["tail"]).clamp(max=1.0)
    height[:, 4] = height[:, 4] + change["nose"]
    screen = place[:, 2:4] + change["roof_front"][:, None]
    place[:, 2] = torch.maximum(screen[:, 0], place[:, 1] + 0.01)  # a roof, however short
    place[:, 3] = torch.maximum(screen[:, 1], place[:, 2] + 0.02).clamp(max=0.48)
    return corners


def _chosen(style: Tensor) -> dict[str, Tensor]:
    """What style (N, 16), from 0 to 1, stands for: values (N,) for each name of :data:`STYLE`."""
    return {
        name: low + (high - low) * values
        for (name, (low, high)), values in zip(STYLE.items(), style.T, strict=True)
    }


def outline(x: Tensor, length: Tensor, width: Tensor, yaw: Tensor, corners: Tensor) -> Tensor:
    """Height of the turned car at ``x``, over the car's height; meaningful where the car is.

    The part of the profile (N, 5, 2) that projects to ``x`` is an interval; the profile rises to
    the roof and falls, so its highest point there is the one nearest to the roof.
    """
    sine = yaw.sin()
    sine = torch.where(sine.abs() < 1e-4, 1e-4, sine)
    half = (width / 2 * yaw.cos() / sine).abs()
    low, high = x / sine - half, x / sine + half
    roof = corners[:, 1, 0][:, None, None] * length
    at = torch.minimum(torch.maximum(roof, low), high) / length
    at = at.clamp(-0.5, 0.5)
    value = torch.zeros_like(at)
    for k in range(4):
        (u0, h0), (u1, h1) = ((c[:, 0], c[:, 1]) for c in (corners[:, k], corners[:, k + 1]))
        u0, h0, u1, h1 = (v[:, None, None] for v in (u0, h0, u1, h1))
        line = h0 + (h1 - h0) * (at - u0) / (u1 - u0)
        value = torch.where((at >= u0) & (at <= u1), line, value)
    return value


def _rgb(colour: tuple[float, ...], device: torch.device) -> Tensor:
    return torch.tensor(colour, device=device)[None, :, None, None]
