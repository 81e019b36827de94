"""The builder for any modalities: what all methods share, where they differ, and what they see."""

from itertools import combinations
from typing import get_args

import pytest
import torch

from mmlib.augment.image import ColorJitter, Flip, ResizedCrop, Rotation
from mmlib.augment.sequence import Drop, Noise
from mmlib.augment.table import Corrupt
from mmlib.augment.text import MaskTokens
from mmlib.data.multimodal import Modality
from mmlib.data.table import TableSchema
from mmlib.data.text import END, PAD, START
from mmlib.methods.clip import DualEncoder
from mmlib.methods.cmc import CMC
from mmlib.methods.modalities import Method, build, light, prepared, views
from mmlib.presets.base import resolve

SCHEMA = TableSchema(2, (3,))
ROWS = torch.tensor([[0.1, 1.0, 0.0], [0.2, 2.0, 1.0], [0.3, 3.0, 2.0]])
KINDS = {
    "image": Modality("image", "image", 16),
    "table": Modality("table", "table", 3, SCHEMA, ROWS),
    "vector": Modality("vector", "vector", 5),
    "sequence": Modality("sequence", "sequence", 4),
    "text": Modality("text", "text", 12, length=6),
}
B = 6


def settings(**changes):
    return resolve("comm_real", {"preset": "smoke", **changes})


def batch(kind, seed=0):
    generator = torch.Generator().manual_seed(seed)
    if kind == "image":
        return torch.randint(256, (B, 3, 16, 16), generator=generator, dtype=torch.uint8)
    if kind == "table":
        return ROWS.repeat(2, 1)
    if kind == "text":
        words = torch.randint(5, 12, (B, 6), generator=generator)
        words[:, 0], words[:, -1] = START, END
        return words
    shape = (B, 5) if kind == "vector" else (B, 3, 4)
    return torch.randn(shape, generator=generator)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("method", get_args(Method))
@pytest.mark.parametrize("kinds", [*combinations(KINDS, 2), ("image", "vector", "text")])
def test_each_method_trains_and_embeds_any_modalities(method, kinds):
    if method == "factorcl":
        kinds = kinds[:2]
    modalities = [KINDS[kind] for kind in kinds]
    seen = [1] if method == "alone" else None
    model = build(method, modalities, settings(), seen=seen)
    x = [batch(kind) for kind in (kinds[1:2] if method == "alone" else kinds)]
    classes = [torch.arange(B) % 2] if method == "supcon" else []
    loss = model.loss([*x, *classes], seeded())["loss"]
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad and p.ndim > 1)
    with torch.no_grad():
        embedding = model.eval().embed(x)
        assert embedding.isfinite().all()
        assert torch.equal(embedding, model.combine([model.encode(k, m) for k, m in enumerate(x)]))
    assert embedding.shape[0] == B


def test_all_methods_start_from_the_same_encoders_whatever_they_see():
    modalities = list(KINDS.values())
    models = {
        ("comm", (0, 1, 2, 3, 4)): None, ("cross", (2, 4)): None, ("cross_self", (1, 2, 3)): None,
        ("alone", (2,)): None, ("factorcl", (2, 3)): None, ("supcon", (1, 2)): None,
    }  # fmt: skip
    for method, seen in models:
        model = build(method, modalities, settings(), seen=seen)
        models[method, seen] = list(model.encoders[seen.index(2)].parameters())
    first, *others = models.values()
    for other in others:
        assert first
        assert all(map(torch.equal, first, other))
    again = build("alone", modalities, settings(seed=1), seen=[2]).encoders[0]
    assert not torch.equal(first[0], next(again.parameters()))


def test_cross_is_clip_for_two_and_cmc_for_more():
    three = [KINDS["vector"]] * 3
    assert isinstance(build("cross", three[:2], settings()), DualEncoder)
    assert isinstance(build("cross", three, settings()), CMC)


def test_masks_and_convention_are_the_settings():
    three = [KINDS["vector"]] * 3
    assert len(build("comm", three, settings()).masks) == 4
    assert len(build("comm", three, settings(masks="subsets")).masks) == 7
    assert build("comm", three, settings(convention="paper")).convention == "paper"


@pytest.mark.parametrize(
    ("method", "padding", "trained", "embedded"),
    [
        ("comm", "seen", True, True),
        ("comm", "hidden", False, False),
        ("comm", "released", True, False),
        ("supcon", "seen", True, True),
        ("supcon", "released", False, False),
        ("alone", "released", False, False),
    ],
)
def test_padding_is_seen_in_training_and_afterwards_as_asked(method, padding, trained, embedded):
    kinds = ("text",) if method == "alone" else ("vector", "text")
    cfg = settings(texts="words", padding=padding)
    model = build(method, [KINDS[kind] for kind in kinds], cfg).eval()
    x = [batch(kind) for kind in kinds]
    x[-1][:, 3:] = torch.tensor([END, PAD, PAD])
    classes = [torch.arange(B) % 2] if method == "supcon" else []
    places = model.encoders[-1].encoder.position_embedding

    def told():
        with torch.no_grad():
            combined = model.combine([model.encode(k, m) for k, m in enumerate(x)])
            return model.loss([*x, *classes], seeded())["loss"], model.embed(x), combined

    before = told()
    assert all(value.isfinite().all() for value in before)
    with torch.no_grad():
        places[4:] += torch.randn(2, cfg.width, generator=seeded())  # nothing before sees it
    moved = [not torch.equal(now, then) for now, then in zip(told(), before, strict=True)]
    assert moved == [trained, embedded, embedded]
    with torch.no_grad():
        places[3:] += torch.randn(3, cfg.width, generator=seeded())  # the end is no padding
    assert not any(map(torch.equal, told(), before))


