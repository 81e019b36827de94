"""What chapter 5's trainings share: records, first weights, who trains and who chooses."""

import copy
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression

from mmlib.augment.image import Rotation
from mmlib.data import dvm
from mmlib.evaluate import fine_tune
from mmlib.evaluate.metrics import balanced_accuracy
from mmlib.label_dp.conditions import conditions
from mmlib.methods import mmcl
from mmlib.presets.base import resolve
from mmlib.studies import heads
from mmlib.studies import image_table as study_module
from mmlib.studies.heads import first_stage, train_head
from mmlib.studies.image_table import ImageTableStudy, _load, _views
from mmlib.train import Optim

from .image_table_world import released, with_settings


def test_private_records_are_those_for_training_and_then_those_that_choose(study):
    train, validation = study.dataset.train, study.dataset.validation
    assert study.n == len(train)
    assert len(study.private) == len(train) + len(validation)
    for name in ("images", "table", "labels"):
        both = getattr(study.private, name)
        assert torch.equal(both[: study.n], getattr(train, name))
        assert torch.equal(both[study.n :], getattr(validation, name))


def test_all_start_from_the_same_weights_and_another_seed_from_others(study):
    other = with_settings(study, seed=1).untrained()
    first, again = study.untrained(), study.untrained()
    pairs = zip(first.parameters(), again.parameters(), other.parameters(), strict=True)
    same = [(torch.equal(a, b), torch.equal(a, c)) for a, b, c in pairs]
    assert all(a for a, _ in same)
    assert not all(b for _, b in same)


def test_a_label_is_one_more_column_with_a_code_for_each_class(study):
    study, seen = with_settings(study, steps=1), study.seen()
    with_label = study.pretrain(seen, "x", label_too=True)
    widths = [m.encoders[1].schema.n_columns for m in (study.untrained(), with_label)]
    assert widths == [17, 18]
    assert with_label.encoders[1].schema.cardinalities[-1] == 10
    other = replace(seen, labels=9 - seen.labels)
    changed = study.pretrain(other, "x", label_too=True)
    pairs = zip(with_label.parameters(), changed.parameters(), strict=True)
    assert not all(torch.equal(a, b) for a, b in pairs)


def test_pretraining_learns_from_the_first_n_pairs_alone_and_is_watched_from_before_its_start(
    study,
):
    study, points = with_settings(study, steps=4, points=2), []
    seen = replace(study.seen(), labels=9 - study.private.labels)
    model = study.pretrain(seen, "x", note=lambda *point: points.append(point))
    assert [step for step, *_ in points] == [0, 2, 4]
    odd, seen_at = with_settings(study, steps=5, points=2), []
    odd.pretrain(seen, "x", note=lambda step, *_: seen_at.append(step))
    assert seen_at == [0, 2, 4, 5]  # the last one, too
    first = study.untrained()
    assert points[0][1] == study.matching(first, study.test.images, study.test.table)
    assert points[0][2] == study.probe_quickly(first, seen)
    assert points[2][2] == study.probe_quickly(model, seen) != points[0][2]
    watched = zip(model.parameters(), study.pretrain(seen, "x").parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in watched)  # to look changes nothing
    spoiled = replace(seen, images=seen.images.clone())
    spoiled.images[study.n :] = 0
    for ours, theirs in zip(
        model.parameters(), study.pretrain(spoiled, "x").parameters(), strict=True
    ):
        assert torch.equal(ours, theirs)


def test_trainings_are_optimised_as_the_settings_say_and_share_no_stream_with_coins(
    study, monkeypatch
):
    changed = {"steps": 50, "warmup_steps": 7, "learning_rate": 2e-3, "weight_decay": 0.3}
    changed |= {"head_epochs": 3, "head_learning_rate": 5e-3, "precision": "bfloat16"}
    changed |= {"tune_epochs": 4, "tune_learning_rate": 4e-3}
    study, seen, asked = with_settings(study, **changed), [], []
    study.generator = lambda k: asked.append(k) or torch.Generator().manual_seed(k)
    for module in (study_module, heads):
        monkeypatch.setattr(module, "fit", lambda model, loss, *how, **_: seen.append(how[0]))
    monkeypatch.setattr(fine_tune, "fine_tune", lambda *_, **given: seen.append(given["optim"]))
    features = torch.zeros(len(study.private), 2), torch.zeros(len(study.test), 2)
    study.pretrain(study.seen(), "x")
    study.tune(torch.nn.Identity(), None, "x")
    train_head(study, features, None, "x", None)
    for draw in range(3):
        study.release(conditions(10, 3.0)["double_rr"], draw)
    first_stage(study)
    assert len(set(asked)) == len(asked) == 7
    study.pretrain_alone("simclr", "x")
    cosine = {"optimizer": "adam", "schedule": "cosine", "precision": "bfloat16"}
    pretrained = Optim(50, 2e-3, 0.3, warmup_steps=7, **cosine)
    epoch = study.n // study.cfg.batch_size
    tuned, head = Optim(4 * epoch, 4e-3, 0.0, **cosine), Optim(3 * epoch, 5e-3, 0.0, "adam")
    assert seen == [pretrained, tuned, head, pretrained]


