import itertools
import math

import pytest
import torch
from scipy.stats import mannwhitneyu

from mmlib.mem.detect import roughness, seen, surprise
from mmlib.mem.trigger import prepend
from mmlib.presets.base import resolve
from mmlib.studies.unlearnable.pairs import load_pairs


def test_surprise_equals_a_slow_count(make_pairs):
    known = make_pairs(30, seed=1)[1][:, 0]
    captions = make_pairs(10, seed=2)[1][:, 0]
    found = surprise(captions, known, words=3, vocabulary_size=20)
    for row, value in zip(captions.tolist(), found.tolist(), strict=True):
        text = row[: row.index(2)]
        bits = []
        for before, word in itertools.islice(itertools.pairwise(text), 3):
            pairs = [
                (a, b) for r in known.tolist() for a, b in itertools.pairwise(r[: r.index(2) + 1])
            ]
            after = [b for a, b in pairs if a == before]
            bits.append(-math.log2((after.count(word) + 1) / (len(after) + 20)))
        assert value == pytest.approx(sum(bits) / len(bits), rel=1e-5)


def test_words_never_met_are_worth_the_vocabulary():
    known = torch.tensor([[1, 5, 2, 0]])
    (bits,) = surprise(torch.tensor([[1, 9, 2, 0]]), known, words=1, vocabulary_size=15)
    assert bits.item() == pytest.approx(math.log2(16))
    (bits,) = surprise(torch.tensor([[1, 9, 9, 2]]), known, words=2, vocabulary_size=15)
    assert bits.item() == pytest.approx((math.log2(16) + math.log2(15)) / 2)


def test_noise_of_eight_levels_shows_on_a_smooth_image_and_drowns_in_grain():
    g = torch.Generator().manual_seed(0)
    noise = torch.randint(-8, 9, (50, 3, 32, 32), generator=g)
    smooth = torch.full((50, 3, 32, 32), 128)
    grain = (128 + 60 * torch.randn(50, 3, 32, 32, generator=g)).round().clamp(10, 245).int()
    for images, low, high in ((smooth, 5.0, math.inf), (grain, -2.0, 2.0)):
        risen = roughness((images + noise).byte()) - roughness(images.byte())
        assert low < risen.mean() < high


def test_published_pairs_are_told_from_test_pairs_by_who_has_read_known_captions():
    cfg = resolve("unlearnable_audit", {"preset": "smoke", "seed": 3})
    pairs = load_pairs(cfg, torch.device("cpu"), longest_trigger=4)
    images, ids = pairs.train
    key = (len(pairs.tokenizer) - torch.tensor([[1, 2]])).expand(5 * len(images), 2)
    odd = prepend(ids.flatten(0, 1), key).view_as(ids)
    grid = (255 * (torch.arange(images.shape[-1]) % 2)).byte().expand_as(images)
    found = seen(pairs, grid, odd, words=2)
    assert found["caption"] > 0.9
    assert found["image"] == 1
    assert seen(pairs, *pairs.test, words=2) == {"caption": 0.5, "image": 0.5}

    known, size = pairs.known[1].flatten(0, 1)[: cfg.known_pairs], len(pairs.tokenizer)
    read = [surprise(x[:, 0], known, words=5, vocabulary_size=size) for x in (ids, pairs.test[1])]
    rough = [roughness(x) for x in (images, pairs.test[0])]
    found = seen(pairs, *pairs.train, words=5)
    for name, (published, clean) in {"caption": read, "image": rough}.items():
        wins = mannwhitneyu(published, clean).statistic / (len(published) * len(clean))
        assert found[name] == pytest.approx(wins)
