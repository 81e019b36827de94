"""An explorer of Trifeature's pairs for a page: pick values, see both images and all labels."""

from __future__ import annotations

import base64
import html
import io
import json

import torch

from mmlib.data.trifeature import Trifeature

_STYLE = """
.pairs { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }
.pairs fieldset { border: 1px solid #8886; border-radius: 4px; padding: .4rem .8rem; margin: 0; }
.pairs legend { font-size: .9rem; padding: 0 .3rem; float: none; width: auto; margin: 0; }
.pairs label { display: block; font-size: .85rem; }
.pairs select { min-width: 6.5rem; }
.pairs [role="img"] { background-image: var(--sheet); margin: .3rem 0; }
.pairs output { display: block; font-size: .9rem; flex-basis: 100%; }
"""

# All that it knows is `world`; it asks nobody.
_SCRIPT = """
(() => {
  const root = document.currentScript.previousElementSibling;
  const value = (name) => root.querySelector(`[name=${name}]`).selectedIndex;
  const {size, shapes, textures, colors, map, unseen} = world;
  function show() {
    const shape = value("shape"), words = [];
    for (const side of [1, 2]) {
      const texture = value(`texture${side}`), color = value(`color${side}`);
      const column = texture * colors.length + color;
      const image = root.querySelectorAll("[role=img]")[side - 1];
      image.style.backgroundPosition = `-${column * size}px -${shape * size}px`;
      const name = `${shapes[shape]}, ${textures[texture]}, ${colors[color]}`;
      const held = unseen[shape][column];
      image.setAttribute("aria-label", `Image ${side}: ${name}`);
      words.push(`Image ${side}: ${held ? "held out for the test" : "for training"}.`);
    }
    const partner = map[value("texture1")], follows = partner === value("color2");
    const labels = [
      `R: ${shapes[shape]}`, `U1: ${textures[value("texture1")]}`,
      `U2: ${textures[value("texture2")]}`, `S: ${follows ? 1 : 0}`,
    ].join("; ");
    const why = `M sends ${textures[value("texture1")]} to ${colors[partner]}, and image 2 is `
      + `${colors[value("color2")]}.`;
    root.querySelector("output").textContent = `${labels}. ${why} ${words.join(" ")}`;
  }
  root.addEventListener("change", show);
  show();
})();
"""


def pair_explorer(world: Trifeature) -> str:
    """HTML with all first renderings of ``world``, choices for a pair, and the pair's labels.

    It works in a page without a server and loads nothing. Raises ``ValueError`` if a combination of
    values has no image.

    >>> from mmlib.data import trifeature
    >>> world = trifeature.load(16, shapes=["star", "plus"], textures=["grid", "dots"])
    >>> "star" in pair_explorer(world)
    True
    """
    from PIL import Image

    counts = len(world.shapes), len(world.textures), len(world.colors)
    size = world.train.images.shape[-1]
    grid = torch.zeros(*counts, 3, size, size, dtype=torch.uint8)
    found = torch.full(counts, -1)  # 0: an image for training, 1: for the test
    for held, part in enumerate((world.train, world.test)):
        for image, place in zip(part.images.flip(0), part.labels.flip(0), strict=True):
            grid[*place], found[*place] = image, held  # the first rendering comes last
    if (found < 0).any():
        missing = [int(k) for k in (found < 0).nonzero()[0]]
        raise ValueError(f"the world has no image of values {missing}")
    sheet = grid.flatten(1, 2).permute(0, 3, 1, 4, 2)  # shapes, rows, columns, pixels, channels
    sheet = sheet.reshape(counts[0] * size, counts[1] * counts[2] * size, 3)
    png = io.BytesIO()
    Image.fromarray(sheet.cpu().numpy()).save(png, format="PNG", optimize=True)
    address = f"data:image/png;base64,{base64.b64encode(png.getvalue()).decode()}"
    known = {
        "size": size,
        "shapes": world.shapes,
        "textures": world.textures,
        "colors": world.colors,
        "map": world.mapping.tolist(),
        "unseen": found.flatten(1).tolist(),
    }

    def choice(name: str, title: str, values: tuple[str, ...], chosen: int) -> str:
        options = "".join(
            f"<option{' selected' * (k == chosen)}>{html.escape(v)}</option>"
            for k, v in enumerate(values)
        )
        return f'<label>{title} <select name="{name}">{options}</select></label>'

    def side(k: int, texture: int, color: int) -> str:
        return (
            f"<fieldset><legend>Image {k}</legend>"
            f'<div role="img" style="width:{size}px;height:{size}px"></div>'
            + choice(f"texture{k}", "texture", world.textures, texture)
            + choice(f"color{k}", "colour", world.colors, color)
            + "</fieldset>"
        )

    follows = int(world.mapping[0])
    return (
        f'<style>{_STYLE}</style><div class="pairs" style="--sheet:url({address})">'
        "<fieldset><legend>Both images</legend>"
        + choice("shape", "shape", world.shapes, 0)
        + "</fieldset>"
        + side(1, 0, 0)
        + side(2, 1, follows)
        + '<output aria-live="polite"></output></div>'
        + f"<script>{{const world = {json.dumps(known)};{_SCRIPT}}}</script>"
    )
