"""What a hacker's model is trained on under a defence, and what it is tested on."""

import copy
from dataclasses import replace

import pytest
import torch

from mmlib.augment.image import Flip, Grayscale
from mmlib.data.pieces import BytePairTokenizer
from mmlib.data.text import SPECIAL
from mmlib.evaluate.retrieval import random_retrieval
from mmlib.mem import hacker
from mmlib.mem.defence import Defence
from mmlib.mem.defence_images import attacked, resaved, rounded
from mmlib.mem.defence_text import (
    drop_first,
    reread,
    swap_captions,
    without_rare_words,
)
from mmlib.mem.hacker import evaluate, train_hacker
from mmlib.mem.pairs import as_pairs
from mmlib.mem.trigger import prepend
from mmlib.train import Optim

OPTIM = Optim(steps=3, learning_rate=1e-3)


@pytest.fixture
def seen(make_model, make_pairs, monkeypatch):
    """What reaches the model's loss under a defence."""

    def go(defence, steps=30, pairs=None, seed=0, **more):
        images, ids = pairs or make_pairs(6, captions=2)
        model, batches = make_model(), []
        loss = model.loss
        monkeypatch.setattr(model, "loss", lambda b, g: batches.append(b) or loss(b, g))
        train_hacker(
            model, images, ids, replace(OPTIM, steps=steps), batch_size=3, seed=seed,
            generator=torch.Generator().manual_seed(0), defence=defence, **more,
        )  # fmt: skip
        return batches, images, ids

    return go


def rows_of(values, table):
    return [int((table == value).flatten(1).all(1).nonzero()[0]) for value in values]


def test_who_takes_what_is_written_has_other_ids_and_the_same_text(seen, make_pairs):
    texts = ["abba a", "b ab", "baba", "aa"]
    tokenizer = BytePairTokenizer.fit(texts, 14)
    ids = {entry: i for i, entry in enumerate(tokenizer.vocabulary)}
    keys = torch.tensor([[ids[key]] for key in ("ab</w>", "a", "a", "ab</w>")])
    published = prepend(tokenizer.encode(texts, 12), keys)[:, None]
    again = reread(published, tokenizer)
    assert again.shape == published.shape
    for before, after in zip(published[:, 0], again[:, 0], strict=True):
        assert tokenizer.decode(after) == tokenizer.decode(before)
        assert torch.equal(after[None], tokenizer.encode([tokenizer.decode(before)], 12))
    assert [torch.equal(*rows) for rows in zip(published, again, strict=True)] == [
        True, False, False, True,
    ]  # fmt: skip
    images = make_pairs(4)[0]
    batches, *_ = seen(Defence(reread=tokenizer), pairs=(images, published), steps=5)
    table = again.flatten(0, 1)
    assert all(set(rows_of(texts, table)) <= {0, 1, 2, 3} for _, texts in batches)


def test_a_key_of_the_image_is_found_wherever_it_stands(seen, make_pairs):
    """The published captions of an image have its key in common, and little else."""
    images, ids = make_pairs(6, captions=3)
    published = prepend(ids.flatten(0, 1), torch.tensor([[19]] * 18)).view_as(ids)
    batches, *_ = seen(Defence(drop_shared=True), pairs=(images, published))
    assert all((texts != 19).all() for _, texts in batches)


def test_without_defence_pairs_arrive_as_published(seen):
    batches, images, ids = seen(None)
    which = set()
    for x, texts in batches:
        for row, text in zip(rows_of(x, images), texts, strict=True):
            (c,) = [c for c in range(2) if torch.equal(text, ids[row, c])]
            which.add((row, c))
    assert len(which) == 12  # every caption of every image has its turn


def test_the_seed_alone_orders_the_pairs(seen):
    one, again, other = (
        torch.cat([x for x, _ in seen(defence, steps=4, seed=seed)[0]])
        for defence, seed in ((None, 0), (Defence(word_drop=0.5), 0), (None, 1))
    )
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


@pytest.mark.parametrize(
    ("defence", "change"),
    [
        (Defence(drop_first=2), lambda ids: drop_first(ids.flatten(0, 1), 2)),
        (Defence(min_share=0.3), lambda ids: without_rare_words(ids, 0.3).flatten(0, 1)),
    ],
)
def test_the_hacker_trains_on_captions_without_what_the_defence_takes_off(seen, defence, change):
    batches, _, ids = seen(defence)
    assert not torch.equal(change(ids), ids.flatten(0, 1))
    met = {row for _, texts in batches for row in rows_of(texts, change(ids))}
    assert len(met) > 6


@pytest.mark.parametrize(
    ("defence", "change"),
    [
        (Defence(jpeg=75), lambda images: resaved(images, 75)),
        (Defence(rounding=4), lambda images: rounded(images, 4)),
    ],
)
def test_the_hacker_trains_on_images_as_the_defence_leaves_them(seen, defence, change):
    batches, images, _ = seen(defence)
    assert not torch.equal(change(images), images)
    met = {row for x, _ in batches for row in rows_of(x, change(images))}
    assert met == set(range(6))


def test_words_are_dropped_anew_at_every_step(seen):
    batches, _, ids = seen(Defence(word_drop=0.5))
    texts = torch.cat([texts for _, texts in batches])
    kept, all_words = ((x >= len(SPECIAL)).sum(-1).double().mean() for x in (texts, ids))
    assert 0.35 < kept / all_words < 0.65
    assert len(texts.unique(dim=0)) > 2 * 12  # of twelve captions


