"""The explorer shows the right image and the right labels, whatever is picked."""

import base64
import io
import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

from mmlib.data import trifeature
from mmlib.explorer import pair_explorer

VALUES = {
    "shapes": ["star", "plus"],
    "textures": ["grid", "dots"],
    "colors": ["red", "blue", "pink"],
}
SIZE = 24


@pytest.fixture(scope="module")
def world():
    return trifeature.load(SIZE, **VALUES, renderings=(2, 1))


@pytest.fixture(scope="module")
def page(world):
    return pair_explorer(world)


def known(page):
    return json.loads(re.search(r"const world = (\{.*?\});", page)[1])


def test_each_combination_is_where_the_script_looks_for_it(world, page):
    png = base64.b64decode(re.search(r"base64,([\w+/=]+)", page)[1])
    sheet = torch.from_numpy(np.array(Image.open(io.BytesIO(png))))
    seen = set()
    for held, part in enumerate((world.train, world.test)):
        for image, labels in zip(part.images, part.labels.tolist(), strict=True):
            if tuple(labels) in seen:
                continue  # a second rendering
            seen.add(tuple(labels))
            shape, texture, color = labels
            column = texture * len(world.colors) + color
            assert known(page)["unseen"][shape][column] == held
            rows, columns = (slice(k * SIZE, (k + 1) * SIZE) for k in (shape, column))
            assert torch.equal(sheet[rows, columns], image.permute(1, 2, 0))
    assert len(seen) == 12


def test_it_asks_nobody(page):
    assert not re.search(r"https?://|fetch\(|import\(|src=", page)


@pytest.fixture
def tab(browser):
    """An empty page, which waits for two minutes: on a busy machine a click has taken half one."""
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        context.set_default_timeout(120_000)
        yield context.new_page()


def test_labels_follow_what_is_picked(world, page, tab):
    complaints = []
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.set_content(page)
    partner = world.colors[world.mapping[1]]
    first = tab.locator("output").inner_text()  # before anything is picked, a pair that follows M
    assert "R: star; U1: grid; U2: dots; S: 1." in first
    for name, value in {"shape": "plus", "texture1": "dots", "texture2": "grid"}.items():
        tab.select_option(f"[name={name}]", value)
    told = [{0: "for training", 1: "held out for the test"}[k] for k in known(page)["unseen"][1]]
    assert len(set(told)) == 2
    for color, where in zip(world.colors, told, strict=False):  # of plus, grid
        tab.select_option("[name=color2]", color)
        text = tab.locator("output").inner_text()
        assert f"R: plus; U1: dots; U2: grid; S: {int(color == partner)}." in text
        assert f"M sends dots to {partner}, and image 2 is {color}." in text
        assert f"Image 1: {told[3]}. Image 2: {where}." in text  # of plus, dots, red
        assert tab.locator("[role=img]").nth(1).get_attribute("aria-label") == (
            f"Image 2: plus, grid, {color}"
        )
    place = tab.locator("[role=img]").first.evaluate("image => image.style.backgroundPosition")
    assert place == f"-{3 * SIZE}px -{SIZE}px"  # column, row of plus, dots, red
    assert not complaints


def test_a_hole_in_the_world_is_an_error(world):
    from dataclasses import replace

    fewer = replace(world, test=replace(world.test, images=world.test.images[:0],
                                        labels=world.test.labels[:0], names=()))  # fmt: skip
    with pytest.raises(ValueError, match="no image of values"):
        pair_explorer(fewer)
