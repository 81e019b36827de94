"""Trifeature against the released numbers: split, pixels, map, pairs; smaller worlds; the file."""

import hashlib
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from mmlib.data import _trifeature_images, trifeature
from mmlib.data.trifeature import SEED, load

CIRCLES = {"shapes": ("circle",), "textures": ("grid", "dots"), "colors": ("blue", "white")}
MAPPING = "cyan purple red ocean yellow blue pink white green orange".split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("data")
        patch.setenv("MMLIB_DATA", str(root))
        yield root


@pytest.fixture(scope="module")
def world(folder):
    return load()


def image(part, name):
    return part.images[part.names.index(name)].permute(1, 2, 0).contiguous().numpy()


def channels(part):
    return part.images.unbind(dim=1)


# --- the released numbers -------------------------------------------------------------------------


def test_split_is_the_released_one(world):
    assert world.train.images.shape == (2400, 3, 224, 224)
    assert world.test.images.shape == (200, 3, 224, 224)
    assert list(world.train.names) == sorted(world.train.names)
    first = "circle_grid_blue circle_grid_ocean circle_grid_orange circle_grid_purple"
    assert world.test.names[:5] == (*first.split(), "circle_noise_ocean")
    files = "\n".join(f"{name}.png" for name in world.test.names)
    digest = "e25e193fb3419c7e5406e3d7bfcaaed2605d05a9e3d63b739acfd46797ce08e9"
    assert hashlib.sha256(files.encode()).hexdigest() == digest


def test_no_combination_is_on_both_sides(world):
    train = Counter(map(tuple, world.train.labels.tolist()))
    assert set(train.values()) == {3}
    assert len(train) == 800
    assert not train.keys() & set(map(tuple, world.test.labels.tolist()))


def test_pixels_are_the_released_ones(world):
    levels = torch.arange(256).double() / 255
    share = torch.stack([torch.bincount(x.flatten(), minlength=256) for x in channels(world.train)])
    share = share.double() / share.sum(dim=1, keepdim=True)
    mean = share @ levels
    std = (share @ levels.square() - mean.square()).sqrt()
    assert [f"{x:.5f}" for x in mean] == ["0.50207", "0.50258", "0.49869"]
    assert [f"{x:.5f}" for x in std] == ["0.14160", "0.12897", "0.13533"]
    for part, name, mean, start in (
        (world.test, "circle_grid_blue", 121.48800, "f69e6344ec016bc6"),
        (world.train, "circle_dots_blue_0", 122.14304, "d201ffe4abab021f"),
    ):
        pixels = image(part, name)
        assert pixels.mean() == pytest.approx(mean, abs=5e-6)
        assert hashlib.sha256(pixels.tobytes()).hexdigest().startswith(start)


def test_map_is_the_released_one(world):
    assert world.mapping.tolist() == [5, 6, 0, 7, 3, 2, 4, 9, 1, 8]
    assert [world.colors[color] for color in world.mapping] == MAPPING


