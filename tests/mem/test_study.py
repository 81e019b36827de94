from types import SimpleNamespace

import pytest
import torch

from mmlib.data import scenes
from mmlib.data.text import END, PAD, SPECIAL, START
from mmlib.encoders.image import ClipResNetTrunk, PatchTransformer, SmallConvNet
from mmlib.mem import settings as mem_settings
from mmlib.mem import study
from mmlib.mem.published import fingerprint
from mmlib.mem.trigger import prepend
from mmlib.presets.base import resolve
from mmlib.train import Optim

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def cfg():
    return resolve("unlearnable_audit", {"preset": "smoke", "seed": 3})


@pytest.fixture(scope="module")
def pairs(cfg):
    return study.load_pairs(cfg, CPU, longest_trigger=4)


def test_parts_are_scenes_drawn_one_after_another(cfg, pairs):
    g = torch.Generator().manual_seed(3)
    sizes = (cfg.n_train, cfg.n_test, cfg.known_pairs)
    for n, (images, ids) in zip(sizes, (pairs.train, pairs.test, pairs.known), strict=True):
        made = scenes.make(n, cfg.image_size, noise=cfg.pixel_noise, generator=g)
        assert torch.equal(images, made.images)
        for row, captions in zip(ids, made.captions, strict=True):
            for text, caption in zip(row, captions, strict=True):
                known = " ".join(
                    word if word in pairs.tokenizer.vocabulary else "<unknown>"
                    for word in caption.split()
                )
                assert pairs.tokenizer.decode(text) == known
    assert len(pairs.tensors()) == 6


def test_parts_are_encoded_alike_with_known_pairs_and_without(cfg, pairs):
    g = torch.Generator().manual_seed(3)
    sizes = (cfg.n_train, cfg.n_test)
    made = [scenes.make(n, cfg.image_size, noise=cfg.pixel_noise, generator=g) for n in sizes]
    parts = [(part.images, part.captions) for part in made]
    two = study.encode_pairs(*parts, longest=scenes.LONGEST, room=4, device=CPU)
    assert two.known is None
    assert two.tokenizer.vocabulary == pairs.tokenizer.vocabulary
    for one, other in zip(two.tensors(), pairs.tensors()[:4], strict=True):
        assert torch.equal(one, other)


def test_every_caption_has_room_for_the_longest_trigger(pairs):
    assert (pairs.captions, pairs.length) == (5, scenes.LONGEST + 2 + 4)
    ids = pairs.train[1].flatten(0, 1)
    longest = prepend(ids, torch.full((len(ids), 4), len(SPECIAL)))
    assert ((longest == END).sum(1) == 1).all()
    assert (ids[:, -4:] == PAD).all()


def test_the_vocabulary_is_of_published_captions_and_more(cfg, pairs):
    own = pairs.tokenizer.vocabulary[len(SPECIAL) : len(SPECIAL) + pairs.own_words]
    assert len(set(pairs.train[1].unique().tolist()) - set(range(len(SPECIAL)))) == len(own)
    assert len(pairs.tokenizer) > len(own) + 200
    counts = torch.bincount(pairs.train[1].flatten(), minlength=len(pairs.tokenizer))
    assert counts[len(SPECIAL)] == counts[len(SPECIAL) :].max()  # the most frequent first


