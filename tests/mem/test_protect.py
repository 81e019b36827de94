"""The procedure: its rows, units and limits, and the surrogate that it trains."""

import copy
import math
import sys
from dataclasses import replace

import pytest
import torch

from mmlib.data.text import SPECIAL
from mmlib.mem.alternation import Alternation
from mmlib.mem.pairs import as_pairs
from mmlib.mem.protect import protect
from mmlib.mem.protections import rows
from mmlib.train import Optim


@pytest.mark.parametrize("text", ["none", "constant", "random", "optimised"])
@pytest.mark.parametrize("image", ["none", "uniform", "pgd"])
def test_every_switch_does_what_it_says(run, text, image, small):
    made, images, model = run(replace(small, text=text, image=image), captions=2)
    assert made.images.dtype == torch.uint8
    difference = made.images.int() - images.int()
    assert difference.abs().max() == {"none": 0, "uniform": 8, "pgd": 6}[image]  # 2 x 3 steps of 1
    assert made.triggers.shape == (9, 0 if text == "none" else 3)
    assert (made.triggers >= len(SPECIAL)).all()
    if text == "constant":
        assert (made.triggers == made.triggers[0, 0]).all()
    surrogate = text == "optimised" or image == "pgd"
    assert len(made.history) == (2 if surrogate else 0)
    assert bool(model.encoders[0].trunk[1].num_batches_tracked) == surrogate


def test_the_surrogate_is_trained_as_the_settings_say(run, monkeypatch, small):
    module, seen = sys.modules["mmlib.mem.protect"], []
    fit = module.fit

    def noted(model, loss, optim, sampler, **more):
        seen.append((optim, sampler.batch_size))
        return fit(model, loss, optim, sampler, **more)

    monkeypatch.setattr(module, "fit", noted)
    run(replace(small, learning_rate=3e-3, weight_decay=0.7, precision="bfloat16"))
    asked = Optim(steps=6, learning_rate=3e-3, weight_decay=0.7, precision="bfloat16")
    assert seen == [(asked, 4)]


@pytest.mark.parametrize("unit", ["pair", "image", "group"])
def test_words_are_published_with_the_images_that_the_surrogate_met_them_with(
    make_model, make_pairs, unit, small
):
    """In the last round, of two: the words are then as they are published, noise is to come."""
    images, ids = make_pairs(9, captions=2)
    model, met = make_model(), []
    loss = model.loss
    model.loss = lambda batch, g: met.append(batch) or loss(batch, g)
    settings, g = replace(small, unit=unit, groups=3), torch.Generator().manual_seed(3)
    made = protect(model, images, ids, settings, generator=g, progress=False)
    published = made.captions(ids)
    for batch in met[small.surrogate_steps :]:
        for image, text in zip(*batch, strict=True):
            same = (made.images.int() - image.int()).abs().flatten(1).amax(dim=1) <= 16
            assert same.sum() == (2 if unit == "pair" else 1)
            assert (published[same] == text).all(dim=-1).any()


def test_bound_is_exact_after_many_steps(run, small):
    made, images, _ = run(replace(small, noise_steps=12))
    assert (made.images.int() - images.int()).abs().max() == 8
    made, images, _ = run(replace(small, noise_steps=12, epsilon=2))
    assert (made.images.int() - images.int()).abs().max() == 2


def test_every_pair_is_visited(run, small):
    made, images, _ = run(replace(small, rounds=1))
    assert (made.images != images).flatten(1).any(1).all()


def test_trigger_step_never_raises_the_loss(run, small):
    made, *_ = run(replace(small, trigger_rounds=2, image="none"))
    for row in made.history:
        assert row["trigger_after"] <= row["trigger_before"]
    assert made.history[0]["trigger_after"] < made.history[0]["trigger_before"]


def test_without_trigger_words_it_is_error_minimising_noise(run, small):
    none, *_ = run(replace(small, text="none", body="own"))
    zero, *_ = run(replace(small, text="random", trigger_length=0, body="own"))
    assert torch.equal(none.images, zero.images)
    assert none.history == zero.history


def test_without_budget_it_is_text_only(run, small):
    one_round = replace(small, rounds=1)
    zero, images, _ = run(replace(one_round, epsilon=0))
    text, *_ = run(replace(one_round, image="none"))
    assert torch.equal(zero.images, images)
    # PGD draws from the generator between batches, so only the first one's triggers can agree.
    assert int((zero.triggers == text.triggers).all(1).sum()) >= 3


def test_without_trigger_rounds_random_triggers_stay(run, small):
    kept, *_ = run(replace(small, trigger_rounds=0))
    random, *_ = run(replace(small, text="random"))
    assert torch.equal(kept.triggers, random.triggers)
    assert torch.equal(kept.images, random.images)
    changed, *_ = run(small)
    assert not torch.equal(changed.triggers, random.triggers)


def test_same_seeds_same_protection(run, small):
    one, *_ = run(small)
    other, *_ = run(small)
    assert torch.equal(one.images, other.images)
    assert torch.equal(one.triggers, other.triggers)


