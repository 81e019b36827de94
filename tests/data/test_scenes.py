import math
import re
from dataclasses import fields, replace
from itertools import permutations

import pytest
import torch

from mmlib.data import scenes

# An independent reading of the captions: words to meanings, and sentences to what they claim.
MEANING = {
    "shape": {
        **{name: name for name in ("circle", "square", "triangle", "cross", "ring", "bar")},
        "disc": "circle",
        "box": "square",
        "plus": "cross",
        "hoop": "ring",
        "stripe": "bar",
    },
    "color": {
        **{name: name for name in ("red", "green", "blue", "yellow", "orange", "purple", "pink")},
        "cyan": "cyan",
        "scarlet": "red",
        "violet": "purple",
        "turquoise": "cyan",
    },
    "size": {
        **dict.fromkeys(("small", "little", "tiny"), "small"),
        **dict.fromkeys(("large", "big", "huge"), "large"),
    },
}
NOUN = re.compile(
    "an? "
    + "".join(f"(?:(?P<{kind}>{'|'.join(MEANING[kind])}) )?" for kind in ("size", "color"))
    + f"(?P<shape>{'|'.join(MEANING['shape'])})\\b"
)
RELATIONS = {  # of the first shape to the second
    **dict.fromkeys(["left of", "to the left of"], lambda a, b: a["column"] < b["column"]),
    **dict.fromkeys(["right of", "to the right of"], lambda a, b: a["column"] > b["column"]),
    **dict.fromkeys(["above", "over"], lambda a, b: a["row"] < b["row"]),
    **dict.fromkeys(["below", "under", "beneath"], lambda a, b: a["row"] > b["row"]),
}
BESIDE = {"to its left": "left of", "to its right": "right of", "above it": "above"}
BESIDE["below it"] = "below"
PLACES = {
    "at the top": lambda a: a["row"] == 0,
    "at the bottom": lambda a: a["row"] == 2,
    "on the left": lambda a: a["column"] == 0,
    "on the right": lambda a: a["column"] == 2,
    "in the middle": lambda a: a["row"] == a["column"] == 1,
}


def things_of(layout, i):
    return [
        {
            "shape": scenes.SHAPES[layout.shape[i, slot]],
            "color": list(scenes.COLORS)[layout.color[i, slot]],
            "size": "large" if layout.large[i, slot] else "small",
            "row": int(layout.cell[i, slot]) // 3,
            "column": int(layout.cell[i, slot]) % 3,
        }
        for slot in range(layout.count[i])
    ]


def is_true(caption, things, background):
    """Whether different shapes of the scene can take the places of the caption's nouns."""
    nouns = [
        {kind: MEANING[kind][word] for kind, word in match.groupdict().items() if word}
        for match in NOUN.finditer(caption)
    ]
    rest = re.sub(NOUN, "#", caption)
    ground = re.search(r" ?on a (\w+) (?:background|backdrop)", rest)
    if ground:
        if ground[1] != background:
            return False
        rest = rest.replace(ground[0], "").strip()
    rest = re.sub("^(a picture of|there is|here is) ", "", rest)
    count = re.fullmatch("one of (two|three) (?:shapes|objects) is #", rest)
    if count:
        if len(things) != {"two": 2, "three": 3}[count[1]]:
            return False
        rest = "#"

    def holds(chosen):
        if rest in ("#", "# and #", "# and # and #"):
            return True
        relation = re.fullmatch("# (.*) #", rest)
        if relation and relation[1] in RELATIONS:
            return RELATIONS[relation[1]](*chosen)
        beside = re.fullmatch("# with # (.*)", rest)
        if beside:  # the second noun is where, seen from the first
            return RELATIONS[BESIDE[beside[1]]](chosen[1], chosen[0])
        places = re.fullmatch("# (.*) and # (.*)", rest)
        assert places, f"cannot read {caption!r} (left: {rest!r})"
        return all(PLACES[p](thing) for p, thing in zip(places.groups(), chosen, strict=True))

    return any(
        all(noun.items() <= thing.items() for noun, thing in zip(nouns, chosen, strict=True))
        and holds(chosen)
        for chosen in permutations(things, len(nouns))
    )


@pytest.fixture(scope="module")
def many():
    return scenes.make(600, 16, generator=torch.Generator().manual_seed(0))