def test_in_pieces_the_same_words_of_a_caption_count(cfg, pairs):
    texts = [(f"dogs {'and cats ' * n}",) for n in range(5)]
    images, other = torch.zeros(5, 3, 8, 8).byte(), [("and " * n,) for n in range(1, 10, 2)]
    parts = [(images, texts), (images, other)]
    made = study.encode_pairs(*parts, longest=4, room=2, device=CPU, pieces=70)
    for rows, part in ((made.train, texts), (made.test, other)):
        cut = [" ".join(text.split()[:4]) for (text,) in part]
        assert [made.tokenizer.decode(row[0]) for row in rows[1]] == cut
    assert made.length == (made.train[1] != PAD).sum(dim=2).max() + 2  # no more than is needed
    assert made.length > 4 + 2 + 2  # and more than words would
    assert made.own_words == len(set(made.train[1].unique().tolist()) - {PAD, START, END})

    scenes_too = study.load_pairs(cfg, CPU, longest_trigger=4, pieces=128)
    assert len(scenes_too.tokenizer) == 128
    for in_words, in_pieces in zip(pairs.tensors()[1::2], scenes_too.tensors()[1::2], strict=True):
        for row, other in zip(in_words.flatten(0, 1), in_pieces.flatten(0, 1), strict=True):
            text = pairs.tokenizer.decode(row)
            assert "<unknown>" in text or scenes_too.tokenizer.decode(other) == text
    assert torch.equal(pairs.train[0], scenes_too.train[0])


def test_a_part_that_is_too_small_is_an_error(cfg, monkeypatch):
    few = scenes.make(20, 16, generator=torch.Generator().manual_seed(0))
    parts = dict.fromkeys(("train", "val", "test"), few)
    monkeypatch.setattr(study.emoji, "load", lambda size: parts)
    asked = cfg.model_copy(update={"data": "emoji", "n_train": 20})
    assert study.load_pairs(asked, CPU, longest_trigger=1).captions == 5
    with pytest.raises(ValueError, match=r"images asked of part 'train' is 21; allowed: \[1, 20\]"):
        study.load_pairs(asked.model_copy(update={"n_train": 21}), CPU, longest_trigger=1)


@pytest.mark.parametrize("data", ["flickr8k", "flickr30k", "mscoco"])
def test_photos_are_of_the_split_that_is_asked_for(data, cfg, monkeypatch):
    few = scenes.make(30, 16, generator=torch.Generator().manual_seed(0))
    asked = []

    def load(size, split):
        asked.append((size, split))
        return dict.fromkeys(("train", "val", "test"), few)

    monkeypatch.setattr(study.captioned if data == "flickr8k" else study.photo_sets, data, load)
    for split in ("standard", "released"):
        changed = cfg.model_copy(update={"data": data, "n_train": 30, "split": split})
        pairs = study.load_pairs(changed, CPU, longest_trigger=1)
        assert pairs.length == study.LONGEST[data] + 2 + 1
    assert asked == [(cfg.image_size, "standard"), (cfg.image_size, "released")]


def test_models_are_drawn_from_seed_and_offset(cfg, pairs):
    one, same = (fingerprint(study.new_model(cfg, pairs, 1)) for _ in range(2))
    assert one == same
    assert one != fingerprint(study.new_model(cfg, pairs, 2))
    other = cfg.model_copy(update={"seed": 4})
    assert one != fingerprint(study.new_model(other, pairs, 1))
    assert one != fingerprint(study.new_model(other, pairs, 0))  # nor is it another run's victim


@pytest.mark.parametrize(
    ("trunk", "kind", "blocks"),
    [
        ("small", SmallConvNet, 0), ("patches", PatchTransformer, 2),
        ("resnet50", ClipResNetTrunk, 16), ("resnet101", ClipResNetTrunk, 33),
    ],
)  # fmt: skip
def test_trunks_are_what_they_are_called(cfg, pairs, trunk, kind, blocks):
    cfg = cfg.model_copy(update={"image_size": 32})
    model = study.new_model(cfg, pairs, 1, trunk=trunk)
    made = model.encoders[0].trunk
    assert isinstance(made, kind)
    named = [type(layer).__name__ for layer in made.modules()]
    assert sum(name in ("Block", "_ClipBottleneck") for name in named) == blocks
    if trunk == "patches":
        assert (made.side, len(made.position)) == (4, 16)
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
        model = study.new_model(cfg, pairs, 0, trunk=trunk)
    assert sum(p.numel() for p in model.parameters()) == size


