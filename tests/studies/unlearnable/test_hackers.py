"""Hackers who train otherwise: the same encoders, what they are measured by, what views leave."""

import itertools

import pytest
import torch

from mmlib.augment.image import Normalize, simclr
from mmlib.augment.text import MaskTokens
from mmlib.augment.transform import as_it_is
from mmlib.data import scenes
from mmlib.data.captioned import Captioned
from mmlib.data.multimodal import Modality
from mmlib.data.text import MASK
from mmlib.mem.fingerprint import fingerprint
from mmlib.mem.hacker import evaluate, vectors
from mmlib.methods.modalities import views
from mmlib.presets.base import chapter_settings, resolve
from mmlib.studies.unlearnable import hackers, models
from mmlib.studies.unlearnable import pairs as pair_module
from mmlib.studies.unlearnable.pairs import THINGS, load_labelled, named_things

CFG = resolve("unlearnable_comm", {"preset": "smoke"})
METHODS = chapter_settings("unlearnable_comm")[1]["smoke"]["methods"]


@pytest.fixture(scope="module")
def labelled():
    return load_labelled(CFG, torch.device("cpu"), longest_trigger=3)


def hacker(method, labelled):
    return hackers.new_hacker(method, CFG, labelled.pairs, 2)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_all_start_from_the_weights_of_chapter_6_and_not_from_the_surrogate(labelled):
    usual = models.new_model(CFG, labelled.pairs, 2)
    assert fingerprint(hacker("clip", labelled)) == fingerprint(usual)
    weights = [w for encoder in usual.encoders for w in encoder.parameters()]
    surrogate = models.new_model(CFG, labelled.pairs, 1).encoders[0].trunk[0].weight
    for method in METHODS:
        found = [w for encoder in hacker(method, labelled).encoders for w in encoder.parameters()]
        assert all(torch.equal(a, b) for a, b in zip(found, weights, strict=True)), method
        assert not torch.equal(found[0], surrogate)


def test_untrained_image_and_text_features_are_the_same_for_all(labelled):
    known = [x[:8] for x in labelled.pairs.known]
    first = hackers.contents(hacker("clip", labelled), *known)
    for method in METHODS[1:]:
        found = hackers.contents(hacker(method, labelled), *known)
        for part in ("image", "text"):
            assert torch.allclose(found[part], first[part], atol=1e-6), (method, part)
        assert ("image_alone" in found) == method.startswith("comm")


def test_comm_is_the_released_code_and_with_samples_the_papers_formula(labelled):
    conventions = [hacker(name, labelled).convention for name in ("comm", "comm_samples")]
    assert conventions == ["released", "paper"]


@pytest.mark.parametrize("data", ["scenes", "flickr8k"])
def test_clip_sees_images_as_they_are_and_others_views_in_which_only_photos_are_mirrored(
    data, labelled
):
    cfg = CFG.model_copy(update={"data": data})
    view = simclr(CFG.image_size, crop_low=CFG.crop_low, upright=data == "scenes")
    plain, changed = [Normalize(), as_it_is], [view, MaskTokens(0.15)]
    for method in METHODS:
        model = hackers.new_hacker(method, cfg, labelled.pairs, 2)
        assert list(model.augment) == (plain if method == "clip" else changed), method
        assert list(model.prepare) == plain, method
        assert list(getattr(model, "align", plain)) == plain, method


@pytest.mark.parametrize("method", ["clip", "comm"])
def test_what_encoders_give_is_without_chance_of_the_first_caption(method, labelled):
    model, (images, ids) = hacker(method, labelled), labelled.pairs.known
    found = hackers.contents(model.train(), images[:9], ids[:9])
    assert not model.training
    with torch.no_grad():
        x = model.encoders[0](model.prepare[0](images[:4], None))
        expected = {
            "image": x.mean(dim=(2, 3)) if method == "comm" else x,
            "text": model.encoders[1](ids[:4, 0]),
            "both": model.embed([images[:4], ids[:4, 0]]),
        }
        if method == "comm":
            expected["image_alone"] = model.embed([images[:4], None], [True, False])
            expected["text_alone"] = model.embed([None, ids[:4, 0]], [False, True])
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.allclose(found[name][:4], value, atol=1e-5), name


