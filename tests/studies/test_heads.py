"""Heads learn from what is released or known of it, and are scored on clean images."""

import pytest
import torch
import torch.nn.functional as F

from mmlib.label_dp.learning import law_likelihood
from mmlib.studies import heads
from mmlib.studies.heads import first_stage, fit_informed, score_informed, train_head

from .image_table_world import with_settings


def test_heads_are_scored_after_every_epoch_and_learn(study):
    points = []
    x = F.one_hot(study.private.labels, 10).float()
    x_test = F.one_hot(study.test.labels, 10).float()
    train_head(study, (x, x_test), None, "x", lambda *point: points.append(point))
    assert [epoch for epoch, _ in points] == [1, 2]
    assert points[-1][1] > 50  # one in ten by chance
    moved = []  # test images of another scale are seen as such: training's mean is taken off
    ramp = 5 * torch.arange(10.0)
    train_head(study, (x, x_test + ramp), None, "x", lambda *point: moved.append(point))
    assert moved[-1][1] < 20
    both = []  # and where training's features are moved as well, nothing changes
    train_head(study, (x + ramp, x_test + ramp), None, "x", lambda *point: both.append(point))
    assert [score for _, score in both] == pytest.approx([score for _, score in points], abs=2)


# --- by a release ---------------------------------------------------------------------------------


def test_half_of_the_training_records_and_all_of_validation_respond_first(study):
    first = first_stage(study)
    assert first[study.n :].all()
    assert first[: study.n].sum() == study.n - study.n // 2
    assert torch.equal(first, first_stage(study))


def test_an_informed_head_undoes_the_noise_and_validates_on_the_last(study):
    own = study.private
    x, x_test = (F.one_hot(y, 10).float() for y in (own.labels, study.test.labels))
    turned = F.one_hot(9 - own.labels, 10).double()
    law = torch.eye(10).flip(0).double()  # that 9 - y is released is known
    assert score_informed(study, x, turned, x_test)[0] < 1
    told = law_likelihood(9 - own.labels, law)
    assert score_informed(study, x, told, x_test) == (100, pytest.approx(100))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(heads, "balanced_accuracy", lambda *_: "macro")
        assert score_informed(study, x, told, x_test) == (100, "macro")
    seen, strengths = {}, []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(heads, "noised_probe", lambda *a, **k: seen.update(k, given=a))
        for choice in ((1e-5, 1e-3, 0.1, 1.0, 10.0), (10.0,)):
            fit_informed(with_settings(study, probe_strengths=choice), x[100:], told[100:])
            strengths.append(tuple(seen["strengths"]))
    assert strengths == [(1e-3, 0.1, 1.0), (10.0,)]  # of the middle ones, where there are any
    assert torch.equal(seen["given"][0], x[100 : study.n])
    assert torch.equal(seen["given"][1], told[100 : study.n])
    assert torch.equal(seen["validation"][0], x[study.n :])
    assert torch.equal(seen["validation"][1], told[study.n :])