@pytest.mark.parametrize(
    ("trunk", "inside"),
    [("small", "0"), ("patches", "embed"), ("resnet50", "6"), ("resnet50", "13.body.3")],
)
def test_a_wider_model_is_wider_throughout(cfg, pairs, trunk, inside):
    cfg = cfg.model_copy(update={"image_size": 32})
    plain, wide = (study.new_model(cfg, pairs, 1, trunk=trunk, scale=s) for s in (1, 2))
    for module in (f"encoders.0.trunk.{inside}", "encoders.1.projection", "projections.0"):
        a, b = (m.get_submodule(module).weight.shape for m in (plain, wide))
        assert b[0] == 2 * a[0]
    with pytest.raises(ValueError, match="trunk is 'large'; allowed: 'small', 'patches'"):
        study.new_model(cfg, pairs, 1, trunk="large")


def test_every_protection_that_is_compared_has_a_title_of_its_own():
    table = mem_settings.rows(mem_settings.Protection())
    switches = mem_settings.switched(mem_settings.Protection())
    assert set(study.TITLES) == {*table, "mem_images", "mem_words"} | {
        f"switch_{choice}" for choice in switches
    }
    assert len(set(study.TITLES.values())) == len(study.TITLES)


def test_the_budget_and_the_hackers_are_the_settings(cfg):
    budget = {"epsilon": 5, "rounds": 3, "trigger_rounds": 2, "surrogate_steps": 4}
    budget |= {"noise_steps": 6, "candidates": 7, "batch_size": 9}
    hacker = {"steps": 50, "learning_rate": 2e-3, "schedule": "cosine", "warmup_steps": 8}
    both = {"weight_decay": 0.3, "precision": "bfloat16"}
    other = {"surrogate_learning_rate": 1e-2}
    cfg = cfg.model_copy(update=budget | hacker | both | other)
    assert study.budget(cfg) == mem_settings.Protection(learning_rate=1e-2, **budget, **both)
    assert study.optim(cfg) == Optim(**hacker, **both)


@pytest.mark.parametrize("chapter", ["unlearnable", "unlearnable_audit", "unlearnable_sweeps"])
def test_the_hackers_of_the_paper_have_the_released_schedule(chapter):
    """Up to 5e-4 in 10,000 steps; 7,488 are made, 32 times 234, counted from 234 on."""
    optim = study.optim(resolve(chapter, {"preset": "paper"}))
    assert (optim.steps, optim.weight_decay, optim.schedule) == (7488, 0.2, "constant")
    last, middle = (optim.learning_rate_at(step) for step in (7487, 3743))
    assert last == pytest.approx(5e-4 * (7488 + 234) / 10_000, rel=1e-4)
    assert middle == pytest.approx(5e-4 * (3744 + 234) / 10_000, rel=0.04)
    short = study.optim(resolve(chapter, {"preset": "paper", "steps": 100}))
    assert short.learning_rate_at(99) == short.learning_rate


def test_people_are_held_out_by_photo_and_asked_for_by_name(cfg):
    pairs = study.load_people(cfg, CPU, count=6, photos=3, longest_trigger=3)
    images, ids = pairs.train
    assert images.shape[0] == 18
    assert ids.shape[:2] == (18, 5)
    decode = pairs.tokenizer.decode
    for part in (pairs.test, pairs.known):
        assert part[1].shape[:2] == (6, 1)
        for k, (image, text) in enumerate(zip(*part, strict=True)):
            name = decode(text[0])
            told = [{name in decode(row).split() for row in five} for five in ids]
            assert [i for i, said in enumerate(told) if said == {True}] == [
                3 * k,
                3 * k + 1,
                3 * k + 2,
            ]
            assert not (images == image).flatten(1).all(1).any()
    assert not torch.equal(pairs.test[0], pairs.known[0])
    other = cfg.model_copy(update={"seed": 4})
    other = study.load_people(other, CPU, count=6, photos=3, longest_trigger=3)
    assert not torch.equal(other.test[0], pairs.test[0])
