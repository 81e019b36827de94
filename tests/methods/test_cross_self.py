import pytest
import torch
from torch import nn

from mmlib import losses
from mmlib.fusion import FusionTransformer, ProjectionHead, VectorAdapter
from mmlib.methods.cross_self import CrossSelf, FusedCrossSelf, SelfAlone


def as_is(x, generator):
    return x


def noisy(x, generator):
    return x + 0.1 * torch.randn(x.shape, generator=generator)


def flipped(x, generator):
    return -x


def make(align=flipped, augment=noisy):
    torch.manual_seed(0)
    return CrossSelf(
        [nn.Linear(3, 6), nn.Linear(4, 5)],
        [ProjectionHead(6, 16, 8), ProjectionHead(5, 16, 8)],
        align=[align, align],
        augment=[augment, augment],
        prepare=[as_is, as_is],
    )


def batch(n=6):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(n, 3, generator=generator), torch.randn(n, 4, generator=generator)


def seeded():
    return torch.Generator().manual_seed(2)


def test_loss_is_the_term_across_plus_half_of_each_term_within():
    model = make()
    x, generator = batch(), seeded()
    cross = model.project([-m for m in x])
    views = [model.project([noisy(m, generator) for m in x]) for _ in range(2)]

    def nt_xent(a, b):
        return losses.nt_xent(a, b, temperature=0.1)

    within = [nt_xent(views[0][m], views[1][m]) for m in range(2)]
    parts = model.loss(x, seeded())
    torch.testing.assert_close(parts["loss"], nt_xent(*cross) + 0.5 * sum(within))
    assert parts["match"] == losses.match_accuracy(*cross)


def test_three_modalities_are_aligned_pair_by_pair_and_each_with_itself():
    torch.manual_seed(0)
    model = CrossSelf(
        [nn.Linear(3, 6), nn.Linear(4, 5), nn.Linear(2, 7)],
        [ProjectionHead(n, 16, 8) for n in (6, 5, 7)],
        align=[flipped] * 3, augment=[noisy] * 3, prepare=[as_is] * 3,
    )  # fmt: skip
    x, generator = (*batch(), torch.randn(6, 2)), seeded()
    z = model.project([-m for m in x])
    views = [model.project([noisy(m, generator) for m in x]) for _ in range(2)]

    def nt_xent(a, b):
        return losses.nt_xent(a, b, temperature=0.1)

    across = (nt_xent(z[0], z[1]) + nt_xent(z[0], z[2]) + nt_xent(z[1], z[2])) / 3
    within = sum(nt_xent(a, b) for a, b in zip(*views, strict=True)) / 3
    torch.testing.assert_close(model.loss(x, seeded())["loss"], across + within)
    assert model.embed(x).shape == (6, 18)


def test_three_passes_through_each_encoder_and_gradients_everywhere():
    model = make()
    calls = []
    for encoder in model.encoders:
        encoder.register_forward_hook(lambda module, *_: calls.append(module))
    model.loss(batch(), seeded())["loss"].backward()
    assert [calls.count(encoder) for encoder in model.encoders] == [3, 3]
    assert all(p.grad.any() for p in model.parameters() if p.ndim > 1)


def test_embedding_is_the_encoders_outputs_without_heads_and_chance():
    model = make()
    x = batch()
    features = [encoder(m) for encoder, m in zip(model.encoders, x, strict=True)]
    assert torch.equal(model.embed(x), torch.cat(features, dim=1))


def test_bfloat16_autocast():
    exact = make().loss(batch(), seeded())["loss"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = make().loss(batch(), seeded())["loss"]
    torch.testing.assert_close(rough, exact, atol=0, rtol=0.05)


def test_with_a_fusion_each_modality_is_fused_alone_and_the_probe_sees_both():
    torch.manual_seed(0)
    model = FusedCrossSelf(
        [nn.Linear(3, 6), nn.Linear(4, 5)],
        [VectorAdapter(6, 16), VectorAdapter(5, 16)],
        FusionTransformer(16, heads=4),
        ProjectionHead(16, 16, 8),
        align=[flipped] * 2, augment=[noisy] * 2, prepare=[as_is] * 2,
    )  # fmt: skip
    x, generator = batch(), seeded()

    def alone(view):
        tokens = [a(e(v)) for a, e, v in zip(model.adapters, model.encoders, view, strict=True)]
        return [model.head(model.fusion([t])) for t in tokens], tokens

    cross, _ = alone([-v for v in x])
    views = [alone([noisy(v, generator) for v in x])[0] for _ in range(2)]
    expected = losses.cross_self(*cross, self_pairs=list(zip(*views, strict=True)), temperature=0.1)
    torch.testing.assert_close(model.loss(x, seeded())["loss"], expected)
    assert torch.equal(model.embed(x), model.fusion(alone(x)[1]))


def test_errors():
    with pytest.raises(ValueError, match="projections has 1 entries for 2 modalities"):
        CrossSelf([nn.Identity()] * 2, [nn.Identity()], align=[], augment=[], prepare=[])
    with pytest.raises(ValueError, match="number of modalities is 1"):
        CrossSelf([nn.Identity()], [nn.Identity()], align=[], augment=[], prepare=[])


def test_self_alone_is_cross_self_without_its_alignment():
    both, generator = make(align=as_is), seeded()
    views = [noisy(x, generator) for _ in range(2) for x in batch()]
    alone = SelfAlone(both.encoders, both.projections, augment=[noisy] * 2, prepare=[as_is] * 2)
    found = alone.loss(batch(), seeded())["loss"]
    first, second = both.project(views[:2]), both.project(views[2:])
    within = [losses.nt_xent(a, b, temperature=0.1) for a, b in zip(first, second, strict=True)]
    assert torch.allclose(found, sum(within) / 2)


def test_aligned_vectors_are_the_heads_outputs_by_the_statistics_of_all():
    model, (images, _) = make().train(), batch(600)  # more than go through an encoder at once
    expected = model.projections[0](model.encoders[0](images))
    before = model.projections[0][1].running_mean.clone()
    assert torch.allclose(model.eval().aligned(0, images), expected, atol=1e-5)
    assert torch.equal(model.projections[0][1].running_mean, before)
