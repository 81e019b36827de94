"""Noise that spells captions: what it says, whom it asks, and how a hacker finds it."""

from dataclasses import replace

import pytest
import torch

from mmlib.data.text import PAD
from mmlib.mem.defence import Defence
from mmlib.mem.hacker import train_hacker
from mmlib.mem.noise import add
from mmlib.mem.protect import protect
from mmlib.mem.protections import answers
from mmlib.mem.settings import Protection
from mmlib.mem.spelling import fine, spelled, topics, unspelled
from mmlib.train import Optim


def chance(seed=0):
    return torch.Generator().manual_seed(seed)


def told(n, seed=0, kinds=6):
    """Captions (n, 2, 12) of two words for their kind and some that anybody may say."""
    kind = torch.randint(kinds, (n,), generator=chance(seed))
    ids = torch.randint(4 + 2 * kinds, 30, (n, 2, 12), generator=chance(seed + 1))
    ids[..., 0], ids[..., 5:] = 1, PAD
    ids[..., 1], ids[..., 2], ids[..., 4] = 4 + kind[:, None], 4 + kinds + kind[:, None], 2
    return ids, kind


def test_topics_tell_captions_apart_by_their_words():
    captions, kind = told(400)
    found = topics(captions, 5, generator=chance())
    assert found.shape == (400, 5)
    torch.testing.assert_close(found.mean(0), torch.zeros(5), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.var(0), torch.ones(5), atol=1e-4, rtol=0)
    centres = torch.stack([found[kind == k].mean(0) for k in range(6)])
    assert (torch.cdist(found, centres).argmin(1) == kind).float().mean() > 0.95


def test_topics_are_singular_vectors_of_tf_idf():
    captions, _ = told(60)
    captions[::3, :, 5:9] = captions[::3, :, 1:2]  # said again and again
    counts = torch.zeros(60, 30, dtype=torch.float64)
    flat = captions.flatten(1)
    counts.scatter_add_(1, flat, torch.ones(flat.shape, dtype=torch.float64))
    counts = counts[:, 4:]
    having = (counts > 0).sum(0)
    rarity = ((1 + 60) / (1 + having)).log() + 1
    weights = torch.where(counts > 0, 1 + counts.clamp(min=1).log(), 0) * rarity
    u, s, _ = torch.linalg.svd(weights / weights.norm(dim=1, keepdim=True))
    scores = u[:, :4] * s[:4]
    expected = (scores - scores.mean(0)) / scores.std(0)
    found = topics(captions, 4, generator=chance()).double()
    alike = (expected * found).sum(0) / 59  # correlations; a vector's sign is free
    torch.testing.assert_close(alike.abs(), torch.ones(4).double(), atol=1e-2, rtol=0)


def test_topics_ask_for_no_order_and_no_place():
    captions, _ = told(50)
    found = topics(captions, 4, generator=chance())
    backwards = captions.flip(1)
    backwards[..., 1:4] = backwards[..., 1:4].flip(2)
    longer = torch.nn.functional.pad(backwards, (0, 3), value=PAD)
    torch.testing.assert_close(topics(longer, 4, generator=chance()), found)


@pytest.mark.parametrize("count", [0, 8])
def test_topics_are_fewer_than_words_and_images(count):
    captions, _ = told(8)
    with pytest.raises(ValueError, match=f"topics is {count}; allowed: \\[1, 7\\]"):
        topics(captions, count, generator=chance())


def test_every_pixel_moves_by_the_bound_but_where_the_range_ends():
    captions, _ = told(60)
    images = torch.randint(0, 256, (60, 3, 8, 8), generator=chance(), dtype=torch.uint8)
    noise = spelled(images, captions, count=4, epsilon=8, generator=chance())
    published = add(images, noise).short()
    assert (published - images).abs().max() == 8
    inside = (images >= 8) & (images <= 247)
    assert ((published - images).abs()[inside] == 8).all()
    assert torch.equal(published - images, noise.short())  # nothing that the range would cut


def test_a_linear_map_reads_the_caption_off_the_noise_of_images_it_has_not_seen():
    captions, _ = told(600)
    images = torch.full((600, 3, 16, 16), 128, dtype=torch.uint8)
    noise = spelled(images, captions, count=4, epsilon=8, generator=chance()).flatten(1).float()
    about = topics(captions, 4, generator=chance())
    read = torch.linalg.lstsq(noise[:400].double(), about[:400].double(), driver="gelsd").solution
    left = (noise[400:].double() @ read - about[400:]).square().mean()
    assert left < 0.1  # of a variance of 1
    other = captions[torch.randperm(600, generator=chance(1))]
    wrong = topics(other, 4, generator=chance())
    assert (noise[400:].double() @ read - wrong[400:]).square().mean() > 1