@pytest.mark.parametrize("method", METHODS)
def test_hackers_are_scored_without_being_changed(method, labelled):
    model = hacker(method, labelled)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    scores = evaluate(model, *labelled.pairs.test)
    assert scores["median_rank.i2t"] >= 1
    after = model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_comm_is_scored_by_the_head_on_one_modality_with_its_own_statistics(labelled):
    model = hacker("comm", labelled).eval()
    images = labelled.pairs.test[0]
    with torch.no_grad():
        z = model.embed([images, None], [True, False])
        head = model.head.train()
        expected = head(z)
    assert torch.allclose(vectors(model.eval(), 0, images), expected, atol=1e-5)
    assert expected.mean(dim=0).isfinite().all()


def test_self_supervision_alone_sees_no_pair(labelled):
    model = hacker("alone", labelled).train()
    images, captions = labelled.pairs.train
    grads = []
    for texts in (captions[:16, 0], captions[:16, 0].flip(0)):
        model.zero_grad()
        model.loss((images[:16], texts), seeded())["loss"].backward()
        grads.append(model.encoders[0].trunk[0].weight.grad.clone())
    assert torch.equal(*grads)


def test_settling_moves_statistics_and_no_weight(labelled):
    model = hacker("clip", labelled)
    before, norm = fingerprint(model), model.encoders[0].trunk[1]
    mean = norm.running_mean.clone()
    hackers.settled(model.eval(), labelled.pairs.train[0], 8)
    assert fingerprint(model) == before
    assert not torch.equal(norm.running_mean, mean)
    assert not model.training


def test_content_is_all_where_features_tell_and_half_where_they_do_not():
    g = seeded()
    labels = torch.rand(400, 3, generator=g) < 0.3
    told = labels + 0.1 * torch.randn(400, 3, generator=g)
    blind = torch.randn(400, 3, generator=g)
    parts = labels[:200], labels[200:]
    assert hackers.content(told[:200], told[200:], parts) > 99
    assert 40 < hackers.content(blind[:200], blind[200:], parts) < 60
    half = torch.cat([told[:, :1], blind[:, 1:]], dim=1)  # of one label of three: the mean
    assert 60 < hackers.content(half[:200], half[200:], parts) < 74


def test_the_last_quarter_of_the_known_chooses_how_strong_a_probe_is(monkeypatch):
    seen, probe = {}, hackers.labels_probe
    monkeypatch.setattr(
        hackers, "labels_probe", lambda *a, **k: seen.update(k, given=a) or probe(*a, **k)
    )
    x, y = torch.randn(42, 2, generator=seeded()), torch.rand(42, 2, generator=seeded(1)) < 0.5
    hackers.content(x, x, (y, y))
    for (fitted, held), whole in zip(
        zip(seen["given"], seen["validation"], strict=True), (x, y), strict=True
    ):
        assert torch.equal(fitted, whole[:32])
        assert torch.equal(held, whole[32:])


class Named:
    """A model whose vectors are its inputs."""

    def aligned(self, modality, inputs):
        return inputs


def test_a_mixed_input_goes_by_what_its_vector_keeps():
    key, rest = torch.eye(4)[:2], torch.eye(4)[2:]
    own = torch.stack([key[0] + rest[0], key[1] + rest[1]])
    foreign = own.roll(1, 0)
    for weight, expected in ((2.0, 100.0), (0.5, 0.0)):
        mixed = torch.stack([weight * key[0] + rest[1], weight * key[1] + rest[0]])
        for longer in (1.0, 10.0):  # the length of a vector decides nothing
            found = hackers.goes_by_key(Named(), 1, mixed, own, longer * foreign)
            assert found == expected
    half = torch.stack([2 * key[0] + rest[1], key[1] + 2 * rest[0]])
    assert hackers.goes_by_key(Named(), 1, half, own, foreign) == 50


