"""Chapters' networks and schedules are those of their settings, at the size paper MEM's own."""

import math
from types import SimpleNamespace

import pytest
import torch

from mmlib.encoders.image import ClipResNetTrunk, PatchTransformer, SmallConvNet
from mmlib.mem.fingerprint import fingerprint
from mmlib.mem.settings import Protection
from mmlib.methods.clip import MAX_SCALE
from mmlib.presets.base import resolve
from mmlib.studies.unlearnable import models
from mmlib.train import Optim

CPU = torch.device("cpu")


def test_models_are_drawn_from_seed_and_offset(cfg, pairs):
    one, same = (fingerprint(models.new_model(cfg, pairs, 1)) for _ in range(2))
    assert one == same
    assert one != fingerprint(models.new_model(cfg, pairs, 2))
    other = cfg.model_copy(update={"seed": 4})
    assert one != fingerprint(models.new_model(other, pairs, 1))
    assert one != fingerprint(models.new_model(other, pairs, 0))  # nor is it another run's victim


@pytest.mark.parametrize(
    ("trunk", "kind", "blocks"),
    [
        ("small", SmallConvNet, 0), ("patches", PatchTransformer, 2),
        ("resnet50", ClipResNetTrunk, 16), ("resnet101", ClipResNetTrunk, 33),
    ],
)  # fmt: skip
def test_trunks_are_what_they_are_called(cfg, pairs, trunk, kind, blocks):
    cfg = cfg.model_copy(update={"image_size": 32})
    model = models.new_model(cfg, pairs, 1, trunk=trunk)
    made = model.encoders[0].trunk
    assert isinstance(made, kind)
    named = [type(layer).__name__ for layer in made.modules()]
    assert sum(name in ("Block", "_ClipBottleneck") for name in named) == blocks
    if trunk == "patches":
        assert (made.side, len(made.position)) == (4, 16)
    if kind is ClipResNetTrunk:  # as CLIP draws it
        weight = model.projections[0].weight
        assert weight.std().item() * weight.shape[1] ** 0.5 == pytest.approx(1, abs=0.05)
    model.eval()
    images = torch.rand(2, 3, 32, 32)
    z = model.project([model.prepare[0](images, None), pairs.test[1][:2, 0]])
    assert [part.shape for part in z] == [(2, cfg.features)] * 2


@pytest.mark.parametrize(
    ("trunk", "features", "size"),
    [
        (None, 1024, 102_007_137), ("resnet101", 512, 119_688_033),
        ("patches", 512, 151_277_313 - 2_304),  # no class token, no first normalisation
    ],
)  # fmt: skip
def test_networks_of_the_paper_are_clips_released_ones(trunk, features, size):
    """With CLIP's 49,408 pieces and 77 ids, to the last parameter; of patches nearly."""
    cfg = resolve("unlearnable_sweeps", {"preset": "paper"})
    cfg = cfg.model_copy(update={"features": features})
    with torch.device("meta"):
        images = torch.empty(1, 3, 224, 224)
        pairs = SimpleNamespace(tokenizer=range(49_408), length=77, train=(images,))
        model = models.new_model(cfg, pairs, 0, trunk=trunk)
    assert sum(p.numel() for p in model.parameters()) == size


@pytest.mark.parametrize(
    ("trunk", "inside"),
    [("small", "0"), ("patches", "embed"), ("resnet50", "6"), ("resnet50", "13.body.3")],
)
def test_a_wider_model_is_wider_throughout(cfg, pairs, trunk, inside):
    cfg = cfg.model_copy(update={"image_size": 32})
    plain, wide = (models.new_model(cfg, pairs, 1, trunk=trunk, scale=s) for s in (1, 2))
    for module in (f"encoders.0.trunk.{inside}", "encoders.1.projection", "projections.0"):
        a, b = (m.get_submodule(module).weight.shape for m in (plain, wide))
        assert b[0] == 2 * a[0]
    with pytest.raises(ValueError, match="trunk is 'large'; allowed: 'small', 'patches'"):
        models.new_model(cfg, pairs, 1, trunk="large")


def test_the_budget_and_the_hackers_are_the_settings(cfg):
    budget = {"epsilon": 5, "rounds": 3, "trigger_rounds": 2, "surrogate_steps": 4}
    budget |= {"noise_steps": 6, "candidates": 7, "batch_size": 9}
    hacker = {"steps": 50, "learning_rate": 2e-3, "schedule": "cosine", "warmup_steps": 8}
    both = {"weight_decay": 0.3, "precision": "bfloat16"}
    other = {"surrogate_learning_rate": 1e-2}
    cfg = cfg.model_copy(update=budget | hacker | both | other)
    assert models.budget(cfg) == Protection(learning_rate=1e-2, **budget, **both)
    assert models.optim(cfg) == Optim(**hacker, **both)


@pytest.mark.parametrize("chapter", ["unlearnable", "unlearnable_audit", "unlearnable_sweeps"])
def test_the_hackers_of_the_paper_have_the_released_schedule(chapter):
    """Up to 5e-4 in 10,000 steps; 7,488 are made, 32 times 234, counted from 234 on."""
    optim = models.optim(resolve(chapter, {"preset": "paper"}))
    assert (optim.steps, optim.weight_decay, optim.schedule) == (7488, 0.2, "constant")
    last, middle = (optim.learning_rate_at(step) for step in (7487, 3743))
    assert last == pytest.approx(5e-4 * (7488 + 234) / 10_000, rel=1e-4)
    assert middle == pytest.approx(5e-4 * (3744 + 234) / 10_000, rel=0.04)
    short = models.optim(resolve(chapter, {"preset": "paper", "steps": 100}))
    assert short.learning_rate_at(99) == short.learning_rate


@pytest.mark.parametrize("chapter", ["unlearnable", "unlearnable_audit", "unlearnable_sweeps"])
@pytest.mark.parametrize("preset", ["quick", "desk", "paper"])
def test_no_surrogate_comes_near_the_bound_of_its_scale(chapter, preset, pairs):
    """AdamW moves a number by about its rate a step: a bound, as MEM has none, changes little."""
    made = models.budget(resolve(chapter, {"preset": preset}))
    smoke = resolve(chapter, {"preset": "smoke"})
    room = math.log(MAX_SCALE) - models.new_model(smoke, pairs, 1).log_scale.item()
    assert made.rounds * made.surrogate_steps * made.learning_rate < room / 3