def test_patterns_are_the_owners():
    captions, _ = told(60)
    images = torch.full((60, 3, 8, 8), 128, dtype=torch.uint8)
    made = [
        spelled(images, captions, count=4, epsilon=8, generator=chance(seed)) for seed in (0, 0, 1)
    ]
    assert torch.equal(made[0], made[1])
    assert abs((made[0] == made[2]).float().mean() - 0.5) < 0.05


def test_no_network_takes_part(make_model, make_pairs):
    """And the words in front are the same whether the noise spells or not."""
    images, captions = make_pairs(12)
    settings = replace(answers(Protection(batch_size=4))["spelled"], topics=3)
    assert (settings.text, settings.image) == ("random", "spelled")
    surrogate = make_model()
    before = [p.clone() for p in surrogate.parameters()]
    made = protect(surrogate, images, captions, settings, generator=chance(), progress=False)
    assert all(map(torch.equal, before, surrogate.parameters()))
    assert (made.history, made.surrogate) == ([], ())
    assert (made.images.short() - images).abs().max() == settings.epsilon
    alone = replace(settings, image="none")
    bare = protect(surrogate, images, captions, alone, generator=chance(), progress=False)
    assert torch.equal(made.triggers, bare.triggers)
    assert torch.equal(bare.images, images)


def test_by_pair_an_image_spells_each_of_its_captions(make_model):
    captions, _ = told(12)
    images = torch.full((12, 3, 8, 8), 128, dtype=torch.uint8)
    settings = Protection(text="none", image="spelled", unit="pair", topics=5, trigger_rounds=0)
    made = protect(make_model(), images, captions, settings, generator=chance(), progress=False)
    both = made.images.unflatten(0, (12, 2))
    assert (both[:, 0] != both[:, 1]).flatten(1).any(1).all()


def test_a_group_has_no_caption_to_spell():
    with pytest.raises(ValueError, match="image is 'spelled'; allowed for the unit 'group'"):
        Protection(image="spelled", unit="group")


def smooth(kind, size=12):
    """Images (N, 3, size, size) of a wide ramp that their kind tells, with some grain."""
    slopes = 12 * torch.randn(6, 3, 2, generator=chance(3))
    place = torch.linspace(-1, 1, size)
    ramps = slopes[kind, :, 0, None, None] * place + slopes[kind, :, 1, None, None] * place[:, None]
    grain = 9 * torch.randn(ramps.shape, generator=chance(4))
    return (128 + 2 * ramps + grain).round().clamp(0, 255).to(torch.uint8)


def test_who_knows_the_method_takes_the_noise_off():
    """Without the patterns, from what was published alone, though content goes with topics too."""
    captions, kind = told(2000)
    images = smooth(kind)
    published = add(images, spelled(images, captions, count=3, epsilon=8, generator=chance(7)))
    found = unspelled(published, captions, count=3, epsilon=8, generator=chance())
    right = (found == images).float().mean().item()
    assert right > 0.9
    few = unspelled(published[:20], captions[:20], count=3, epsilon=8, generator=chance())
    assert (few == images[:20]).float().mean().item() < right - 0.1  # the more, the better


def test_fine_is_what_a_wide_blur_leaves():
    images = torch.randint(0, 256, (2, 3, 9, 7), generator=chance(), dtype=torch.uint8)
    around = images[:, :, 2:7, 1:6].float().mean(dim=(2, 3))
    torch.testing.assert_close(fine(images)[:, :, 4, 3], images[:, :, 4, 3] - around)
    low, (captions, _) = images[:1, :, :2].expand(12, 3, 2, 7), told(12)
    with pytest.raises(ValueError, match=r"height and width is 2; allowed: \[3"):
        unspelled(low, captions, count=3, epsilon=8, generator=chance())


def test_a_hacker_takes_it_off_before_training(make_model, make_pairs, monkeypatch):
    images, captions = make_pairs(40)
    images = images.clamp(min=1)
    model, seen = make_model(), []
    taken = torch.zeros_like(images)
    monkeypatch.setattr(
        "mmlib.mem.defence.unspelled",
        lambda x, ids, epsilon, generator: seen.append(epsilon) or taken,
    )
    met = []
    monkeypatch.setattr(
        model, "loss", lambda batch, g: met.append(batch[0]) or model.log_scale.square()
    )
    optim = Optim(steps=1, learning_rate=1e-3)
    for defence in (Defence(unspelled=8), Defence()):
        train_hacker(
            model, images, captions, optim, batch_size=4, seed=0, generator=chance(),
            defence=defence,
        )  # fmt: skip
    assert seen == [8]
    assert not met[0].any()
    assert met[1].all()
    with pytest.raises(ValueError, match=r"unspelled is 128; allowed: \[0, 127\]"):
        Defence(unspelled=128)
