"""A visit: which pairs each step meets, what it changes, and what it leaves alone."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from mmlib import losses
from mmlib.mem import alternation
from mmlib.mem.alternation import Alternation
from mmlib.mem.protect import protect
from mmlib.mem.settings import Protection
from mmlib.mem.trigger import prepend
from mmlib.methods.cross_self import SelfAlone


@pytest.mark.parametrize("unit", ["image", "group"])
@pytest.mark.parametrize("body", ["own", "shuffled", "everywhere", "other"])
def test_bodies_move_and_triggers_stay(make_model, make_pairs, body, unit, monkeypatch, small):
    images, captions = make_pairs(6)
    settings = replace(small, text="random", body=body, unit=unit, groups=3)
    model = make_model().eval()
    state = Alternation(model, images, captions, settings, torch.Generator().manual_seed(0))
    seen, encoder = [], model.encoders[1]
    monkeypatch.setattr(encoder, "by_length", lambda ids: seen.append(ids) or encoder(ids))
    rows = torch.tensor([4, 1, 0, 5])
    state.improve_noise(rows, {"noise_before": [], "noise_after": []})
    anew = body in ("shuffled", "everywhere")
    assert len(seen) == (settings.noise_steps if anew else 1)  # encoded once
    bodies = captions[rows, 0, 1:-3]
    for ids in seen:
        assert torch.equal(ids[:, 1:4], state.triggers[state.owner[rows]])
        shown = sorted(ids[:, 4:].tolist())
        assert shown == sorted(bodies.tolist())  # the same captions
    own = [(ids[:, 4:] == bodies).all(dim=1) for ids in seen]
    if body == "own":
        assert own[0].all()
    elif body == "other":
        assert not own[0].any()
    else:
        assert not all(rows.all() for rows in own)
        assert not torch.equal(seen[0], seen[1])  # anew at every step


def test_noise_goes_to_the_image_it_was_made_for(make_model, make_pairs, small):
    """A visit of rows in any order against single steps by hand."""
    images, captions = make_pairs(6)
    settings = replace(small, text="random", body="own", noise_steps=1)
    model = make_model().eval()
    state = Alternation(model, images, captions, settings, torch.Generator().manual_seed(0))
    rows = torch.tensor([4, 1, 5, 0])
    state.improve_noise(rows, {"noise_before": [], "noise_after": []})
    x = (images[rows] / 255).requires_grad_()
    texts = prepend(captions[rows, 0], state.triggers[rows])
    value = losses.clip(*model.project((x, texts)), scale=model.scale)
    down = -torch.autograd.grad(value, x)[0].sign()
    for row, step in zip(rows.tolist(), down, strict=True):
        expected = (images[row] + step).clamp(0, 255) - images[row]
        assert (state.noise[row] == expected).float().mean() > 0.99  # ties of rounding
    assert not state.noise[[2, 3]].any()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_visit_computes_as_precisely_as_the_settings_say(
    make_model, make_pairs, precision, monkeypatch, small
):
    settings, model = replace(small, precision=precision), make_model()
    state = Alternation(model, *make_pairs(6), settings, torch.Generator().manual_seed(0))
    met = set()
    for part in ("improve_triggers", "improve_noise"):
        monkeypatch.setattr(
            state, part, lambda *_: met.add(model.projections[0](torch.zeros(1, 16)).dtype)
        )
    state.visit(with_triggers=True)
    assert met == {getattr(torch, precision)}


def test_a_visit_leaves_the_surrogate_alone(make_model, make_pairs, small):
    images, captions = make_pairs(6)
    model = make_model()
    before = copy.deepcopy(model.state_dict())
    state = Alternation(model, images, captions, small, torch.Generator().manual_seed(0))
    means = state.visit(with_triggers=True)
    assert set(means) == {"trigger_before", "trigger_after", "noise_before", "noise_after"}
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_each_visit_asks_the_surrogate_as_it_is_then(make_model, make_pairs, monkeypatch, small):
    """Its frozen copy finds the triggers and the first step of noise that itself would find."""
    images, captions = make_pairs(6)
    made = []
    for copied in (True, False):
        if not copied:
            monkeypatch.setattr(alternation, "folded", lambda model: model)
        model = make_model()
        settings = replace(small, noise_steps=1)
        state = Alternation(model, images, captions, settings, torch.Generator().manual_seed(0))
        for seed in range(2):
            torch.manual_seed(seed)
            with torch.no_grad():  # what steps in between change, statistics as well
                for value in (*model.parameters(), *model.buffers()):
                    if value.is_floating_point():
                        value.add_(0.1 * torch.rand_like(value))
            state.visit(with_triggers=True)
        made.append((state.triggers, state.noise))
    (triggers, noise), (same_triggers, same_noise) = made
    assert torch.equal(triggers, same_triggers)
    assert (noise == same_noise).float().mean() > 0.99  # ties of rounding


@pytest.mark.parametrize("unit", ["pair", "image", "group"])
def test_a_visit_is_the_same_whatever_gradients_were_left(make_model, make_pairs, unit, small):
    images, captions = make_pairs(6, captions=2)
    settings = replace(small, unit=unit, groups=3)
    made = []
    for left in (0.0, 1e3):
        model = make_model()
        for parameter in model.parameters():
            parameter.grad = torch.full_like(parameter, left)
        state = Alternation(model, images, captions, settings, torch.Generator().manual_seed(0))
        state.visit(with_triggers=True)
        made.append((state.noise, state.triggers))
        assert all((p.grad == left).all() for p in model.parameters())  # neither read nor added to
        assert all(p.requires_grad for p in model.parameters())
    assert torch.equal(made[0][0], made[1][0])
    assert torch.equal(made[0][1], made[1][1])


@pytest.mark.parametrize("drop_last", [False, True])
def test_the_incomplete_batch_is_visited_or_left_out(make_model, make_pairs, drop_last, small):
    images, ids = make_pairs(9)
    settings = replace(small, drop_last=drop_last)
    model = make_model()
    state = Alternation(model, images, ids, settings, torch.Generator().manual_seed(0))
    state.visit(with_triggers=False)
    assert int(state.noise.flatten(1).any(1).sum()) == (8 if drop_last else 9)
    with pytest.raises(ValueError, match="batch_size with drop_last is 4"):
        Alternation(
            model, images[:3], ids[:3], replace(settings, drop_last=True), torch.Generator()
        )


def test_surrogate_sees_true_protected_pairs(make_model, make_pairs, monkeypatch, small):
    images, captions = make_pairs(6, captions=3)
    model = make_model()
    state = Alternation(model, images, captions, small, torch.Generator().manual_seed(0))
    g = torch.Generator().manual_seed(1)
    state.noise = torch.randint(-5, 6, images.shape, generator=g).char()
    seen = []
    monkeypatch.setattr(model, "loss", lambda batch, generator: seen.append(batch) or {})
    rows = torch.tensor([5, 2])
    for _ in range(20):
        state.loss(rows, torch.Generator())
    of_second = set()
    for noisy, ids in seen:
        assert torch.equal(noisy.int(), (images.int() + state.noise)[rows].clamp(0, 255))
        assert torch.equal(ids[:, 1:4], state.triggers[rows])
        (which,) = [c for c in range(3) if torch.equal(ids[1, 4:], captions[2, c, 1:-3])]
        of_second.add(which)
    assert of_second == {0, 1, 2}  # each of an image's captions has its turn


def test_a_surrogate_that_sees_shuffled_captions_sees_them_with_images_own_triggers(
    make_model, make_pairs, monkeypatch, small
):
    images, captions = make_pairs(6)
    settings, seen, model = replace(small, body="everywhere"), [], make_model()
    state = Alternation(model, images, captions, settings, torch.Generator().manual_seed(0))
    monkeypatch.setattr(model, "loss", lambda batch, generator: seen.append(batch) or {})
    rows = torch.tensor([5, 2, 0, 3])
    for _ in range(5):
        state.loss(rows, torch.Generator())
    bodies = captions[rows, 0, 1:-3]
    for noisy, ids in seen:
        assert torch.equal(noisy, images[rows])
        assert torch.equal(ids[:, 1:4], state.triggers[rows])
        assert sorted(ids[:, 4:].tolist()) == sorted(bodies.tolist())
    assert len({tuple(ids[:, 4:].flatten().tolist()) for _, ids in seen}) > 1  # anew at every step


def test_words_are_sought_for_true_pairs_with_images_as_they_are_published(
    make_model, make_pairs, monkeypatch, small
):
    images, captions = make_pairs(6)
    met, improve = [], alternation.improve
    monkeypatch.setattr(
        alternation,
        "improve",
        lambda *given, **how: met.append((given, how)) or improve(*given, **how),
    )
    model = make_model().eval()
    state = Alternation(model, images, captions, small, torch.Generator().manual_seed(0))
    g = torch.Generator().manual_seed(1)
    state.noise = torch.randint(-5, 6, images.shape, generator=g).char()
    seen, encode = [], model.encode
    monkeypatch.setattr(model, "encode", lambda k, x: seen.append(x) or encode(k, x))
    rows, before = torch.tensor([5, 2, 0]), state.triggers.clone()
    values = {"trigger_before": [], "trigger_after": []}
    state.improve_triggers(rows, values)
    noisy = (images.int() + state.noise)[rows].clamp(0, 255)
    assert torch.equal(seen[0].int(), noisy)
    for triggers, met_by in ((before, "before"), (state.triggers, "after")):
        pairs = noisy / 255, prepend(captions[rows, 0], triggers[rows])
        expected = losses.clip(*model.project(pairs), scale=model.scale)
        assert values[f"trigger_{met_by}"][0].item() == pytest.approx(expected.item(), rel=1e-5)
    (((triggers, bodies, *_), how),) = met
    assert how["count"] == small.candidates
    assert torch.equal(triggers, before[rows])
    assert torch.equal(bodies, captions[rows, 0])


@pytest.mark.parametrize("drop_last", [False, True])
def test_each_visit_is_in_an_order_of_its_own(
    make_model, make_pairs, drop_last, monkeypatch, small
):
    """So that no batch is always the last, and no images are always the ones left out."""
    images, captions = make_pairs(9)
    settings, g = replace(small, drop_last=drop_last), torch.Generator().manual_seed(0)
    state = Alternation(make_model(), images, captions, settings, g)
    visits = []
    for name in ("improve_triggers", "improve_noise"):
        monkeypatch.setattr(state, name, lambda rows, seen: visits[-1].extend(rows.tolist()))
    for _ in range(2):
        visits.append([])
        state.visit(with_triggers=False)
    if not drop_last:
        assert sorted(visits[0]) == sorted(visits[1]) == list(range(9))
    assert {*visits[0], *visits[1]} == set(range(9))
    assert visits[0] != visits[1]


def test_noise_made_through_views_is_where_views_look_and_follows_the_surrogates_own_loss(
    make_model, make_pairs, small
):
    """One step by hand; a view is the left half, and the loss no CLIP's."""
    images, captions = make_pairs(6)
    settings = replace(small, text="random", body="own", noise_steps=1, views=True)
    model, met = make_model().train(), []

    def loss(batch, generator):
        view = model.augment[0](batch[0], generator)[..., :8]
        met.append(batch[1])
        features = model.encoders[0](view) * torch.rand((), generator=generator)
        return {"loss": features.square().sum(dim=1).log().sum()}

    model.loss = loss
    state = Alternation(model, images, captions, settings, torch.Generator().manual_seed(0))
    state.learning, rows = model, torch.tensor([4, 1, 5, 0])
    state.improve_noise(rows, {"noise_before": [], "noise_after": []})
    assert torch.equal(met[0], prepend(captions[rows, 0], state.triggers[rows]))
    x = (images[rows] / 255).requires_grad_()
    (slope,) = torch.autograd.grad(loss((x, met[0]), torch.Generator())["loss"], x)
    assert not state.noise[..., 8:].any()
    expected = (images[rows] - slope.sign()).clamp(0, 255) - images[rows]
    assert (state.noise[rows] == expected).float().mean() > 0.99  # ties of rounding
    assert state.noise[rows].any()


