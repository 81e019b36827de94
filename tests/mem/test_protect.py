import copy
import sys
from dataclasses import replace

import pytest
import torch

from mmlib import losses
from mmlib.data.text import END, SPECIAL, START, WordTokenizer
from mmlib.mem import alternation
from mmlib.mem.alternation import Alternation, as_pairs
from mmlib.mem.protect import protect
from mmlib.mem.published import Protected, check_victim
from mmlib.mem.settings import Protection, rows
from mmlib.mem.trigger import prepend
from mmlib.train import Optim

SMALL = Protection(
    rounds=2,
    trigger_rounds=1,
    surrogate_steps=3,
    batch_size=4,
    candidates=5,
    noise_steps=3,
    learning_rate=1e-2,
)


@pytest.fixture
def run(make_model, make_pairs):
    """Protect nine pairs (batches of unequal size) from given seeds."""

    def go(settings, captions=1, **more):
        images, ids = make_pairs(9, captions)
        model = make_model()
        g = torch.Generator().manual_seed(3)
        made = protect(model, images, ids, settings, generator=g, progress=False, **more)
        return made, images, model

    return go


@pytest.mark.parametrize("text", ["none", "constant", "random", "optimised"])
@pytest.mark.parametrize("image", ["none", "uniform", "pgd"])
def test_every_switch_does_what_it_says(run, text, image):
    made, images, model = run(replace(SMALL, text=text, image=image), captions=2)
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


@pytest.mark.parametrize("text", ["constant", "random", "optimised"])
def test_of_the_words_given_and_no_others(run, text, make_pairs):
    words = torch.zeros(20, dtype=torch.bool)
    words[[END, 9, 12, 17]] = True
    for special in (False, True):  # as settings allow them
        settings = replace(SMALL, text=text, special_tokens=special, candidates=3)
        made, *_ = run(settings, captions=2, words=words)
        used = set(made.triggers.unique().tolist())
        assert used <= {9, 12, 17} | ({END} if special else set())
        counts = torch.bincount(make_pairs(9, 2)[1].flatten(), minlength=20)
        if text == "constant":
            assert used == {max((9, 12, 17), key=lambda i: counts[i])}
        else:
            assert len(used) > 1


def test_the_constant_word_is_the_most_frequent_and_no_special_token(run, make_pairs):
    counts = torch.bincount(make_pairs(9, 2)[1].flatten(), minlength=20)
    for special in (False, True):
        made, *_ = run(replace(SMALL, text="constant", special_tokens=special), captions=2)
        (word,) = made.triggers.unique().tolist()
        assert word >= len(SPECIAL)
        assert counts[word] == counts[len(SPECIAL) :].max()


def test_a_constant_word_is_allowed_also_where_no_caption_has_one(make_model, make_pairs):
    images, ids = make_pairs(4)
    settings, g = replace(SMALL, text="constant", image="none"), torch.Generator()
    ids[ids == 19] = 9
    words = torch.arange(20) == 19
    made = protect(make_model(), images, ids, settings, generator=g, words=words)
    assert (made.triggers == 19).all()
    special = replace(settings, special_tokens=True)
    with pytest.raises(ValueError, match="no word may be in a trigger"):
        protect(make_model(), images, ids, special, generator=g, words=torch.arange(20) == END)


def test_the_surrogate_is_trained_as_the_settings_say(run, monkeypatch):
    module, seen = sys.modules["mmlib.mem.protect"], []
    fit = module.fit

    def noted(model, loss, optim, sampler, **more):
        seen.append((optim, sampler.batch_size))
        return fit(model, loss, optim, sampler, **more)

    monkeypatch.setattr(module, "fit", noted)
    run(replace(SMALL, learning_rate=3e-3, weight_decay=0.7, precision="bfloat16"))
    asked = Optim(steps=6, learning_rate=3e-3, weight_decay=0.7, precision="bfloat16")
    assert seen == [(asked, 4)]


def test_bound_is_exact_after_many_steps(run):
    made, images, _ = run(replace(SMALL, noise_steps=12))
    assert (made.images.int() - images.int()).abs().max() == 8
    made, images, _ = run(replace(SMALL, noise_steps=12, epsilon=2))
    assert (made.images.int() - images.int()).abs().max() == 2


def test_every_pair_is_visited(run):
    made, images, _ = run(replace(SMALL, rounds=1))
    assert (made.images != images).flatten(1).any(1).all()


