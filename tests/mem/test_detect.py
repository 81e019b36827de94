import itertools
import math

import pytest
import torch

from mmlib.mem.detect import roughness, surprise


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
