"""The search for words: never a higher loss, and brute force where that is feasible."""

import copy

import pytest
import torch

from mmlib import losses
from mmlib.data.text import END, SPECIAL
from mmlib.mem.hotflip import candidates, clip_swapped, improve
from mmlib.mem.trigger import allowed_words, draw_places, insert, prepend

WORDS = 15  # of the 20 ids, 5 are special


def start_triggers(n, k, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randint(len(SPECIAL), len(SPECIAL) + WORDS, (n, k), generator=g)


@pytest.fixture
def task(make_model, make_pairs):
    """A frozen model, its captions, and its loss on features, images embedded once."""
    images, captions = make_pairs(8)
    model = make_model().eval()
    with torch.no_grad():
        vectors = model.projections[0](model.encoders[0](images / 255))

    def loss(features):
        return losses.clip(vectors, model.projections[1](features), scale=model.scale)

    return model, images, captions[:, 0], loss


def test_candidates_are_the_steepest_words_by_finite_differences(task):
    model, _, captions, _ = task
    encoder = copy.deepcopy(model.encoders[1]).double()
    goal = torch.randn(1, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ids = prepend(captions[:1], start_triggers(1, 1))
    table = encoder.token_embedding.weight.detach()

    def loss(embedded):
        return torch.cosine_similarity(encoder.encode_embedded(embedded, ids), goal).sum()

    embedded = table[ids].requires_grad_()
    (gradient,) = torch.autograd.grad(loss(embedded), embedded)
    ranked = candidates(gradient[:, 1], table, allowed_words(20), WORDS)[0]
    assert sorted(ranked.tolist()) == list(range(len(SPECIAL), 20))  # every word, nothing else
    rises = []
    with torch.no_grad():
        for word in ranked:  # a small step towards each word
            moved = table[ids].clone()
            moved[:, 1] += 1e-6 * (table[word] - moved[:, 1])
            rises.append(float(loss(moved)))
        assert rises == sorted(rises)
        assert rises[0] < float(loss(table[ids])) < rises[-1]


@pytest.mark.parametrize("woven", [False, True])
def test_loss_never_rises_and_is_reported_truly(task, woven):
    model, _, captions, loss = task
    encoder, places = model.encoders[1], None
    for seed in range(5):
        if woven:
            places = draw_places(captions, 3, torch.Generator().manual_seed(seed))
        triggers = start_triggers(8, 3, seed)
        step = improve(triggers, captions, encoder, loss, count=4, places=places)
        with torch.no_grad():
            before, after = (
                loss(encoder(insert(captions, t, places))) for t in (triggers, step.triggers)
            )
        assert float(step.before) == pytest.approx(float(before), abs=1e-6)
        assert float(step.after) == pytest.approx(float(after), abs=1e-6)
        assert step.after <= step.before
        assert (step.triggers >= len(SPECIAL)).all()
    assert step.after < step.before  # and it does fall


def test_present_words_stay_if_no_candidate_is_better(task):
    model, _, captions, loss = task
    step = improve(start_triggers(8, 2), captions, model.encoders[1], loss, count=WORDS)
    for _ in range(20):
        again = improve(step.triggers, captions, model.encoders[1], loss, count=WORDS)
        if torch.equal(again.triggers, step.triggers):
            break
        assert again.after < step.after
        step = again
    assert again.after == again.before


@pytest.mark.parametrize("length", [1, 2])
def test_with_every_word_tried_it_is_brute_force(task, length):
    """One caption against fixed images: each position takes its best word, left to right."""
    model, _, captions, _ = task
    encoder = model.encoders[1]
    vectors = torch.randn(6, 8, generator=torch.Generator().manual_seed(1))

    def loss(features):
        similarity = torch.cosine_similarity(features, vectors)
        return torch.logsumexp(5 * similarity, dim=0) - 5 * similarity[0]

    best = start_triggers(1, length)
    found = improve(best, captions[:1], encoder, loss, count=WORDS)
    for position in range(length):
        tried = []
        for word in range(len(SPECIAL), 20):
            option = best.clone()
            option[0, position] = word
            with torch.no_grad():
                tried.append((float(loss(encoder(prepend(captions[:1], option)))), word))
        best = best.clone()
        best[0, position] = min(tried)[1]
    assert torch.equal(found.triggers, best)


@pytest.mark.parametrize("owner", [None, [1, 0, 0]])
def test_equals_a_slow_search_by_finite_differences(make_model, make_pairs, owner):
    """Slopes at the first triggers; then, left to right, everybody's j-th word if it helps."""
    images, captions = make_pairs(3)
    captions = captions[:, 0]
    owner = None if owner is None else torch.tensor(owner)
    own = torch.arange(3) if owner is None else owner  # whose each caption's trigger is
    model = make_model().double().eval()
    encoder = model.encoders[1]
    with torch.no_grad():
        vectors = model.projections[0](model.encoders[0](images.double() / 255))

    def loss(features):
        return losses.clip(vectors, features, scale=model.scale)

    for seed in range(3):
        first = start_triggers(int(own.max()) + 1, 2, seed)
        found = improve(first, captions, encoder, loss, count=3, owner=owner)
        with torch.no_grad():
            ids = prepend(captions, first[own])
            embedded = encoder.token_embedding(ids)
            best, chosen = loss(encoder(ids)), first
            for position in range(2):
                ranked = []
                for trigger in range(len(first)):
                    rows, slopes = own == trigger, []
                    for word in range(len(SPECIAL), 20):
                        moved = embedded.clone()
                        step = encoder.token_embedding.weight[word] - moved[rows, 1 + position]
                        moved[rows, 1 + position] += 1e-6 * step
                        slopes.append((float(loss(encoder.encode_embedded(moved, ids))), word))
                    ranked.append([word for _, word in sorted(slopes)[:3]])
                options = []
                for words in zip(*ranked, strict=True):
                    option = chosen.clone()
                    option[:, position] = torch.tensor(words)
                    options.append((float(loss(encoder(prepend(captions, option[own])))), option))
                value, option = min(options, key=lambda pair: pair[0])
                if value < best:
                    best, chosen = value, option
        assert torch.equal(found.triggers, chosen)
        assert float(found.after) == pytest.approx(float(best), abs=1e-9)


def test_same_choice_when_images_are_embedded_anew_for_every_word(task):
    model, images, captions, loss = task
    calls = 0

    def uncached(features):
        nonlocal calls
        calls += 1
        vectors = model.projections[0](model.encoders[0](images / 255))
        return losses.clip(vectors, model.projections[1](features), scale=model.scale)

    triggers = start_triggers(8, 3)
    one = improve(triggers, captions, model.encoders[1], loss, count=6)
    other = improve(triggers, captions, model.encoders[1], uncached, count=6)
    assert torch.equal(one.triggers, other.triggers)
    assert calls == 1 + 3 * 6


@pytest.fixture
def swapped(task):
    model, images, *_ = task
    with torch.no_grad():
        vectors = model.projections[0](model.encoders[0](images / 255))

    def losses_of(features, options):
        project = model.projections[1]
        return clip_swapped(vectors, project(features), project(options), scale=model.scale)

    return losses_of


def test_selection_by_sample_never_raises_the_loss_and_beats_the_batch(task, swapped):
    model, _, captions, loss = task
    encoder = model.encoders[1]
    for seed in range(4):
        first = start_triggers(8, 3, seed)
        batch = improve(first, captions, encoder, loss, count=6)
        sample = improve(first, captions, encoder, loss, count=6, swapped=swapped)
        with torch.no_grad():
            after = loss(encoder(prepend(captions, sample.triggers)))
        assert float(sample.after) == pytest.approx(float(after), abs=1e-6)
        assert sample.after < batch.after <= batch.before
        assert (sample.triggers >= len(SPECIAL)).all()


def test_selection_by_sample_of_one_caption_is_brute_force(task, swapped):
    """Where only one caption has candidates that matter, each position takes its best word."""
    model, _, captions, loss = task
    encoder = model.encoders[1]
    first = start_triggers(8, 1)
    found = improve(first, captions, encoder, loss, count=WORDS, swapped=swapped)
    gains = []
    with torch.no_grad():
        start = float(loss(encoder(prepend(captions, first))))
        for row in range(8):
            best = min(
                (float(loss(encoder(prepend(captions, _with(first, row, word))))), word)
                for word in range(len(SPECIAL), 20)
            )
            gains.append(best)
            if found.triggers[row, 0] != first[row, 0]:
                assert found.triggers[row, 0] == best[1]
    changed = (found.triggers != first).any(1)
    assert changed.any()
    best_row = min(range(8), key=lambda row: gains[row])
    assert gains[best_row][0] < start
    assert changed[best_row]  # the most useful change is always among the kept


def _with(triggers, row, word):
    changed = triggers.clone()
    changed[row, 0] = word
    return changed


def test_a_shared_trigger_takes_the_word_that_is_best_for_all_who_share_it(task):
    """With every word tried: two triggers, each position by brute force over what all can take."""
    model, _, captions, loss = task
    encoder = model.encoders[1]
    owner = torch.zeros(8, dtype=torch.long)
    first = start_triggers(1, 2)
    found = improve(first, captions, encoder, loss, count=WORDS, owner=owner)
    best = first
    with torch.no_grad():
        for position in range(2):
            options = []
            for word in range(len(SPECIAL), 20):
                option = best.clone()
                option[0, position] = word
                texts = prepend(captions, option.expand(8, -1))
                options.append((float(loss(encoder(texts))), option))
            best = min(options, key=lambda pair: pair[0])[1]
    assert torch.equal(found.triggers, best)


def test_forbidden_words_are_never_chosen_and_allowed_ones_are(task, swapped):
    model, _, captions, loss = task
    encoder = model.encoders[1]
    allowed = torch.zeros(20, dtype=torch.bool)
    allowed[[END, 7, 11]] = True
    for by in (None, swapped):
        triggers, chosen = start_triggers(8, 3), set()
        for _ in range(3):
            step = improve(triggers, captions, encoder, loss, count=2, allowed=allowed, swapped=by)
            chosen |= set(step.triggers[step.triggers != triggers].tolist())
            triggers = step.triggers
        assert chosen
        assert chosen <= {END, 7, 11}


def test_leaves_the_model_alone(task):
    model, _, captions, loss = task
    before = copy.deepcopy(model.state_dict())
    triggers = start_triggers(8, 3)
    step = improve(triggers, captions, model.encoders[1], loss, count=8)
    assert not torch.equal(step.triggers, triggers)
    assert torch.equal(triggers, start_triggers(8, 3))  # the given ones are not written to
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_more_candidates_than_words_is_an_error(task):
    model, _, captions, loss = task
    with pytest.raises(ValueError, match=r"count is 16; allowed: \[1, 15\]"):
        improve(start_triggers(8, 1), captions, model.encoders[1], loss, count=16)


def test_words_are_chosen_where_they_stand(make_model, make_pairs):
    """With every word tried: one trigger of one caption, by brute force at its places."""
    _, captions = make_pairs(1)
    model = make_model().eval()
    target = torch.randn(1, 8, generator=torch.Generator().manual_seed(0))

    def loss(features):
        return (model.projections[1](features) - target).square().sum()

    start, places = torch.tensor([[6, 7]]), torch.tensor([[1, 3]])
    encoder, best = model.encoders[1], start
    found = improve(start, captions[:, 0], encoder, loss, count=15, places=places)
    with torch.no_grad():
        for k in range(2):
            options = []
            for word in range(len(SPECIAL), 20):
                option = best.clone()
                option[0, k] = word
                value = float(loss(encoder(insert(captions[:, 0], option, places))))
                options.append((value, option))
            best = min(options, key=lambda pair: pair[0])[1]
    assert torch.equal(found.triggers, best)
    assert float(found.after) < float(found.before)