def test_trigger_step_never_raises_the_loss(run):
    made, *_ = run(replace(SMALL, trigger_rounds=2, image="none"))
    for row in made.history:
        assert row["trigger_after"] <= row["trigger_before"]
    assert made.history[0]["trigger_after"] < made.history[0]["trigger_before"]


def test_without_trigger_words_it_is_error_minimising_noise(run):
    none, *_ = run(replace(SMALL, text="none", body="own"))
    zero, *_ = run(replace(SMALL, text="random", trigger_length=0, body="own"))
    assert torch.equal(none.images, zero.images)
    assert none.history == zero.history


def test_without_budget_it_is_text_only(run):
    one_round = replace(SMALL, rounds=1)
    zero, images, _ = run(replace(one_round, epsilon=0))
    text, *_ = run(replace(one_round, image="none"))
    assert torch.equal(zero.images, images)
    # PGD draws from the generator between batches, so only the first one's triggers can agree.
    assert int((zero.triggers == text.triggers).all(1).sum()) >= 3


def test_without_trigger_rounds_random_triggers_stay(run):
    kept, *_ = run(replace(SMALL, trigger_rounds=0))
    random, *_ = run(replace(SMALL, text="random"))
    assert torch.equal(kept.triggers, random.triggers)
    assert torch.equal(kept.images, random.images)
    changed, *_ = run(SMALL)
    assert not torch.equal(changed.triggers, random.triggers)


def test_same_seeds_same_protection(run):
    one, *_ = run(SMALL)
    other, *_ = run(SMALL)
    assert torch.equal(one.images, other.images)
    assert torch.equal(one.triggers, other.triggers)


@pytest.mark.parametrize("body", ["own", "shuffled", "other"])
def test_bodies_move_and_triggers_stay(make_model, make_pairs, body, monkeypatch):
    images, captions = make_pairs(6)
    settings = replace(SMALL, text="random", body=body)
    model = make_model().eval()
    state = Alternation(model, images, captions, settings, torch.Generator().manual_seed(0))
    seen, encoder = [], model.encoders[1]
    monkeypatch.setattr(encoder, "by_length", lambda ids: seen.append(ids) or encoder(ids))
    rows = torch.tensor([4, 1, 0, 5])
    state.improve_noise(rows, {"noise_before": [], "noise_after": []})
    assert len(seen) == (settings.noise_steps if body == "shuffled" else 1)  # encoded once
    bodies = captions[rows, 0, 1:-3]
    for ids in seen:
        assert torch.equal(ids[:, 1:4], state.triggers[rows])
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


def test_noise_goes_to_the_image_it_was_made_for(make_model, make_pairs):
    """A visit of rows in any order against single steps by hand."""
    images, captions = make_pairs(6)
    settings = replace(SMALL, text="random", body="own", noise_steps=1)
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
    make_model, make_pairs, precision, monkeypatch
):
    settings, model = replace(SMALL, precision=precision), make_model()
    state = Alternation(model, *make_pairs(6), settings, torch.Generator().manual_seed(0))
    met = set()
    for part in ("improve_triggers", "improve_noise"):
        monkeypatch.setattr(
            state, part, lambda *_: met.add(model.projections[0](torch.zeros(1, 16)).dtype)
        )
    state.visit(with_triggers=True)
    assert met == {getattr(torch, precision)}


def test_a_visit_leaves_the_surrogate_alone(make_model, make_pairs):
    images, captions = make_pairs(6)
    model = make_model()
    before = copy.deepcopy(model.state_dict())
    state = Alternation(model, images, captions, SMALL, torch.Generator().manual_seed(0))
    means = state.visit(with_triggers=True)
    assert set(means) == {"trigger_before", "trigger_after", "noise_before", "noise_after"}
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_each_visit_asks_the_surrogate_as_it_is_then(make_model, make_pairs, monkeypatch):
    """Its frozen copy finds the triggers and the first step of noise that itself would find."""
    images, captions = make_pairs(6)
    made = []
    for copied in (True, False):
        if not copied:
            monkeypatch.setattr(alternation, "folded", lambda model: model)
        model = make_model()
        settings = replace(SMALL, noise_steps=1)
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
def test_a_visit_is_the_same_whatever_gradients_were_left(make_model, make_pairs, unit):
    images, captions = make_pairs(6, captions=2)
    settings = replace(SMALL, unit=unit, groups=3)
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