def test_surrogate_gradients_do_not_pile_up(make_model, make_pairs, monkeypatch, small):
    """Each optimiser step has the gradient of its own batch: a slow loop says which."""
    images, ids = make_pairs(8)
    settings = replace(small, text="random", trigger_rounds=0, rounds=1, surrogate_steps=4)
    stepped = []
    step = torch.optim.AdamW.step

    def watched(self, *arguments, **named):
        stepped.append([p.grad.clone() for group in self.param_groups for p in group["params"]])
        return step(self, *arguments, **named)

    batches = []
    loss = Alternation.loss

    def noted(self, rows, generator):
        model = copy.deepcopy(self.surrogate).train()
        which = Alternation.__new__(Alternation)
        which.__dict__.update(self.__dict__, surrogate=model)
        loss(which, rows, generator)["loss"].backward()
        batches.append(float(sum(p.grad.square().sum() for p in model.parameters())))
        return loss(self, rows, generator)

    monkeypatch.setattr(torch.optim.AdamW, "step", watched)
    monkeypatch.setattr(Alternation, "loss", noted)
    g = torch.Generator().manual_seed(0)
    protect(make_model(), images, ids, settings, generator=g, progress=False)
    assert len(stepped) == len(batches) == 4
    for gradients, alone in zip(stepped, batches, strict=True):
        assert float(sum(g.square().sum() for g in gradients)) == pytest.approx(alone, rel=1e-4)


def test_the_surrogates_scale_keeps_its_bound(make_model, make_pairs, small):
    """One that starts above is brought back by the first step, and ends a step beside it."""
    model, (images, ids) = make_model(), make_pairs(8)
    torch.nn.init.constant_(model.log_scale, 9.0)
    g = torch.Generator().manual_seed(0)
    protect(model, images, ids, replace(small, rounds=1), generator=g, progress=False)
    apart = abs(model.log_scale.item() - math.log(100))
    assert apart <= small.surrogate_steps * small.learning_rate


def test_one_noise_for_a_pair_for_an_image_or_for_a_group(run, small):
    """Noise is told apart where no pixel can clip it."""
    pair, images, _ = run(replace(small, unit="pair"), captions=2)
    assert len(pair.images) == len(pair.triggers) == 18
    twice = images.repeat_interleave(2, 0)
    noise = (pair.images.int() - twice.int()).view(9, 2, -1)
    assert not torch.equal(noise[:, 0], noise[:, 1])

    image, *_ = run(small, captions=2)
    assert len(image.images) == len(image.triggers) == 9

    g = torch.Generator().manual_seed(0)
    group, images, _ = run(replace(small, unit="group", groups=1), captions=2)
    assert len(group.triggers.unique(dim=0)) == 1
    room = (images >= 8) & (images <= 247)
    noise = (group.images.int() - images.int()).where(room, 99)
    for pixel in noise.flatten(1).T[torch.randperm(768, generator=g)[:200]]:
        assert len(set(pixel.tolist()) - {99}) <= 1  # one for all
    assert (noise.where(room, 0) != 0).any()
    settings = replace(small, text="none", image="uniform", unit="group", groups=1)
    group, images, _ = run(settings)
    noise = (group.images.int() - images.int())[1][(images[0] == 0) & room[1]]
    assert noise.min() < 0 < noise.max()  # the black of one image clips no noise of another


def test_pairs_are_images_published_once_for_each_caption(make_model, make_pairs, small):
    images, ids = make_pairs(4, captions=3)
    settings = replace(small, unit="pair")
    made = [
        protect(make_model(), *pairs, s, generator=torch.Generator().manual_seed(0), progress=False)
        for pairs, s in (
            ((images, ids), settings),
            (as_pairs(images, ids), replace(settings, unit="image")),
        )
    ]
    assert torch.equal(made[0].images, made[1].images)
    assert torch.equal(made[0].triggers, made[1].triggers)
    assert made[0].captions(ids).shape == (12, 1, ids.shape[-1])
    assert torch.equal(made[0].captions(ids)[4, 0, 4:], ids[1, 1, 1:-3])


def test_noise_maximises_on_a_surrogate_trained_on_clean_pairs(run, small):
    settings = rows(replace(small, noise_steps=8))
    worse, images, _ = run(settings["tap"])
    (row,) = worse.history
    assert row["noise_after"] > row["noise_before"]
    assert (worse.images.int() - images.int()).abs().max() == 8
    better, *_ = run(replace(settings["tap"], maximise=False))
    assert better.history[0]["surrogate"] == row["surrogate"]
    assert better.history[0]["noise_after"] < row["noise_before"]
    assert better.history[0]["noise_before"] == row["noise_before"]


def test_sample_selection_never_raises_the_loss_and_does_more(run, small):
    by = {}
    for selection in ("batch", "sample"):
        made, *_ = run(replace(small, rounds=1, image="none", selection=selection))
        by[selection] = made.history[0]
        assert made.history[0]["trigger_after"] <= made.history[0]["trigger_before"]
    assert by["sample"]["trigger_before"] == by["batch"]["trigger_before"]
    assert by["sample"]["trigger_after"] < by["batch"]["trigger_after"]


def test_bad_pairs_are_refused(make_model, make_pairs, small):
    images, captions = make_pairs(4)
    g = torch.Generator().manual_seed(0)
    with pytest.raises(ValueError, match=r"captions has shape .* expected \(N=4, C, T\)"):
        protect(make_model(), images, captions[:, 0], small, generator=g)
    with pytest.raises(ValueError, match=r"images are torch\.float32"):
        protect(make_model(), images / 255, captions, small, generator=g)
    with pytest.raises(ValueError, match="has no room for its trigger"):
        protect(make_model(), images, captions[..., :6], small, generator=g)
    words = torch.ones(19, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"words has shape \(19,\)"):
        protect(make_model(), images, captions, small, generator=g, words=words)