def test_captions_are_swapped_within_a_photo_and_nowhere_else(seen, make_pairs):
    images, ids = make_pairs(3, captions=4)
    pairs = as_pairs(images, ids)
    photo = torch.arange(3).repeat_interleave(4)
    mixed = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    pairs, photo = (pairs[0][mixed], pairs[1][mixed]), photo[mixed]
    batches, *_ = seen(Defence(swap_captions=True), steps=60, pairs=pairs, photo=photo)
    met = set()
    for x, texts in batches:
        for row, text in zip(rows_of(x, images), texts, strict=True):
            (c,) = [c for c in range(4) if torch.equal(text, ids[row, c])]
            met.add((row, c))
    assert len(met) == 12
    with pytest.raises(ValueError, match="photo is None"):
        seen(Defence(swap_captions=True), pairs=pairs)
    with pytest.raises(ValueError, match="photos have 1 to 3 rows; allowed: as many each"):
        swap_captions(ids[:2].repeat(2, 1, 1), torch.tensor([0, 0, 0, 1]))


def test_views_change_images_and_not_captions(seen):
    batches, _, ids = seen(Defence(views=(Grayscale(p=1.0), Flip(p=0.0))))
    for x, texts in batches:
        assert torch.allclose(x[:, 0], x[:, 1])
        assert set(rows_of(texts, ids.flatten(0, 1))) <= set(range(12))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_adversarial_training_sees_attacked_images_and_learns(make_model, make_pairs, precision):
    images, ids = make_pairs(6)
    model, met = make_model(), []
    start, loss = copy.deepcopy(dict(model.named_parameters())), model.loss
    model.loss = lambda batch, g: met.append(batch[0]) or loss(batch, g)
    train_hacker(
        model, images, ids, replace(OPTIM, precision=precision), batch_size=6, seed=0,
        generator=torch.Generator().manual_seed(0), defence=Defence(adversarial=8),
    )  # fmt: skip
    for batch in met:
        off = (batch[:, None].int() - images.int()).flatten(2).abs().amax(dim=2)
        assert (off.min(dim=1).values == 8).all()  # near some image, and not the image itself
    still = {name for name, p in model.named_parameters() if torch.equal(p, start[name])}
    assert not {name for name in still if name.startswith(("encoders.0", "projections.0"))}
    assert "encoders.1.token_embedding.weight" not in still


def test_views_are_of_attacked_images(seen):
    met = []

    def black(images, _):
        met.append(images)
        return torch.zeros_like(images)

    batches, images, _ = seen(Defence(adversarial=8, views=(black,)), steps=3)
    assert len(met) == len(batches) == 3
    for batch in met:
        off = (batch[:, None].int() - images.int()).flatten(2).abs().amax(dim=2)
        assert (off.min(dim=1).values == 8).all()  # near some image, and not the image itself
    assert not any(batch.any() for batch, _ in batches)  # nothing comes after the views


def test_an_attack_takes_two_steps_and_reaches_an_odd_bound(make_model, make_pairs, monkeypatch):
    images, ids = make_pairs(6)
    found = attacked(make_model().eval(), images, ids[:, 0], epsilon=5, steps=2)
    assert (found.int() - images.int()).abs().max() == 5
    asked = []
    monkeypatch.setattr(hacker, "attacked", lambda *given, **how: asked.append(how) or given[1])
    train_hacker(
        make_model(), images, ids, OPTIM, batch_size=6, seed=0,
        generator=torch.Generator().manual_seed(0), defence=Defence(adversarial=5),
    )  # fmt: skip
    assert asked == [{"epsilon": 5, "steps": 2}] * OPTIM.steps


def test_clean_pairs_are_a_share_of_every_batch(seen, make_pairs):
    clean = make_pairs(3, captions=2, seed=7)
    batches, images, ids = seen(Defence(clean_share=0.6), clean=clean)
    met = set()
    for x, texts in batches:
        assert len(x) == len(texts) == 3
        (row,) = rows_of(x[:1], images)
        assert (texts[0] == ids[row]).all(-1).any()
        known = rows_of(x[1:], clean[0])
        assert len(set(known)) == 2
        for row, text in zip(known, texts[1:], strict=True):
            (c,) = (text == clean[1][row]).all(-1).nonzero()[:, 0].tolist()
            met.add((row, c))
    assert len(met) == 6  # every caption of every clean image
    with pytest.raises(ValueError, match="clean is None; allowed with clean_share"):
        seen(Defence(clean_share=0.4))
    with pytest.raises(ValueError, match=r"pairs is 2; allowed: \[1, 1\]"):
        seen(Defence(clean_share=0.6), clean=tuple(part[:1] for part in clean))


def test_five_captions_of_an_image_are_one_image(make_model, make_pairs):
    """Random ranks of an untrained model are those of N images, whatever the captions."""
    images, ids = make_pairs(40, captions=5)
    result = evaluate(make_model(), images, ids)
    expected = random_retrieval(40, 5)
    assert expected["median_rank.t2i"] == 20  # of 40 images, not of 200 rows
    assert result["median_rank.t2i"] <= 40
    with pytest.raises(ValueError, match=r"captions has shape .* expected \(N=200, C, T\)"):
        evaluate(make_model(), images.repeat_interleave(5, 0), ids)


def test_a_model_in_training_is_evaluated_as_it_is_used(make_model, make_pairs):
    images, ids = make_pairs(40)
    model = make_model()
    expected = evaluate(model.eval(), images, ids)
    assert evaluate(model.train(), images, ids) == expected


def test_test_captions_never_have_the_trigger(make_model, make_pairs, monkeypatch):
    images, ids = make_pairs(8, captions=2)
    asked = []
    model = make_model()
    encoder = model.encoders[1]
    encoder.register_forward_pre_hook(lambda _, inputs: asked.append(inputs[0]))
    evaluate(model, images, ids)
    assert torch.equal(torch.cat(asked), ids.flatten(0, 1))