def test_surrogate_gradients_do_not_pile_up(make_model, make_pairs, monkeypatch):
    """Each optimiser step has the gradient of its own batch: a slow loop says which."""
    images, ids = make_pairs(8)
    settings = replace(SMALL, text="random", trigger_rounds=0, rounds=1, surrogate_steps=4)
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


def test_one_noise_for_a_pair_for_an_image_or_for_a_group(run):
    """Noise is told apart where no pixel can clip it."""
    pair, images, _ = run(replace(SMALL, unit="pair"), captions=2)
    assert len(pair.images) == len(pair.triggers) == 18
    twice = images.repeat_interleave(2, 0)
    noise = (pair.images.int() - twice.int()).view(9, 2, -1)
    assert not torch.equal(noise[:, 0], noise[:, 1])

    image, *_ = run(SMALL, captions=2)
    assert len(image.images) == len(image.triggers) == 9

    g = torch.Generator().manual_seed(0)
    group, images, _ = run(replace(SMALL, unit="group", groups=1), captions=2)
    assert len(group.triggers.unique(dim=0)) == 1
    room = (images >= 8) & (images <= 247)
    noise = (group.images.int() - images.int()).where(room, 99)
    for pixel in noise.flatten(1).T[torch.randperm(768, generator=g)[:200]]:
        assert len(set(pixel.tolist()) - {99}) <= 1  # one for all
    assert (noise.where(room, 0) != 0).any()
    settings = replace(SMALL, text="none", image="uniform", unit="group", groups=1)
    group, images, _ = run(settings)
    noise = (group.images.int() - images.int())[1][(images[0] == 0) & room[1]]
    assert noise.min() < 0 < noise.max()  # the black of one image clips no noise of another


def test_pairs_are_images_published_once_for_each_caption(make_model, make_pairs):
    images, ids = make_pairs(4, captions=3)
    settings = replace(SMALL, unit="pair")
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


def test_noise_maximises_on_a_surrogate_trained_on_clean_pairs(run):
    settings = rows(replace(SMALL, noise_steps=8))
    worse, images, _ = run(settings["tap"])
    (row,) = worse.history
    assert row["noise_after"] > row["noise_before"]
    assert (worse.images.int() - images.int()).abs().max() == 8
    better, *_ = run(replace(settings["tap"], maximise=False))
    assert better.history[0]["surrogate"] == row["surrogate"]
    assert better.history[0]["noise_after"] < row["noise_before"]
    assert better.history[0]["noise_before"] == row["noise_before"]


@pytest.mark.parametrize("drop_last", [False, True])
def test_the_incomplete_batch_is_visited_or_left_out(make_model, make_pairs, drop_last):
    images, ids = make_pairs(9)
    settings = replace(SMALL, drop_last=drop_last)
    model = make_model()
    state = Alternation(model, images, ids, settings, torch.Generator().manual_seed(0))
    state.visit(with_triggers=False)
    assert int(state.noise.flatten(1).any(1).sum()) == (8 if drop_last else 9)
    with pytest.raises(ValueError, match="batch_size with drop_last is 4"):
        Alternation(
            model, images[:3], ids[:3], replace(settings, drop_last=True), torch.Generator()
        )


def test_special_tokens_are_trigger_words_only_if_asked_for(run):
    ends = 0
    for special in (False, True):
        settings = replace(SMALL, text="random", image="none", special_tokens=special)
        made, *_ = run(replace(settings, trigger_length=5))
        found = made.triggers < len(SPECIAL)
        assert bool(found.any()) == special
        ends += int((made.triggers == END).sum())
    assert ends  # of 45 words each is one of 20 ids: what cuts captions off is among them


def test_sample_selection_never_raises_the_loss_and_does_more(run):
    by = {}
    for selection in ("batch", "sample"):
        made, *_ = run(replace(SMALL, rounds=1, image="none", selection=selection))
        by[selection] = made.history[0]
        assert made.history[0]["trigger_after"] <= made.history[0]["trigger_before"]
    assert by["sample"]["trigger_before"] == by["batch"]["trigger_before"]
    assert by["sample"]["trigger_after"] < by["batch"]["trigger_after"]


def test_the_surrogate_is_no_victim(make_model, make_pairs):
    images, ids = make_pairs(8)
    surrogate = make_model()
    start = copy.deepcopy(surrogate)
    g = torch.Generator().manual_seed(0)
    made = protect(surrogate, images, ids, SMALL, generator=g, progress=False)
    none = replace(SMALL, text="random", image="none")  # trains none, so there is none to be
    random = protect(start, images, ids, none, generator=g)
    for victim in (surrogate, start, make_model()):  # trained, untrained, and of the same seed
        with pytest.raises(ValueError, match="has the weights of the surrogate"):
            check_victim(victim, (random, made))
    check_victim(make_model(seed=1), (random, made))
    check_victim(start, (random,))


