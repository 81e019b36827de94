import copy
from dataclasses import replace

import pytest
import torch

from mmlib import losses
from mmlib.augment.image import Flip, GaussianBlur, Grayscale, ResizedCrop
from mmlib.data.pieces import BytePairTokenizer
from mmlib.data.text import END, PAD, SPECIAL, START, UNKNOWN
from mmlib.evaluate.retrieval import random_retrieval
from mmlib.mem.alternation import as_pairs
from mmlib.mem.defence import (
    Defence,
    attacked,
    drop_first,
    drop_shared,
    drop_words,
    named,
    reread,
    resaved,
    rounded,
    swap_captions,
    without_rare_words,
)
from mmlib.mem.hacker import evaluate, train_hacker, vectors
from mmlib.mem.protect import protect
from mmlib.mem.settings import Protection
from mmlib.mem.trigger import prepend
from mmlib.train import Optim

OPTIM = Optim(steps=3, learning_rate=1e-3)


def words_of(row):
    return [i for i in row.tolist() if i >= len(SPECIAL) or i == UNKNOWN]


def is_caption(row):
    """Start, words, one end, padding."""
    ids = row.tolist()
    end = ids.index(END)
    return ids[0] == START and all(i not in (PAD, END, START) for i in ids[1:end]) and not any(
        ids[end + 1 :]
    )  # fmt: skip


def test_dropping_the_first_words_undoes_a_trigger(make_pairs):
    captions = make_pairs(20)[1][:, 0]
    triggers = torch.randint(len(SPECIAL), 20, (20, 3))
    assert torch.equal(drop_first(prepend(captions, triggers), 3), captions)
    assert torch.equal(drop_first(captions, 0), captions)


def test_dropping_more_words_than_there_are_leaves_the_last(make_pairs):
    captions = make_pairs(20)[1][:, 0]
    for before, after in zip(captions, drop_first(captions, 30), strict=True):
        assert words_of(after) == words_of(before)[-1:]
        assert is_caption(after)


def test_words_are_dropped_with_their_probability_and_in_order(make_pairs):
    captions = make_pairs(50)[1][:, 0].repeat(40, 1)
    dropped = drop_words(captions, 0.3, torch.Generator().manual_seed(0))
    kept = total = 0
    for before, after in zip(captions[:200], dropped[:200], strict=True):
        rest = iter(words_of(before))
        assert all(word in rest for word in words_of(after))  # a subsequence
        assert is_caption(after)
    kept, total = (int((x >= len(SPECIAL)).sum()) for x in (dropped, captions))
    assert abs(kept / total - 0.7) < 0.02


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


def test_rare_words_are_counted_by_caption():
    captions = torch.tensor([[[1, 7, 7, 2], [1, 8, 9, 2]], [[1, 8, 6, 2], [1, 8, 2, 0]]])
    filtered = without_rare_words(captions, 0.5)
    assert filtered.tolist() == [[[1, 3, 3, 2], [1, 8, 3, 2]], [[1, 8, 3, 2], [1, 8, 2, 0]]]
    for share in (0.0, 0.25):  # no word is in less than a quarter of them
        assert torch.equal(without_rare_words(captions, share), captions)


def test_words_that_all_captions_of_an_image_have_are_dropped(make_pairs):
    ids = make_pairs(30, captions=3)[1]
    ids[0] = ids[0, :1]  # nothing but shared words: the last stays
    dropped = drop_shared(ids)
    for before, after in zip(ids, dropped, strict=True):
        shared = set.intersection(*(set(words_of(row)) for row in before))
        for old, new in zip(before, after, strict=True):
            left = [i for i in words_of(old) if i not in shared]
            assert words_of(new) == (left or words_of(old)[-1:])
            assert is_caption(new)
    with pytest.raises(ValueError, match="number of captions is 1"):
        drop_shared(ids[:, :1])


def test_a_key_of_the_image_is_found_wherever_it_stands(seen, make_pairs):
    """The published captions of an image have its key in common, and little else."""
    images, ids = make_pairs(6, captions=3)
    published = prepend(ids.flatten(0, 1), torch.tensor([[19]] * 18)).view_as(ids)
    batches, *_ = seen(Defence(drop_shared=True), pairs=(images, published))
    assert all((texts != 19).all() for _, texts in batches)


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


def test_jpeg_keeps_content_and_changes_noise(seen):
    smooth = torch.arange(0, 256, 16).expand(6, 3, 16, 16).byte().contiguous()
    assert (resaved(smooth, 95).int() - smooth.int()).abs().max() <= 4
    noise = torch.randint(-8, 9, smooth.shape, generator=torch.Generator().manual_seed(0))
    noisy = (smooth.int() + noise).clamp(0, 255).byte()
    left = (resaved(noisy, 50).int() - smooth.int()).float().std() / noise.float().std()
    assert left < 0.8
    batches, images, _ = seen(Defence(jpeg=75))
    assert set(rows_of(batches[0][0], resaved(images, 75))) <= set(range(6))