def test_words_are_tokens_only_where_there_is_a_fusion():
    text, cfg = KINDS["text"], settings(texts="words")
    words, whole = (build("alone", [text], c) for c in (cfg, settings()))
    x = batch("text")
    assert [m.encode(0, x).shape[1] for m in (words, whole)] == [6, 1]
    cross = [build("cross", [text, KINDS["vector"]], c).encode(0, x) for c in (cfg, settings())]
    assert torch.equal(*cross)


def test_alone_is_simclr_of_that_modality():
    from mmlib import losses

    modalities = [KINDS["vector"], KINDS["table"]]
    model = build("alone", modalities, settings(convention="paper"), seen=[0])
    x, generator = batch("vector"), seeded(4)
    expected = seeded(4)
    views_of_x = [views(KINDS["vector"], 0.5)(x, expected) for _ in range(2)]
    z = [model.project([view], [[True]])[0] for view in views_of_x]
    found = model.loss([x], generator)["loss"]
    torch.testing.assert_close(found, losses.nt_xent(*z, temperature=0.1))
    with pytest.raises(ValueError, match="modalities that 'alone' sees is 2; allowed: 1"):
        build("alone", modalities, settings())


def test_views_are_those_of_the_kind():
    def kinds(transform):
        return [type(part) for part in transform.transforms]

    image = kinds(views(KINDS["image"], 0.4))
    assert {ResizedCrop, ColorJitter, Flip} <= set(image)
    assert Rotation not in image
    upright = views(Modality("digit", "image", 16, upright=True), 0.4)
    assert Rotation(degrees=15) in upright.transforms
    assert Flip not in kinds(upright)
    assert views(KINDS["image"], 0.4).transforms[0].scale == (0.4, 1.0)
    for kind in ("vector", "sequence"):
        assert kinds(views(KINDS[kind], 1)) == [Drop, Noise]
    assert views(KINDS["text"], 1) == MaskTokens(0.15)
    table = views(KINDS["table"], 1)
    assert isinstance(table, Corrupt)
    assert table.rate == 0.3
    assert torch.equal(table.marginals, ROWS)
    assert light(KINDS["image"]).transforms[0] == ResizedCrop(16, scale=(0.5, 1.0))


@pytest.mark.parametrize("kind", ["table", "vector", "sequence", "text"])
def test_what_is_no_image_is_aligned_and_encoded_as_it_is(kind):
    x = batch(kind)
    assert torch.equal(light(KINDS[kind])(x, seeded()), x)
    assert torch.equal(prepared(KINDS[kind])(x, None), x)


@pytest.mark.parametrize("method", ["cross", "cross_self"])
def test_alignment_across_modalities_is_light_unless_asked(method):
    modalities = [KINDS["vector"], KINDS["sequence"]]
    x = [batch("vector"), batch("sequence")]
    field = "augment" if method == "cross" else "align"
    for align, changes in {"light": False, "strong": True}.items():
        transform = getattr(build(method, modalities, settings(align=align)), field)[0]
        seen = torch.stack([transform(x[0], seeded(k)) for k in range(8)])
        assert bool((seen != x[0]).any()) == changes


def test_factorcls_views_are_comms():
    pair = [KINDS["vector"], KINDS["sequence"]]
    assert build("factorcl", pair, settings()).augment == build("comm", pair, settings()).augment


def test_supcon_has_the_released_temperature_whatever_the_others_have():
    three, cfg = [KINDS["vector"], KINDS["sequence"], KINDS["text"]], settings(temperature=0.5)
    methods = ("supcon", "comm", "cross", "cross_self")
    found = {method: build(method, three, cfg).temperature for method in methods}
    assert found == {"supcon": 0.07, "comm": 0.5, "cross": 0.5, "cross_self": 0.5}


def test_crops_and_heads_are_the_settings():
    pair = [KINDS["image"], KINDS["sequence"]]
    cfg = settings(crop_low=0.4, heads=4, head_hidden=24)
    comm = build("comm", pair, cfg)
    assert comm.augment[0].transforms[0].scale == (0.4, 1.0)
    assert comm.fusion.transformer.blocks[0].heads == 4
    assert comm.head[0].out_features == 24
    alone = build("cross_self", pair, cfg).projections[0]
    assert alone[0].out_features == 48  # twice as wide without a fusion, as released


def test_another_name_is_an_error():
    with pytest.raises(ValueError, match="method is 'clip'; allowed: 'cross'"):
        build("clip", list(KINDS.values()), settings())
