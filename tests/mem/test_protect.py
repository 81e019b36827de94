import copy
from dataclasses import replace

import pytest
import torch

from mmlib.encoders.text import END, SPECIAL, START, WordTokenizer
from mmlib.mem.protect import Alternation, Protected, Protection, protect

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

    def go(settings, captions=1):
        images, ids = make_pairs(9, captions)
        model = make_model()
        g = torch.Generator().manual_seed(3)
        return protect(model, images, ids, settings, generator=g, progress=False), images, model

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
    none, *_ = run(replace(SMALL, text="none", shuffle_body=False))
    zero, *_ = run(replace(SMALL, text="random", trigger_length=0, shuffle_body=False))
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


@pytest.mark.parametrize("shuffle", [True, False])
def test_bodies_are_shuffled_and_triggers_stay(make_model, make_pairs, shuffle, monkeypatch):
    images, captions = make_pairs(6)
    settings = replace(SMALL, text="random", shuffle_body=shuffle)
    model = make_model().eval()
    state = Alternation(model, images, captions, settings, torch.Generator().manual_seed(0))
    seen = []
    project = model.project

    def watched(view):
        seen.append(view[1])
        return project(view)

    monkeypatch.setattr(model, "project", watched)
    rows = torch.tensor([4, 1, 0, 5])
    state.improve_noise(rows, {"noise_before": [], "noise_after": []})
    assert len(seen) == settings.noise_steps
    bodies = captions[rows, 0, 1:-3]
    for ids in seen:
        assert torch.equal(ids[:, 1:4], state.triggers[rows])
        shown = sorted(ids[:, 4:].tolist())
        assert shown == sorted(bodies.tolist())  # the same captions
    moved = [not torch.equal(ids[:, 4:], bodies) for ids in seen]
    assert any(moved) == shuffle
    if shuffle:
        assert not torch.equal(seen[0], seen[1])  # anew at every step


def test_a_visit_leaves_the_surrogate_alone(make_model, make_pairs):
    images, captions = make_pairs(6)
    model = make_model()
    before = copy.deepcopy(model.state_dict())
    state = Alternation(model, images, captions, SMALL, torch.Generator().manual_seed(0))
    means = state.visit(with_triggers=True)
    assert set(means) == {"trigger_before", "trigger_after", "noise_before", "noise_after"}
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


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
        ({"noise_steps": 0}, "noise_steps is 0"),
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