def test_every_caption_is_true_of_its_scene_and_few_of_another(many):
    grounds = [list(scenes.BACKGROUNDS)[g] for g in many.layout.background]
    things = [things_of(many.layout, i) for i in range(600)]
    for captions, inside, ground in zip(many.captions, things, grounds, strict=True):
        for caption in captions:
            assert is_true(caption, inside, ground), (caption, inside, ground)
    elsewhere = [
        is_true(caption, things[i - 1], grounds[i - 1])
        for i in range(600)
        for caption in many.captions[i]
    ]
    assert sum(elsewhere) / len(elsewhere) < 0.05


def test_five_different_captions_of_five_to_fifteen_words(many):
    lengths = [len(caption.split()) for captions in many.captions for caption in captions]
    assert (min(lengths), max(lengths)) == (5, 15)
    assert all(len(set(captions)) == 5 for captions in many.captions)
    words = {word for captions in many.captions for c in captions for word in c.split()}
    assert {w for kind in MEANING.values() for w in kind} <= words  # every synonym is used


def test_scenes_have_distinct_cells_and_kinds_and_uniform_attributes():
    layout = scenes.draw(6000, generator=torch.Generator().manual_seed(1))
    assert (layout.cell.sort(1).values.diff(dim=1) > 0).all()
    kind = layout.shape + 10 * layout.color
    assert (kind.sort(1).values.diff(dim=1) > 0).all()
    for values, number in [
        (layout.shape, 6), (layout.color, 8), (layout.cell, 9),
        (layout.background, 4), (layout.count - 2, 2), (layout.large.long(), 2),
    ]:  # fmt: skip
        share = torch.bincount(values.flatten(), minlength=number) / values.numel()
        assert (share - 1 / number).abs().max() < 0.025


