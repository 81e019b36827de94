"""The builder of the Trifeature chapters: what all methods share and where they differ."""

from typing import get_args

import pytest
import torch

from mmlib.augment.image import ColorJitter, Flip, GaussianBlur, Normalize, ResizedCrop
from mmlib.methods.image_pairs import TITLES, WEIGHTS, build
from mmlib.presets.base import resolve
from mmlib.presets.trifeature import Fusion, Method

METHODS = get_args(Method)


def settings(**changes):
    return resolve("comm", {"preset": "smoke", **changes})


def images(n=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (n, 3, 16, 16), generator=generator, dtype=torch.uint8)


def kinds(transform):
    return [type(part) for part in transform.transforms]


@pytest.mark.parametrize("method", METHODS)
def test_each_method_makes_a_step_and_an_embedding_from_the_same_encoders(method):
    model, reference = build(method, settings()), build("comm", settings())
    for k in range(2):
        own, other = (list(m.encoders[k].parameters()) for m in (model, reference))
        assert own
        assert all(map(torch.equal, own, other))
    labels = (torch.tensor([0, 0, 0, 1, 1, 1]),) if method == "supcon" else ()
    parts = model.loss((images(), images(seed=1), *labels), torch.Generator().manual_seed(0))
    parts["loss"].backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad and p.ndim > 1)
    assert model.eval().embed((images(), images(seed=1))).shape[0] == 6
    assert method in TITLES


def test_no_two_methods_share_a_network_and_seeds_differ():
    one, other = (build("comm", settings(seed=seed)) for seed in (0, 1))
    first, second = (m.encoders[0].state_dict()["0.weight"] for m in (one, other))
    assert not torch.equal(first, second)
    towers = build("comm", settings()).encoders
    assert not torch.equal(towers[0][0].weight, towers[1][0].weight)  # one network for each image


def test_views_are_the_settings():
    assert GaussianBlur not in kinds(build("comm", settings()).augment[0])
    assert GaussianBlur in kinds(build("comm", settings(blur=True)).augment[0])
    crop, *_ = build("comm", settings(crop_low=0.4)).augment[1].transforms
    assert isinstance(crop, ResizedCrop)
    assert crop.scale == (0.4, 1.0)
    first, second = map(kinds, build("factorcl", settings()).augment)
    assert ResizedCrop in first
    assert ResizedCrop not in second
    assert Flip in second
    light = [ResizedCrop(16, scale=(0.5, 1.0)), Normalize()]
    for method in ("cross_self", "cross_self_fused"):  # what is aligned across the images
        model = build(method, settings())
        assert [part.transforms for part in model.align] == [light, light]
        assert ColorJitter in kinds(model.augment[0])
    assert [part.transforms for part in build("cross", settings()).augment] == [light, light]
    for method, weights in WEIGHTS.items():
        assert build(method, settings()).weights == weights


def test_temperature_and_heads_are_the_settings():
    """Cross has a temperature of its own, and FactorCL none."""
    for method in set(METHODS) - {"cross", "factorcl"}:
        assert build(method, settings(temperature=0.5)).temperature == 0.5
    cfg = settings(head_hidden=24)
    hidden = {
        method: heads[0].out_features
        for method, heads in {
            "comm": build("comm", cfg).head, "cross_self": build("cross_self", cfg).projections[0]
        }.items()
    }  # fmt: skip
    assert hidden == {"comm": 24, "cross_self": 48}  # as released
    assert build("comm", settings(heads=4)).fusion.transformer.blocks[0].heads == 4


def test_fusions_and_views_of_the_ablations():
    batch = images(), images(seed=1)
    sizes = {}
    for fusion in get_args(Fusion):
        model = build("comm", settings(), fusion=fusion)
        sizes[fusion] = sum(p.numel() for p in model.fusion.parameters())
        parts = model.loss(batch, torch.Generator().manual_seed(0))
        parts["loss"].backward()
        assert all(p.grad is not None for p in model.fusion.parameters())
    width = settings().width
    assert sizes["marked"] == sizes["transformer"] + 2 * width
    assert sizes["linear"] == 2 * width * width + width
    assert sizes["mlp"] == 4 * width * (2 * width + 1) + width * (4 * width + 1)
    assert sizes["two_layers"] > sizes["transformer"] > sizes["mlp"] > sizes["linear"]

    model = build("comm", settings(), views=("none", "crop"))
    first, second = (augment(x, torch.Generator().manual_seed(0)) for augment, x in
                     zip(model.augment, batch, strict=True))  # fmt: skip
    torch.testing.assert_close(first, model.prepare[0](batch[0], None))  # nothing is drawn
    assert not torch.allclose(second, model.prepare[1](batch[1], None), atol=1e-2)
    light, full = build("comm", settings(), views=("light", "full")).augment
    assert kinds(light) == [ResizedCrop, Normalize]
    assert light.transforms[0].scale == (0.5, 1.0)
    assert len(kinds(full)) > 2


def test_another_name_is_an_error():
    with pytest.raises(ValueError, match="fusion is 'sum'; allowed: 'transformer'"):
        build("comm", settings(), fusion="sum")
    with pytest.raises(ValueError, match="views is 'all'; allowed: 'full'"):
        build("comm", settings(), views=("full", "all"))
    with pytest.raises(ValueError, match="method is 'clip'; allowed: 'cross'"):
        build("clip", settings())
