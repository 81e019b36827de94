"""What chapter 5's trainings share: records, first weights, who trains and who chooses."""

import copy

import pytest
import torch
import torch.nn.functional as F

from mmlib.augment.image import Rotation
from mmlib.data import dvm
from mmlib.evaluate import fine_tune
from mmlib.image_table_study import ImageTableStudy, _load, _views
from mmlib.presets.base import resolve


@pytest.fixture(scope="module")
def study():
    cfg = resolve("image_table", {"preset": "smoke"})
    return ImageTableStudy(cfg, lambda k: torch.Generator().manual_seed(k))


def with_settings(study, **changes):
    """The same records by other settings: to load them takes longest."""
    other = copy.copy(study)
    other.cfg = resolve("image_table", {"preset": "smoke", **changes})
    return other


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
    rows = torch.cat([study.private.table, study.private.labels[:, None].float()], dim=1)
    widths = [s.encoders[1].schema.n_columns for s in (study.untrained(), study.untrained(rows))]
    assert widths == [17, 18]
    assert study.untrained(rows).encoders[1].schema.cardinalities[-1] == 10


def test_pretraining_learns_from_the_first_n_pairs_alone_and_is_watched_from_before_its_start(
    study,
):
    study, points = with_settings(study, steps=4, points=2), []
    images, table = study.private.images, study.private.table
    model = study.pretrain(images, table, "x", note=lambda *point: points.append(point))
    assert [step for step, _ in points] == [0, 2, 4]
    untrained = study.matching(study.untrained(), study.test.images, study.test.table)
    assert points[0][1] == untrained
    spoiled = images.clone()
    spoiled[study.n :] = 0
    for ours, theirs in zip(
        model.parameters(), study.pretrain(spoiled, table, "x").parameters(), strict=True
    ):
        assert torch.equal(ours, theirs)


def test_matching_by_hand(study):
    model = study.untrained().eval()
    images, table = study.test.images[:200], study.test.table[:200]
    with torch.no_grad():
        u, v = (F.normalize(x[:128], dim=1) for x in model.embed((images, table)).chunk(2, dim=1))
    own = ((u @ v.T).argmax(1) == torch.arange(128)).double().mean().item()
    assert study.matching(model, images, table) == pytest.approx(100 * own)  # one full batch


def test_validation_and_training_records_are_not_mixed_up(study):
    """Features that are the class tell all of it; validation labels choose, and train nothing."""
    x = F.one_hot(study.private.labels, 10).float()
    x_test = F.one_hot(study.test.labels, 10).float()
    assert study.probe(x, study.private.labels, x_test) == (100.0, pytest.approx(100.0))
    encoder = study.untrained().encoders[0]
    wrong = study.private.labels.clone()
    wrong[study.n :] = 9 - wrong[study.n :]
    right = study.tune(encoder, study.private.images, study.private.labels, "right")
    other = study.tune(encoder, study.private.images, wrong, "wrong")
    assert len(right.validation) == 2
    assert right.validation != other.validation


def test_four_of_five_images_are_augmented_in_fine_tuning(study, monkeypatch):
    """Source: the released code's downstream runs; in pre-training it is 19 of 20."""
    study, seen = copy.copy(study), {}
    study.gentle, study.resize = (lambda x, g: x + 1), (lambda x, g: x)
    monkeypatch.setattr(fine_tune, "fine_tune", lambda *_, **settings: seen.update(settings))
    study.tune(torch.nn.Identity(), study.private.images, study.private.labels, "x")
    views = seen["views"](torch.zeros(10_000, 1), torch.Generator().manual_seed(0))
    assert views.mean().item() == pytest.approx(0.8, abs=0.015)


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
    assert study.probe(nothing, study.private.labels, x_test)[0] < 20


def test_heads_are_scored_after_every_epoch_and_learn(study):
    points = []
    x = F.one_hot(study.private.labels, 10).float()
    x_test = F.one_hot(study.test.labels, 10).float()
    study.head(x, study.private.labels, x_test, "x", lambda *point: points.append(point))
    assert [epoch for epoch, _ in points] == [1, 2]
    assert points[-1][1] > 50  # one in ten by chance
    moved = []  # test images of another scale are seen as such: training's mean is taken off
    ramp = 5 * torch.arange(10.0)
    study.head(x, study.private.labels, x_test + ramp, "x", lambda *point: moved.append(point))
    assert moved[-1][1] < 20


def test_views_of_digits_have_turns_and_of_photos_the_released_recipe(study):
    assert any(isinstance(t, Rotation) for t in study.views.transforms)
    photos, gentle = _views(with_settings(study, views="dvm").cfg)
    assert not any(isinstance(t, Rotation) for t in photos.transforms)
    assert photos != gentle


@pytest.mark.parametrize("parts", ["released", "text"])
def test_dvm_car_is_split_as_asked(parts, monkeypatch):
    asked = {}
    monkeypatch.setattr(dvm, "load", lambda size, **options: asked.update(options, size=size))
    cfg = resolve("image_table", {"preset": "smoke", "data": "dvm", "dvm_parts": parts})
    _load(cfg, torch.device("cpu"))
    assert (asked["size"], asked["parts"]) == (cfg.image_size, parts)


def test_cars_have_as_many_models_and_rows_as_are_asked_for():
    chosen = {"data": "cars", "models": 3, "rows": 10_000, "image_size": 8}
    cfg = resolve("image_table", {"preset": "smoke", **chosen})
    few = ImageTableStudy(cfg, lambda k: torch.Generator().manual_seed(k))
    assert few.classes == 3
    assert len(few.private) + len(few.test) == 10_000