def test_rounding_moves_pixels_by_half_a_step_and_undoes_less(seen):
    every = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(6, 3, 16, 16)
    assert torch.equal(rounded(every, 1), every)
    for levels in (2, 4, 5):
        coarse = rounded(every, levels)
        assert not (coarse % levels).any()
        moved = (coarse.int() - every.int()).abs()
        inside = every <= 255 // levels * levels
        assert moved[inside].max() == levels // 2
        assert moved.max() < levels
    fives = rounded(every, 5)[..., 1:-1, :]
    assert all(torch.equal(rounded(fives + k, 5), fives) for k in (1, 2))
    assert not torch.equal(rounded(fives + 3, 5), fives)
    batches, images, _ = seen(Defence(rounding=4), steps=1)
    assert set(rows_of(batches[0][0], rounded(images, 4))) <= set(range(6))


def test_an_attack_raises_the_loss_within_its_bound_and_leaves_the_model(make_model, make_pairs):
    images, ids = make_pairs(16)
    model = make_model().eval()
    before = copy.deepcopy(model.state_dict())
    for steps in (1, 3):
        noisy = attacked(model, images, ids[:, 0], epsilon=8, steps=steps)
        change = (noisy.int() - images.int()).abs()
        assert change.max() == 8
        other_way = (2 * images.int() - noisy.int()).clamp(0, 255).byte()
        worse, plain, better = (
            losses.clip(*(vectors(model, k, x) for k, x in enumerate((part, ids[:, 0]))), scale=14)
            for part in (noisy, images, other_way)
        )
        assert worse > plain + 0.02
        assert plain > better
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


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


def test_clean_pairs_are_a_share_of_every_batch(seen, make_pairs):
    clean = make_pairs(3, captions=2, seed=7)
    batches, images, ids = seen(Defence(clean_share=0.4), clean=clean)
    met = set()
    for x, texts in batches:
        assert len(x) == len(texts) == 3
        assert rows_of(x[:2], images)
        for row, text in zip(rows_of(x[:2], images), texts[:2], strict=True):
            assert (text == ids[row]).all(-1).any()
        (row,) = rows_of(x[2:], clean[0])
        (c,) = (texts[2] == clean[1][row]).all(-1).nonzero()[:, 0].tolist()
        met.add((row, c))
    assert len(met) == 6  # every caption of every clean image
    with pytest.raises(ValueError, match="clean is None; allowed with clean_share"):
        seen(Defence(clean_share=0.4))
    with pytest.raises(ValueError, match=r"pairs is 2; allowed: \[1, 1\]"):
        seen(Defence(clean_share=0.6), clean=tuple(part[:1] for part in clean))


def test_the_victim_is_not_the_surrogate(make_model, make_pairs):
    images, ids = make_pairs(8)
    settings = Protection(rounds=1, trigger_rounds=1, surrogate_steps=1, batch_size=4, candidates=4)
    surrogate = make_model()
    victim = copy.deepcopy(surrogate)
    g = torch.Generator().manual_seed(0)
    made = protect(surrogate, images, ids, settings, generator=g, progress=False)
    common = {"batch_size": 4, "seed": 0, "generator": g, "made": [made]}
    with pytest.raises(ValueError, match="has the weights of the surrogate"):
        train_hacker(victim, made.images, made.captions(ids), OPTIM, **common)
    history = train_hacker(make_model(seed=1), made.images, made.captions(ids), OPTIM, **common)
    assert history[-1]["step"] == 3


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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"drop_first": -1}, "drop_first is -1"),
        ({"word_drop": 1.0}, "word_drop is 1.0"),
        ({"min_share": 2.0}, "min_share is 2.0"),
        ({"jpeg": 0}, "jpeg is 0"),
        ({"rounding": 0}, "rounding is 0"),
        ({"adversarial": 128}, "adversarial is 128"),
        ({"clean_share": 1.0}, "clean_share is 1.0"),
    ],
)
def test_defences_are_checked(change, message):
    with pytest.raises(ValueError, match=message):
        Defence(**change)


def test_defences_do_what_their_titles_say():
    crops = (ResizedCrop(48, scale=(0.6, 1.0)), GaussianBlur(5, sigma=(0.1, 1.0)))
    assert dict(named(words=4, image_size=48, epsilon=5).values()) == {
        "drop the first 4 words": Defence(drop_first=4),
        "drop 3 words in 10": Defence(word_drop=0.3),
        "words rarer than 1 % unknown": Defence(min_share=0.01),
        "drop what captions share": Defence(drop_shared=True),
        "swap captions of a photo": Defence(swap_captions=True),
        "crop and blur images": Defence(views=crops),
        "JPEG of quality 75": Defence(jpeg=75),
        "half of the images grey": Defence(views=(Grayscale(p=0.5),)),
        "mirror half of the images": Defence(views=(Flip(p=0.5),)),
        "round to multiples of 4 levels": Defence(rounding=4),
        "take off spelled noise": Defence(unspelled=5),
        "train on attacked images": Defence(adversarial=5),
        "mix in known clean pairs": Defence(clean_share=0.25),
        "drop the first 4, crop and blur": Defence(drop_first=4, views=crops),
        "drop the first 4, take off noise": Defence(drop_first=4, unspelled=5),
        "first words, 1 in 10, JPEG, crop": Defence(
            drop_first=4, word_drop=0.1, jpeg=75, views=crops
        ),
    }