def survives(p, length):
    """Chance that a key word is left in both views."""
    return 1 - (1 - (1 - p) ** 2) ** length


@pytest.mark.parametrize("length", [1, 3, 8])
@pytest.mark.parametrize("p", [hackers.MASKED, 0.5])
def test_a_key_survives_both_views_as_often_as_the_page_says(p, length):
    ids = torch.full((20_000, length), 9)
    views = [MaskTokens(p)(ids, seeded(k)) for k in (0, 1)]
    both = ((views[0] != MASK) & (views[1] != MASK)).any(dim=1).double().mean()
    assert both.item() == pytest.approx(survives(p, length), abs=0.015)


def test_words_are_masked_as_in_comms_experiments_with_texts():
    assert views(Modality("text", "text", 9), 0.5) == MaskTokens(hackers.MASKED)


def test_numbers_of_the_exercise_on_masked_words():
    assert [round(survives(0.5, length), 2) for length in (3, 8)] == [0.58, 0.9]


def test_parts_do_not_share_images_and_labels_are_the_scenes(labelled):
    parts = [labelled.pairs.train[0], labelled.pairs.known[0], labelled.pairs.test[0]]
    for a, b in itertools.combinations(parts, 2):
        assert not (a[:, None].flatten(2) == b[None].flatten(2)).all(dim=2).any()
    for task, labels in labelled.tasks.items():
        for part, y in zip(parts[1:], labels, strict=True):
            assert y.shape == (len(part), len(labelled.names[task]))
            assert (y.sum(dim=1) >= 1).all()
            assert (y.sum(dim=1) <= 3).all()


def test_labels_are_those_of_the_part_they_are_given_with(labelled):
    g = torch.Generator().manual_seed(CFG.seed)
    sizes = {"train": CFG.n_train, "known": CFG.n_labelled, "test": CFG.n_test}
    made = {
        part: scenes.make(n, CFG.image_size, noise=CFG.pixel_noise, generator=g)
        for part, n in sizes.items()
    }
    for part, drawn in made.items():
        assert torch.equal(getattr(labelled.pairs, part)[0], drawn.images)
    for task, labels in labelled.tasks.items():
        for part, y in zip(("known", "test"), labels, strict=True):
            assert torch.equal(y, made[part].layout.present()[task])


def test_labelled_photos_are_those_of_validation_and_test(monkeypatch):
    def photos(n, thing):
        images = torch.zeros(n, 3, 16, 16, dtype=torch.uint8)
        return Captioned(images, [(f"a {thing}",) * 5] * n, tuple(map(str, range(n))))

    parts = {"train": photos(20, "dog"), "val": photos(16, "ball"), "test": photos(14, "beach")}
    monkeypatch.setattr(pair_module.captioned, "flickr8k", lambda size: parts)
    asked = {"data": "flickr8k", "n_train": 18, "n_labelled": 15, "n_test": 13}
    found = load_labelled(CFG.model_copy(update=asked), torch.device("cpu"), longest_trigger=3)
    sizes = [len(getattr(found.pairs, part)[0]) for part in ("train", "known", "test")]
    assert sizes == [18, 15, 13]
    for y, n, thing in zip(found.tasks["things"], (15, 13), ("ball", "beach"), strict=True):
        assert y.shape == (n, len(THINGS))
        assert [list(THINGS)[k] for k in y.any(dim=0).nonzero()[:, 0]] == [thing]


def test_things_are_words_and_not_parts_of_words():
    found = named_things([("a snowman", "a dogged man"), ("men on bikes",), ("a bicycle",)])
    names = [[list(THINGS)[k] for k in row.nonzero()[:, 0]] for row in found]
    assert names == [["man"], ["man"], ["bike"]]