def test_private_and_test_images_are_embedded_without_chance(study):
    """Each by its own, whatever is beside it in a batch, and also after a training step."""
    model = study.untrained()
    x, x_test = study.embedded(model.train())
    assert not model.training
    for part, found in ((study.private, x), (study.test, x_test)):
        assert len(found) == len(part)
        with torch.no_grad():
            alone = model.encoders[0](study.resize(part.images[7:8]))
        torch.testing.assert_close(found[7:8], alone)


def test_matching_by_hand(study):
    model = study.untrained().eval()
    images, table = study.test.images[:200], study.test.table[:200]
    with torch.no_grad():
        u, v = (F.normalize(x[:128], dim=1) for x in model.embed((images, table)).chunk(2, dim=1))
    own = ((u @ v.T).argmax(1) == torch.arange(128)).double().mean().item()
    found = study.matching(model.train(), images, table)
    assert found == pytest.approx(100 * own)  # one full batch
    assert not model.training
    twice = [torch.cat([x[:128], x[:128]]) for x in (images, table)]
    assert study.matching(model, *twice) == pytest.approx(100 * own)  # a mean over batches


def test_the_fit_of_a_pair_by_hand(study):
    """Its partner against the validation records', each direction by a softmax of its own."""
    model = study.untrained()
    fit, trained = study.membership(model)
    assert trained.tolist() == [1] * study.n + [0] * len(study.test)
    known = study.dataset.validation
    for place, part, k in ((5, study.dataset.train, 5), (study.n + 7, study.test, 7)):
        images = torch.cat([part.images[k : k + 1], known.images])
        table = torch.cat([part.table[k : k + 1], known.table])
        with torch.no_grad():
            u, v = (F.normalize(x, dim=1) for x in model.embed((images, table)).chunk(2, dim=1))
        cosines = 10 * u @ v.T  # the temperature is 0.1
        by_image, by_row = cosines[0].log_softmax(0), cosines[:, 0].log_softmax(0)
        both = ((by_image + by_row)[0] / 2).item()
        assert fit[place].item() == pytest.approx(both, abs=1e-4)


def test_validation_and_training_records_are_not_mixed_up(study):
    """Features that are the class tell all of it; validation labels choose, and train nothing."""
    x = F.one_hot(study.private.labels, 10).float()
    x_test = F.one_hot(study.test.labels, 10).float()
    assert study.probe((x, x_test)) == (100.0, pytest.approx(100.0))
    with pytest.MonkeyPatch.context() as patch:
        told = SimpleNamespace(accuracy="micro", balanced_accuracy="macro")
        patch.setattr(study_module, "linear_probe", lambda *_, **__: told)
        assert study.probe((x, x_test)) == ("micro", "macro")
    encoder = study.untrained().encoders[0]
    wrong = study.private.labels.clone()
    wrong[study.n :] = 9 - wrong[study.n :]
    right = study.tune(encoder, None, "right")
    other = study.tune(encoder, released(study, labels=wrong), "wrong")
    assert len(right.validation) == 2
    assert right.validation != other.validation


def test_four_of_five_images_are_augmented_in_fine_tuning(study, monkeypatch):
    """Source: the released code's downstream runs; in pre-training it is 19 of 20."""
    study, seen = copy.copy(study), {}
    study.gentle, study.resize = (lambda x, g: x + 1), (lambda x, g: x)
    monkeypatch.setattr(fine_tune, "fine_tune", lambda *_, **settings: seen.update(settings))
    study.tune(torch.nn.Identity(), None, "x")
    views = seen["views"](torch.zeros(10_000, 1), torch.Generator().manual_seed(0))
    assert views.mean().item() == pytest.approx(0.8, abs=0.015)


def test_a_training_is_followed_by_a_probe_of_what_it_sees(study):
    """Macro accuracy on clean test images; whose labels are turned round tells none of them."""
    own, model = study.private, study.untrained().eval()
    x, x_test = study.embedded(model)
    sd, mean = torch.std_mean(x[: study.n], dim=0, correction=0)
    fitted = LogisticRegression(C=0.01, max_iter=1000).fit(
        ((x - mean) / sd)[: study.n], own.labels[: study.n]
    )
    guess = torch.from_numpy(fitted.predict((x_test - mean) / sd))
    expected = balanced_accuracy(guess, study.test.labels)
    assert study.probe_quickly(model, own) == pytest.approx(expected, abs=0.5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study_module, "balanced_accuracy", lambda *_: "macro")
        assert study.probe_quickly(model, own) == "macro"
    back = torch.arange(len(own)).flip(0)
    for release, low, high in (
        (released(study, own.labels[back], back), 40, 100),
        (released(study, 9 - own.labels), -1, 20), (released(study, own.labels, back), 0, 30),
    ):  # fmt: skip
        assert low < study.probe_quickly(model, study.seen(release)) < high
    spoiled = replace(own, labels=own.labels.clone())
    spoiled.labels[study.n :] = 0  # those that choose are no part of it
    assert study.probe_quickly(model, spoiled) == study.probe_quickly(model, own)


