"""What chapter 5's learners see of private records is what a release shows."""

import copy

import pytest
import torch
import torch.nn.functional as F

from mmlib.evaluate import fine_tune
from mmlib.label_dp.conditions import conditions
from mmlib.label_dp.learning import forward_loss
from mmlib.studies.heads import train_head

from .image_table_world import released, with_settings


@pytest.mark.parametrize("moves", [False, True])
def test_a_release_shows_others_images_and_their_rows_only_if_these_move(study, moves):
    own, back = study.private, torch.arange(len(study.private)).flip(0)
    release = released(study, 9 - own.labels, back, table="moves" if moves else "stays")
    seen = study.seen(release)
    assert torch.equal(seen.images, own.images[back])
    assert torch.equal(seen.table, own.table[back] if moves else own.table)
    assert torch.equal(seen.labels, 9 - own.labels)
    assert study.seen() is own


def test_what_replaces_values_in_a_view_is_of_the_rows_that_are_seen(study):
    study, one = with_settings(study, steps=1), torch.zeros(len(study.private), dtype=torch.long)
    seen = study.seen(released(study, source=one, table="moves"))  # one record's row, many times
    corrupt = study.pretrain(seen, "x").augment[1]
    assert (corrupt.marginals == study.private.table[0]).all()
    own = study.pretrain(study.seen(), "x").augment[1]
    assert torch.equal(own.marginals, study.dataset.train.table)  # and of none that choose


def test_a_draw_throws_the_same_coins_in_every_condition_and_another_draw_others(study):
    rows = conditions(10, 3.0, grid=True)
    first, again, other = (study.release(rows["double_rr"], draw) for draw in (0, 0, 1))
    assert torch.equal(first.labels, again.labels)
    assert torch.equal(first.source, study.release(rows["with_table"], 0).source)
    assert torch.equal(first.labels, study.release(rows["nearest"], 0).labels)
    assert not torch.equal(first.labels, other.labels)
    source = study.release(rows["nearest"], 0).source  # and near is by pixels
    pixels = study.private.images.flatten(1).float()
    far, near = ((pixels - pixels[s]).norm(dim=1).mean() for s in (first.source, source))
    assert near < 0.9 * far


def test_probes_tunings_and_heads_learn_from_what_is_released(study):
    """Labels are turned round and images come in reverse: who mixes the two learns nothing."""
    own, back = study.private, torch.arange(len(study.private)).flip(0)
    x = F.one_hot(own.labels, 10).float()
    x_test = F.one_hot(study.test.labels, 10).float()
    right = released(study, own.labels[back], back)  # the labels of the images that are shown
    assert study.probe((x, x_test), right)[0] == 100
    assert study.probe((x, x_test), released(study, own.labels, back))[0] < 60
    turned = released(study, 9 - own.labels)  # true of no test image
    assert study.probe((x, x_test), turned)[0] < 1
    for release, low, high in ((right, 50, 101), (turned, -1, 10)):
        points = []
        train_head(study, (x, x_test), release, "x", lambda *point, to=points: to.append(point))
        assert low < points[-1][1] < high
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fine_tune, "fine_tune", lambda *a, **k: seen.append((a, k)))
        told = torch.rand(len(own), 10, dtype=torch.float64)
        study.tune(torch.nn.Identity(), right, "x")
        study.tune(torch.nn.Identity(), right, "x", likelihood=told, trainable=False)
        study.tune(torch.nn.Identity(), None, "x", rows=study.resize)
        study.tune(torch.nn.Identity(), right, "x", rows=study.resize)  # whose rows stay
    n = study.n
    for (_, images, _, test_x, test_y), settings in seen[:2]:
        assert torch.equal(images, own.images[back][:n])
        assert torch.equal(settings["validation"][0], own.images[back][n:])
        assert torch.equal(settings["validation"][1], own.labels[back][n:])  # released ones
        assert test_x is study.test.images
        assert test_y is study.test.labels
    assert torch.equal(seen[0][0][2], own.labels[back][:n])
    assert torch.equal(seen[1][0][2], told[:n].float())
    assert [s["trainable"] for _, s in seen[:3]] == [True, False, True]
    assert [s["loss"] for _, s in seen[:3]] == [F.cross_entropy, forward_loss, F.cross_entropy]
    for ((_, rows, labels, test_x, _), _), told in zip(
        seen[2:], (own.labels, right.labels), strict=True
    ):
        assert torch.equal(rows, own.table[:n])
        assert torch.equal(labels, told[:n])
        assert test_x is study.test.table


def test_a_model_is_scored_by_each_release_and_by_the_truth(study):
    own, asked = study.private, []
    x, x_test = (F.one_hot(y, 10).float() for y in (own.labels, study.test.labels))
    study = copy.copy(study)
    study.embedded = lambda model: (x, x_test)
    study.matching = lambda model, images, table: 7.0 * (images is study.test.images)
    probe = study.probe
    study.probe = lambda *given: asked.append(given[1:]) or probe(*given)
    turned, back = 9 - own.labels, torch.arange(len(own)).flip(0)
    wrong, right = released(study, turned), released(study, own.labels[back], back)
    own_images = released(study, own.labels[back])  # labels as in `right`, images not
    found = study.scores(None, [wrong, right, released(study, turned), own_images])
    assert [s["downstream"] < 1 for s in found] == [True, False, True, False]
    assert found[1]["downstream"] == 100
    assert [s["downstream_macro"] for s in found[:3]] == pytest.approx([0, 100, 0], abs=1)
    assert found[3]["downstream"] < 60
    for scores in found:
        clean = [scores[name] for name in ("downstream_clean", "downstream_clean_macro")]
        assert clean == pytest.approx([100, 100])
        assert scores["matching"] == 7
    assert asked == [(), (wrong,), (right,), (own_images,)]  # like releases once