def test_surrogate_sees_true_protected_pairs(make_model, make_pairs, monkeypatch):
    images, captions = make_pairs(6, captions=3)
    model = make_model()
    state = Alternation(model, images, captions, SMALL, torch.Generator().manual_seed(0))
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


def test_words_are_sought_for_images_as_they_are_published(make_model, make_pairs, monkeypatch):
    images, captions = make_pairs(6)
    model = make_model().eval()
    state = Alternation(model, images, captions, SMALL, torch.Generator().manual_seed(0))
    g = torch.Generator().manual_seed(1)
    state.noise = torch.randint(-5, 6, images.shape, generator=g).char()
    seen, encode = [], model.encode
    monkeypatch.setattr(model, "encode", lambda k, x: seen.append(x) or encode(k, x))
    rows = torch.tensor([5, 2, 0])
    state.improve_triggers(rows, {"trigger_before": [], "trigger_after": []})
    assert torch.equal(seen[0].int(), (images.int() + state.noise)[rows].clamp(0, 255))


def test_each_visit_is_in_an_order_of_its_own(make_model, make_pairs, monkeypatch):
    """So that no batch is always the last, and no images are always the ones left out."""
    images, captions = make_pairs(9)
    state = Alternation(make_model(), images, captions, SMALL, torch.Generator().manual_seed(0))
    visits = []
    for name in ("improve_triggers", "improve_noise"):
        monkeypatch.setattr(state, name, lambda rows, seen: visits[-1].extend(rows.tolist()))
    for _ in range(2):
        visits.append([])
        state.visit(with_triggers=False)
    assert sorted(visits[0]) == sorted(visits[1]) == list(range(9))
    assert visits[0] != visits[1]


def test_published_captions_carry_the_trigger_of_their_image():
    captions = torch.tensor([[[START, 9, END, 0, 0], [START, 8, END, 0, 0]]] * 2)
    made = Protected(torch.zeros(2, 3, 1, 1), torch.tensor([[5, 6], [7, 5]]), [])
    assert made.captions(captions)[1].tolist() == [[START, 7, 5, 9, END], [START, 7, 5, 8, END]]
    tokenizer = WordTokenizer(["look", "here", "now"])
    assert made.words(tokenizer) == ["look here", "now look"]
    assert torch.equal(tokenizer.encode(made.words(tokenizer), 4)[:, 1:3], made.triggers)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": "best"}, "text is 'best'; allowed: 'none', 'constant', 'random', 'optimised'"),
        ({"image": "gauss"}, "image is 'gauss'; allowed: 'none', 'uniform', 'pgd'"),
        ({"trigger_length": -1}, "trigger_length is -1"),
        ({"trigger_rounds": 3}, r"trigger_rounds is 3; allowed: \[0, 2\]"),
        ({"batch_size": 1}, "batch_size is 1"),
        ({"body": "mine"}, "body is 'mine'; allowed: 'own', 'shuffled', 'other', 'plain'"),
        ({"unit": "pixel"}, "unit is 'pixel'; allowed: 'pair', 'image', 'group'"),
        ({"unit": "group", "selection": "sample"}, "selection is 'sample'; allowed for the unit"),
        ({"maximise": True}, "maximise is True; allowed with optimised triggers: False"),
        ({"noise_steps": 0}, "noise_steps is 0"),
        ({"epsilon": 128}, r"epsilon is 128; allowed: \[0, 127\]"),
    ],
)
def test_settings_are_checked(change, message):
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **change)


def test_bad_pairs_are_refused(make_model, make_pairs):
    images, captions = make_pairs(4)
    g = torch.Generator().manual_seed(0)
    with pytest.raises(ValueError, match=r"captions has shape .* expected \(N=4, C, T\)"):
        protect(make_model(), images, captions[:, 0], SMALL, generator=g)
    with pytest.raises(ValueError, match=r"images are torch\.float32"):
        protect(make_model(), images / 255, captions, SMALL, generator=g)
    with pytest.raises(ValueError, match="has no room for its trigger"):
        protect(make_model(), images, captions[..., :6], SMALL, generator=g)
    words = torch.ones(19, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"words has shape \(19,\)"):
        protect(make_model(), images, captions, SMALL, generator=g, words=words)