def test_others_learn_from_the_test_part_and_are_tested_on_the_private(study):
    others = study.of_others()
    assert others.test is study.private
    assert len(others.private) == len(study.test)
    pixels = [sorted(x.images.flatten(1).sum(1).tolist()) for x in (others.private, study.test)]
    assert pixels[0] == pixels[1]
    place = {image.numpy().tobytes(): k for k, image in enumerate(study.test.images)}
    where = torch.tensor([place[image.numpy().tobytes()] for image in others.private.images])
    assert torch.equal(others.private.labels, study.test.labels[where])
    assert torch.equal(others.private.table, study.test.table[where])
    assert (where.diff() == 1).float().mean() < 0.1  # in no order
    assert others.n == others.sampler.n == 718  # of 897, as 720 are of 900
    assert study.n == study.sampler.n == 720
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fine_tune, "fine_tune", lambda *a, **k: seen.append((a, k)))
        others.tune(torch.nn.Identity(), None, "x")
    ((_, x, labels, x_test, y_test), settings) = seen[0]
    assert torch.equal(x, others.private.images[:718])
    assert torch.equal(labels, others.private.labels[:718])
    assert torch.equal(settings["validation"][1], others.private.labels[718:])
    assert x_test is study.private.images
    assert y_test is study.private.labels
    assert with_settings(study, batch_size=720).of_others().sampler.batch_size == 718


@pytest.mark.parametrize("sizes", ["small", "published"])
def test_baselines_are_as_wide_as_is_asked(study, sizes, monkeypatch):
    """Source: the released code's configurations of BYOL and Barlow Twins."""
    asked = {}
    made = study_module.ImageOnly

    def kept(encoder, objective, **options):
        asked[objective] = {k: v for k, v in options.items() if k not in ("augment", "prepare")}
        return made(encoder, objective, **options | {"hidden": 8, "features": 8})

    monkeypatch.setattr(study_module, "ImageOnly", kept)
    study = with_settings(study, steps=1, baseline_sizes=sizes)
    for objective in ("simclr", "byol", "barlow"):
        study.pretrain_alone(objective, "x")
    published = {
        "simclr": {"features": 128},
        "byol": {"hidden": 4096, "features": 256, "momentum": 0.9996},
        "barlow": {"hidden": 8192, "features": 8192},
    }
    assert asked.keys() == published.keys()
    assert (asked == published) == (sizes == "published")
    assert resolve("image_table", {"preset": "paper"}).baseline_sizes == "published"


def test_byols_slow_copy_keeps_99_percent_of_itself_a_step(study):
    model = study.pretrain_alone("byol", "x")
    before = [slow.clone() for slow in model.slow.parameters()]
    with torch.no_grad():
        for fast in model.projection.parameters():
            fast.add_(1.0)
    model.loss([study.private.images[:8]], torch.Generator().manual_seed(0))
    online = [*model.encoders[0].parameters(), *model.projection.parameters()]
    for slow, old, fast in zip(model.slow.parameters(), before, online, strict=True):
        torch.testing.assert_close(slow, 0.99 * old + 0.01 * fast)


def test_a_probe_learns_nothing_from_the_records_that_it_is_tested_on(study):
    x_test = F.one_hot(study.test.labels, 10).float()
    nothing = torch.zeros(len(study.private), 10)  # of private records, to learn from or to choose
    assert study.probe((nothing, x_test))[0] < 20


def test_views_of_digits_have_turns_and_of_photos_the_released_recipe(study):
    assert any(isinstance(t, Rotation) for t in study.views.transforms)
    photos, gentle = _views(with_settings(study, views="dvm").cfg)
    assert not any(isinstance(t, Rotation) for t in photos.transforms)
    assert photos != gentle
    for name, recipe in {"dvm": mmcl.dvm_views, "printed": mmcl.printed_views}.items():
        found = _views(with_settings(study, views=name).cfg)
        assert found == (recipe(8), recipe(8, scale=(0.6, 1.0)))


@pytest.mark.parametrize("parts", ["released", "text"])
def test_dvm_car_is_split_as_asked(parts, monkeypatch):
    asked = {}
    monkeypatch.setattr(dvm, "load", lambda size, **options: asked.update(options, size=size))
    cfg = resolve("image_table", {"preset": "smoke", "data": "dvm", "dvm_parts": parts})
    _load(cfg, torch.device("cpu"))
    assert (asked["size"], asked["parts"]) == (cfg.image_size, parts)


def test_cars_have_as_many_models_and_rows_as_are_asked_for():
    chosen = {"data": "cars", "models": 3, "rows": 10_000, "image_size": 8, "seed": 5}
    cfg = resolve("image_table", {"preset": "smoke", **chosen})
    few = ImageTableStudy(cfg, lambda k: torch.Generator().manual_seed(k))
    assert few.classes == 3
    assert len(few.private) + len(few.test) == 10_000
    assert few.sampler.seed == 5