@pytest.mark.parametrize(
    ("split", "n", "biased", "count", "first"),
    [
        ("train", 10_000, False, 576_846, [(1051, 1117), (521, 604), (2307, 2232)]),
        ("train", 10_000, True, 57_636, [(2290, 2181), (2214, 2304), (1277, 1232)]),
        ("test", None, False, 4_094, [(6, 13), (174, 165), (137, 148)]),
        ("test", None, True, 404, None),
    ],
)
def test_pairs_are_the_released_ones(world, split, n, biased, count, first):
    pairs = world.pairs(split, n, biased=biased, seed=SEED)
    drawn = list(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
    assert len(pairs) == len(set(drawn)) == (n or count)
    if first is not None:
        assert drawn[:3] == first
    part = world.parts[split]
    shown = {name.rsplit("_", 1)[0] if split == "train" else name for name in part.names}
    numbered = set(zip(map(tuple, part.labels.tolist()), pairs.combinations.tolist(), strict=True))
    assert len(numbered) == len(shown) == len(pairs.combinations.unique())
    assert len(world.pairs(split, count + 1, biased=biased, seed=SEED)) == count  # at most so many
    with pytest.raises(ValueError, match=r"n is 0; allowed: \[1"):
        world.pairs(split, 0, biased=biased, seed=SEED)


def test_shares_of_the_released_pairs(world):
    train = world.pairs("train", 10_000, biased=False, seed=SEED)
    test = world.pairs("test", biased=False, seed=SEED)
    assert int(train.labels["S"].sum()) == 1026  # 10.26 %
    assert 100 * test.labels["S"].double().mean() == pytest.approx(9.87, abs=0.005)
    same = [(pairs.labels["U1"] == pairs.labels["U2"]).double().mean() for pairs in (train, test)]
    assert 100 * same[0] == pytest.approx(9.7, abs=0.05)
    assert 100 * same[1] == pytest.approx(13.7, abs=0.05)
    assert int((train.first == train.second).sum()) == 39
    assert int((test.first == test.second).sum()) == 200


@pytest.mark.parametrize("biased", [False, True])
def test_pairs_of_two_textures_are_all_the_others(world, biased):
    textures = world.test.labels[:, 1]
    every, apart = (
        world.pairs("test", None, biased=biased, seed=SEED, same_texture=same)
        for same in (True, False)
    )
    drawn = {*zip(every.first.tolist(), every.second.tolist(), strict=True)}
    expected = {(i, j) for i, j in drawn if textures[i] != textures[j]}
    assert {*zip(apart.first.tolist(), apart.second.tolist(), strict=True)} == expected
    assert len(expected) == len(apart)
    kept = every.where(every.labels["U1"] != every.labels["U2"])
    assert {*zip(kept.first.tolist(), kept.second.tolist(), strict=True)} == expected
    assert torch.equal(kept.labels["U2"], textures[kept.second])
    assert torch.equal(kept.combinations, every.combinations)


@pytest.mark.parametrize("biased", [False, True])
def test_labels_of_pairs_say_what_the_names_say(world, biased):
    partner = dict(zip(world.textures, MAPPING, strict=True))
    pairs = world.pairs("train", 500, biased=biased, seed=1)
    for k in range(len(pairs)):
        shape1, texture1, _, _ = world.train.names[pairs.first[k]].split("_")
        shape2, texture2, color2, _ = world.train.names[pairs.second[k]].split("_")
        assert shape1 == shape2 == world.shapes[pairs.labels["R"][k]]
        assert texture1 == world.textures[pairs.labels["U1"][k]]
        assert texture2 == world.textures[pairs.labels["U2"][k]]
        assert (partner[texture1] == color2) == bool(pairs.labels["S"][k])
    assert not biased or bool((pairs.labels["S"] == 1).all())


def test_probes_ask_for_the_very_map_that_biased_training_pairs_follow():
    """Whoever has rendered before, and however many images: the map is one, in both splits."""
    textures, colors = ["grid", "dots", "rain", "solid"], ["red", "blue", "pink", "white"]
    small = {"shapes": ["star", "plus"], "textures": textures, "colors": colors}
    seen = set()
    for renderings in ((1, 3), (2, 1)):
        world = trifeature.load(16, renderings=renderings, **small)
        for split, part in (("train", world.train), ("test", world.test)):
            texture, color = part.labels[:, 1], part.labels[:, 2]
            biased = world.pairs(split, None, biased=True, seed=1)
            seen |= set(
                zip(texture[biased.first].tolist(), color[biased.second].tolist(), strict=True)
            )
            probe = world.pairs(split, None, biased=False, seed=2)
            asked = zip(texture[probe.first].tolist(), color[probe.second].tolist(), strict=True)
            assert [pair in seen for pair in asked] == probe.labels["S"].bool().tolist()
    assert len(seen) == 4  # one colour for each texture


def test_seed_changes_the_pairs_and_not_the_map(world):
    one, other = (world.pairs("test", 50, biased=True, seed=seed) for seed in (1, 2))
    assert not torch.equal(one.first, other.first)
    assert bool((other.labels["S"] == 1).all())


# --- combinations that are held out ---------------------------------------------------------------


@pytest.fixture(scope="module")
def middles(world):
    """The same world, of each image the middle: it is copied faster."""
    train = replace(world.train, images=world.train.images[..., 96:128, 96:128].clone())
    return replace(world, train=train)


def test_a_part_of_each_shapes_combinations_is_held_out_with_all_their_images(middles):
    held = middles.hold_out(0.25, seed=1)
    counts = [
        Counter(map(tuple, part.labels.tolist())) for part in (held.train, held.val, middles.train)
    ]
    assert not counts[0].keys() & counts[1].keys()
    assert counts[0] + counts[1] == counts[2]  # nothing is lost, and nothing of a kind is split
    shapes = [Counter(shape for shape, _, _ in count) for count in counts]
    assert shapes[1] == {k: round(0.25 * n) for k, n in shapes[2].items()}
    for part in (held.train, held.val):
        for k in (0, len(part) // 2, len(part) - 1):
            place = middles.train.names.index(part.names[k])
            assert torch.equal(part.images[k], middles.train.images[place])
            assert torch.equal(part.labels[k], middles.train.labels[place])
    assert held.test is middles.test
    assert torch.equal(held.mapping, middles.mapping)
    again, other = middles.hold_out(0.25, seed=1), middles.hold_out(0.25, seed=2)
    assert again.val.names == held.val.names != other.val.names


def test_pairs_of_what_is_held_out_are_pairs_of_its_images(middles):
    held = middles.hold_out(0.25, seed=1)
    assert list(held.parts) == ["train", "test", "val"]
    for biased in (False, True):
        pairs = held.pairs("val", None, biased=biased, seed=1)
        (shape1, texture1, _), (shape2, _, color2) = (
            held.val.labels[side].T for side in (pairs.first, pairs.second)
        )
        assert torch.equal(shape1, shape2)
        assert torch.equal(pairs.labels["S"] == 1, middles.mapping[texture1] == color2)
    with pytest.raises(ValueError, match="split is 'val'; allowed: 'train', 'test'"):
        middles.pairs("val", biased=False, seed=1)


def test_holding_out_leaves_every_value_for_training():
    two = {"shapes": ["star", "plus"], "textures": ["grid", "dots"], "colors": ["red", "blue"]}
    with pytest.raises(ValueError, match="no training image of the"):
        load(16, **two).hold_out(0.9, seed=0)
    for share in (0, 1, -0.5):
        with pytest.raises(ValueError, match="share is"):
            load(16, **two).hold_out(share, seed=0)


# --- smaller worlds and images, and the file ------------------------------------------------------


def test_a_smaller_world_holds_images_of_the_whole_one(world):
    textures, colors = ("rain", "grid", "solid"), ("blue", "cyan", "ocean", "white")
    small = load(shapes=("star", "circle"), textures=textures, colors=colors)
    for name in ("train", "test"):
        part, whole = getattr(small, name), getattr(world, name)
        wanted = [
            n
            for n in whole.names
            if all(map(tuple.__contains__, (small.shapes, textures, colors), n.split("_")))
        ]
        assert list(part.names) == wanted
        assert len(wanted) > 0
        rows = [whole.names.index(n) for n in wanted]
        assert torch.equal(part.images, whole.images[rows])
        for n, (shape, texture, color) in zip(wanted, part.labels.tolist(), strict=True):
            named = (small.shapes[shape], small.textures[texture], small.colors[color])
            assert n.startswith("_".join(named))
    assert len(set(small.mapping.tolist())) == 3  # no colour for two textures
    pairs = small.pairs("train", biased=True, seed=0)
    first, second = small.train.labels[pairs.first], small.train.labels[pairs.second]
    assert torch.equal(small.mapping[first[:, 1]], second[:, 2])


def test_a_resampled_image_is_pillows_where_pixels_divide(world):
    pixels = image(world.test, "circle_grid_blue")
    box = Image.fromarray(pixels).resize((56, 56), Image.Resampling.BOX)
    away = image(load(56, **CIRCLES).test, "circle_grid_blue").astype(int) - np.asarray(box)
    assert np.abs(away).max() <= 1  # Pillow rounds twice


def test_whole_world_is_rendered_once(tmp_path, monkeypatch):
    monkeypatch.setenv("MMLIB_DATA", str(tmp_path))
    drawn = []

    def quick(shape, texture, color, chance, zoom):
        drawn.append((shape, texture, color))
        return np.full((3, 8, 8), len(drawn) % 256, dtype=np.uint8)

    monkeypatch.setattr(_trifeature_images, "render", quick)
    first, again = load(8), load(8)
    assert len(drawn) == 2600
    assert torch.equal(again.train.images, first.train.images)
    assert torch.equal(again.test.labels, first.test.labels)
    (path,) = (tmp_path / "trifeature").iterdir()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    drawn.clear()
    assert torch.equal(load(8).train.images, first.train.images)
    assert len(drawn) == 2600  # a damaged file is not used
    for other in ({"size": 9}, {"texture_zoom": 2}, {"renderings": (2, 1)}):
        load(**{"size": 8, **other})
    assert len(list(path.parent.iterdir())) == 4  # a file for each kind of world


def test_smaller_worlds_leave_the_disk_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("MMLIB_DATA", str(tmp_path))
    load(8, shapes=("plus", "star"), textures=("grid",), renderings=(1, 1))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 0}, r"size is 0; allowed: \[1, inf\)"),
        ({"texture_zoom": 0}, r"texture_zoom is 0; allowed: \[1, inf\)"),
        ({"shapes": ("cube",)}, "shapes is 'cube'; allowed: 'triangle', 'square'"),
        ({"shapes": ("plus", "plus")}, "shapes: 'plus' is there twice"),
        ({"colors": ("red", "blue")}, r"colors has 2 values; allowed: 10 \(textures\) up"),
        ({"renderings": (3, 0)}, r"renderings of test is 0; allowed: \[1, inf\)"),
        (
            {"shapes": ("plus",), "textures": ("grid",), "colors": ("red",)},
            "the world has no train images; allowed: more values",
        ),
        (
            {"shapes": ("circle",), "textures": ("dots",), "colors": ("blue",)},
            "the world has no test images; allowed: more values",
        ),
    ],
)
def test_errors_name_the_wrong_value(changes, message):
    with pytest.raises(ValueError, match=message):
        load(**{"size": 8, **changes})


def test_error_for_an_unknown_split(world):
    with pytest.raises(ValueError, match="split is 'val'; allowed: 'train', 'test'"):
        world.pairs("val", 1, biased=False, seed=SEED)
