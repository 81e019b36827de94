"""What is done to images keeps its bound and its content."""

import copy

import torch

from mmlib import losses
from mmlib.mem.defence_images import attacked, resaved, rounded
from mmlib.mem.hacker import vectors


def test_jpeg_keeps_content_and_changes_noise():
    smooth = torch.arange(0, 256, 16).expand(6, 3, 16, 16).byte().contiguous()
    assert (resaved(smooth, 95).int() - smooth.int()).abs().max() <= 4
    noise = torch.randint(-8, 9, smooth.shape, generator=torch.Generator().manual_seed(0))
    noisy = (smooth.int() + noise).clamp(0, 255).byte()
    left = [
        ((resaved(noisy, quality).int() - smooth.int()).float().std() / noise.float().std()).item()
        for quality in (50, 75, 95)
    ]
    assert left == sorted(set(left))
    assert left[0] < 0.8


def test_rounding_moves_pixels_by_half_a_step_and_undoes_less():
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


def test_an_attack_in_training_normalises_by_the_batch(make_model, make_pairs):
    """As Madry's: so the running statistics see each step's images, and do not decide its noise."""
    images, ids = make_pairs(16)
    found = []
    for mean in (0.0, 5.0):
        model = make_model().train()
        norms = [layer for layer in model.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
        for norm in norms:
            norm.running_mean.fill_(mean)
        found.append(attacked(model, images, ids[:, 0], epsilon=8, steps=2))
        assert {int(norm.num_batches_tracked) for norm in norms} == {2}
        assert model.training
    assert torch.equal(*found)