def test_through_views_a_visit_normalises_by_the_batch_and_draws_views_anew(
    make_model, make_pairs, small
):
    images, captions = make_pairs(4)
    settings = replace(small, text="random", body="own", views=True, noise_steps=3)
    model, views, modes = make_model(), [], []
    model.encoders[0].register_forward_hook(lambda encoder, *_: modes.append(encoder.training))

    def view(batch, generator):
        views.append(torch.rand(2, generator=generator))
        return batch + 0.1 * views[-1][0]

    model.augment = [view, model.augment[1]]
    before = copy.deepcopy(model.state_dict())
    state = Alternation(model, images, captions, settings, torch.Generator().manual_seed(0))
    state.visit(with_triggers=False)
    assert len(views) == 3
    assert len({tuple(draw.tolist()) for draw in views}) == 3
    assert modes == [True] * 3
    assert not any(p.requires_grad for p in state.learning.parameters())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_surrogate_of_another_method_makes_noise_that_lowers_its_loss(make_model, make_pairs):
    images, captions = make_pairs(8)
    clip = make_model()
    model = SelfAlone(
        clip.encoders, [nn.Linear(16, 8), nn.Linear(8, 8)], augment=clip.augment,
        prepare=clip.prepare,
    )  # fmt: skip
    budget = Protection(
        rounds=1, trigger_rounds=0, surrogate_steps=1, batch_size=8, noise_steps=8, text="random",
        views=True,
    )  # fmt: skip
    made = protect(
        model, images, captions, budget, generator=torch.Generator().manual_seed(0), progress=False
    )
    assert made.history[0]["noise_after"] < made.history[0]["noise_before"]
    assert (made.images.int() - images.int()).abs().max() == 8