def test_same_generator_same_scenes_and_every_rendering_another():
    a, b = (scenes.make(5, 24, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(a.images, b.images)
    assert a.captions == b.captions
    again = scenes.render(a.layout, 24, generator=torch.Generator().manual_seed(4))
    assert not torch.equal(a.images, again)


def test_many_scenes_are_drawn_in_blocks():
    layout = scenes.draw(70, generator=torch.Generator().manual_seed(0))
    layout = replace(layout, background=torch.arange(70) % 4)
    together = scenes.render(layout, 256, generator=torch.Generator().manual_seed(1))
    block = scenes.render(layout[:64], 256, generator=torch.Generator().manual_seed(1))
    assert len(together) == 70
    assert torch.equal(together[:64], block)
    ground = together[64:].float().mean(1).flatten(1).median(1).values  # the last block's own
    names = list(scenes.BACKGROUNDS)
    assert [names[i] for i in ground[:4].argsort()] == ["black", "brown", "grey", "white"]


def visible(layout, size, slot):
    """The scenes up to a shape, and where it is seen: from a second rendering without it."""
    drawn, blank = (
        scenes.render(
            replace(layout, count=torch.full_like(layout.count, count)),
            size,
            noise=0.0,
            generator=torch.Generator().manual_seed(7),
        ).float()
        for count in (slot + 1, slot)
    )
    change = (drawn - blank).abs().sum(1)
    return drawn, (change > 0.5 * change.amax((1, 2), keepdim=True)).float()


def test_pixels_show_what_the_layout_says():
    layout = scenes.draw(400, generator=torch.Generator().manual_seed(2))
    drawn, mask = visible(layout, 48, slot=0)  # the first: nothing else on the ground yet
    shape, color, large, cell = (
        values[:, 0] for values in (layout.shape, layout.color, layout.large, layout.cell)
    )
    area = mask.sum((1, 2))
    shade = (drawn * mask[:, None]).sum((2, 3)) / area[:, None]
    palette = torch.tensor(list(scenes.COLORS.values()))
    assert torch.equal(torch.cosine_similarity(shade[:, None], palette, dim=2).argmax(1), color)
    axis = (torch.arange(48) + 0.5) / 48
    row, column = (mask * axis[:, None]).sum((1, 2)) / area, (mask * axis).sum((1, 2)) / area
    nominal = 0.2 + 0.3 * torch.stack([cell // 3, cell % 3])
    assert (torch.stack([row, column]) - nominal).abs().max() < 0.06  # cells are 0.3 apart
    for each in range(len(scenes.SHAPES)):
        assert area[(shape == each) & large].min() > 1.2 * area[(shape == each) & ~large].max()


def test_shapes_have_their_second_moment():
    """The ratio of the polar moment to the squared area does not change with size and rotation."""
    outer, inner = 1.08, 0.52
    exact = {
        "circle": 1 / (2 * math.pi),
        "square": 1 / 6,
        "triangle": 1 / (3 * math.sqrt(3)),
        "cross": 0.1951,
        "ring": (outer**2 + inner**2) / (2 * math.pi * (outer**2 - inner**2)),
        "bar": (2.7**2 + 1) / 12 / 2.7,
    }
    n = 8
    layout = scenes.draw(n * 6, generator=torch.Generator().manual_seed(5))
    layout = replace(
        layout,
        shape=torch.arange(6).repeat(n)[:, None].expand(-1, 3),
        cell=torch.full((n * 6, 3), 4),
        large=torch.ones(n * 6, 3, dtype=torch.bool),
    )
    _, mask = visible(layout, 128, 0)
    axis = torch.arange(128.0)
    area = mask.sum((1, 2))
    y, x = (mask * axis[:, None]).sum((1, 2)) / area, (mask * axis).sum((1, 2)) / area
    squared = (axis[:, None] - y[:, None, None]) ** 2 + (axis - x[:, None, None]) ** 2
    ratio = (mask * squared).sum((1, 2)) / area**2
    for i, name in enumerate(scenes.SHAPES):
        assert ratio[i::6].tolist() == pytest.approx([exact[name]] * n, rel=0.03), name


def test_noise_has_the_asked_standard_deviation():
    layout = scenes.draw(50, generator=torch.Generator().manual_seed(0))
    layout = replace(layout, background=torch.ones(50, dtype=torch.long))  # grey: nothing clips
    clean, noisy = (
        scenes.render(layout, 32, noise=noise, generator=torch.Generator().manual_seed(1))
        for noise in (0.0, 0.05)
    )
    grey = clean.float().std(1) < 20
    spread = (noisy.float() - clean.float()).movedim(1, -1)[grey].std() / 255
    assert float(spread) == pytest.approx(0.05, rel=0.03)


def test_layouts_index_as_their_tensors():
    layout = scenes.draw(6, generator=torch.Generator().manual_seed(0))
    part = layout[torch.tensor([4, 1])]
    for field in fields(layout):
        assert torch.equal(getattr(part, field.name), getattr(layout, field.name)[[4, 1]])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, r"n is 0; allowed: \[1"),
        ({"size": 4}, r"size is 4; allowed: \[8"),
        ({"noise": -0.1}, "noise is -0.1"),
    ],
)
def test_bad_input_names_the_value_and_the_range(arguments, message):
    given = {"n": 1, "size": 8, "noise": 0.0, **arguments}
    with pytest.raises(ValueError, match=message):
        scenes.make(**given, generator=torch.Generator().manual_seed(0))


def test_shapes_lie_about_the_cells_that_are_occupied():
    layout = scenes.draw(200, generator=torch.Generator().manual_seed(0))
    inside = scenes.occupied(layout, 60)
    assert torch.equal(inside.sum(dim=(1, 2)), layout.count * 18 * 18)  # cells of 0.3 x 0.3
    nothing = replace(layout, count=torch.zeros_like(layout.count))
    assert not scenes.occupied(nothing, 60).any()
    drawn, ground = (  # the same light on both
        scenes.render(x, 60, noise=0, generator=torch.Generator().manual_seed(1))
        for x in (layout, nothing)
    )
    covered = (drawn != ground).any(dim=1)
    assert 0.88 < float((covered & inside).sum() / covered.sum()) < 0.93
    assert (covered & inside).flatten(1).any(dim=1).all()


def test_a_scene_has_the_colors_and_shapes_of_its_things():
    layout = scenes.draw(200, generator=torch.Generator().manual_seed(3))
    present = layout.present()
    for row in range(len(layout)):
        things = range(int(layout.count[row]))
        for kind, of in (("colors", layout.color), ("shapes", layout.shape)):
            expected = {int(of[row, k]) for k in things}
            assert set(present[kind][row].nonzero()[:, 0].tolist()) == expected
