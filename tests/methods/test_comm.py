import pytest
import torch
from torch import nn

from mmlib import device, losses
from mmlib.encoders.image import SmallConvNet
from mmlib.fusion import FusionTransformer, MapAdapter, ProjectionHead
from mmlib.fusion import VectorAdapter as Tokens
from mmlib.methods.comm import CoMM, single_masks, subset_masks


def as_is(x, generator):
    return x


def noisy(x, generator):
    return x + 0.1 * torch.randn(x.shape, generator=generator)


def vectors(*sizes, width=16, **arguments):
    """CoMM on plain vectors of the given sizes, one token per entry."""
    torch.manual_seed(0)
    n = len(sizes)
    arguments = {"augment": [noisy] * n, "prepare": [as_is] * n} | arguments
    return CoMM(
        [nn.Linear(size, size) for size in sizes],
        [Tokens(size, width) for size in sizes],
        FusionTransformer(width, heads=4),
        ProjectionHead(width, 16, 8),
        **arguments,
    )


def batch(*sizes, n=6):
    generator = torch.Generator().manual_seed(1)
    return tuple(torch.randn(n, size, generator=generator) for size in sizes)


def seeded():
    return torch.Generator().manual_seed(2)


def counted(modules):
    """A list that grows by a module's place in ``modules`` each time it runs."""
    calls = []
    for i, module in enumerate(modules):
        module.register_forward_hook(lambda *_, i=i: calls.append(i))
    return calls


def test_a_step_on_images_is_compiled_in_one_piece_and_gives_the_same(compiling):
    torch.manual_seed(0)
    trunks = [SmallConvNet(2) for _ in range(2)]
    model = CoMM(
        trunks,
        [MapAdapter(8, 8, (1, 1)) for _ in trunks],
        FusionTransformer(8, heads=2),
        ProjectionHead(8, 8, 8),
        augment=[noisy] * 2,
        prepare=[as_is] * 2,
        convention="released",
        weights=(1, 0.5, 0.25),
    )
    images = [torch.rand(4, 3, 8, 8, generator=seeded()) for _ in range(2)]

    def step():
        parts = model.loss(images, seeded())
        model.zero_grad()
        parts["loss"].backward()
        return [*parts.values(), *(p.grad for p in model.parameters())]

    plain = step()
    with compiling:
        torch.testing.assert_close(step(), plain)
        assert device._by_compiler.cache_info().misses == 1


def test_a_step_on_other_modalities_is_not_compiled(compiling):
    with compiling:
        vectors(3, 5).loss(batch(3, 5), seeded())
        assert device._by_compiler.cache_info().misses == 0


def test_masks_are_each_modality_alone_and_then_all():
    assert single_masks(3) == [
        [True, False, False],
        [False, True, False],
        [False, False, True],
        [True, True, True],
    ]


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_subset_masks_are_all_choices_once_and_the_whole_last(n):
    masks = [tuple(mask) for mask in subset_masks(n)]
    assert len(set(masks)) == len(masks) == 2**n - 1
    assert all(map(any, masks))
    assert all(masks[-1])
    assert [sum(mask) for mask in masks] == sorted(sum(mask) for mask in masks)
    assert {tuple(mask) for mask in single_masks(n)} <= set(masks)


@pytest.mark.parametrize(
    ("convention", "passes", "head_calls"), [("released", 2, 6), ("paper", 3, 4)]
)
def test_encoders_run_once_per_view_and_the_head_once_per_view_and_mask(
    convention, passes, head_calls
):
    model = vectors(3, 4, convention=convention)
    calls = counted(model.encoders)
    model.loss(batch(3, 4), seeded())
    assert sorted(calls) == [0] * passes + [1] * passes
    assert model.head[1].num_batches_tracked == head_calls


def test_released_loss_is_that_of_masked_augmented_views():
    model = vectors(3, 4, convention="released")
    x, generator = batch(3, 4, n=60), seeded()
    views = [[noisy(m, generator) for m in x] for _ in range(2)]
    z1, z2 = (
        [model.head(model.fusion(tokens(model, view), mask)) for mask in single_masks(2)]
        for view in views
    )
    expected = losses.comm(z1, z2, temperature=0.1, convention="released")
    parts = model.loss(x, seeded())
    torch.testing.assert_close(parts["loss"], expected)
    matches = [losses.match_accuracy(a, b) for a, b in zip(z1, z2, strict=True)]
    assert parts["match"] == matches[2] != matches[0]  # of the full views


def test_paper_loss_masks_the_samples_themselves():
    model = vectors(3, 4)
    x, generator = batch(3, 4), seeded()
    view1, view2 = ([noisy(m, generator) for m in x] for _ in range(2))
    alone = [model.head(model.fusion(tokens(model, x), m)) for m in single_masks(2)[:2]]
    full1, full2 = (model.head(model.fusion(tokens(model, view))) for view in (view1, view2))

    def nce(anchors, positives):
        return losses.info_nce(anchors, positives, temperature=0.1)

    expected = nce(full1, full2) + sum((nce(z, full1) + nce(z, full2)) / 2 for z in alone)
    torch.testing.assert_close(model.loss(x, seeded())["loss"], expected)


def tokens(model, view):
    return [a(e(x)) for a, e, x in zip(model.adapters, model.encoders, view, strict=True)]


def test_masked_views_of_the_formula_meet_both_full_views():
    model = vectors(3, 4, convention="views")
    x, generator = batch(3, 4), seeded()
    views = [[noisy(m, generator) for m in x] for _ in range(2)]
    embedded = [model.project(view, single_masks(2)) for view in views]

    def nce(anchors, positives):
        return losses.info_nce(anchors, positives, temperature=0.1)

    fulls = [z[2] for z in embedded]
    expected = nce(*fulls) + sum(nce(z[k], f) for z in embedded for k in (0, 1) for f in fulls) / 4
    torch.testing.assert_close(model.loss(x, seeded())["loss"], expected)


@pytest.mark.parametrize("convention", ["paper", "released", "other_view"])
def test_a_view_is_contrasted_with_the_other_views_full_embedding_only(convention):
    """Gradients of the loss at the embeddings of one side, when the other side is the same."""
    generator = seeded()
    z1, z2 = ([torch.randn(5, 4, generator=generator) for _ in range(3)] for _ in range(2))
    for m in range(2):  # a masked embedding of view 1 does not care for the full one of view 1
        for other in (z1[2], z2[1 - m], z1[1 - m], z2[m]):
            leaf = other.clone().requires_grad_()
            swap = [[leaf if z is other else z for z in side] for side in (z1, z2)]
            swap[0][m] = masked = z1[m].clone().requires_grad_()
            loss = losses.comm(*swap, temperature=0.1, convention=convention)
            (slope,) = torch.autograd.grad(loss, masked, create_graph=True)
            crossed = torch.autograd.grad(slope.square().sum(), leaf, allow_unused=True)[0]
            assert crossed is None or not crossed.any()
        leaf = z2[2].clone().requires_grad_()
        masked = z1[m].clone().requires_grad_()
        loss = losses.comm([*z1[:m], masked, *z1[m + 1 :]], [*z2[:2], leaf], temperature=0.1,
                           convention=convention)  # fmt: skip
        (slope,) = torch.autograd.grad(loss, masked, create_graph=True)
        assert torch.autograd.grad(slope.square().sum(), leaf)[0].any()


def test_views_are_drawn_apart_for_each_modality_and_each_view():
    """Two modalities of the same values: their noise in each of the two views is another."""
    seen = []

    def spy(x, generator):
        seen.append(noisy(x, generator) - x)
        return seen[-1] + x

    model = vectors(3, 3, augment=[spy, spy])
    x = batch(3)[0]
    model.loss((x, x), seeded())
    assert len(seen) == 4
    for a in range(4):
        for b in range(a):
            assert not torch.isclose(seen[a], seen[b]).any()


def test_weights_choose_terms():
    total = vectors(3, 4).loss(batch(3, 4), seeded())["loss"]
    parts = [
        vectors(3, 4, weights=w).loss(batch(3, 4), seeded())["loss"] for w in torch.eye(3).tolist()
    ]
    torch.testing.assert_close(sum(parts), total)


def test_naming_the_modalities_the_other_way_round_changes_nothing():
    # In float64, since the order of the tokens is the order of some sums.
    model = vectors(3, 4, augment=[as_is, as_is]).double()
    other = CoMM(
        model.encoders[::-1],
        model.adapters[::-1],
        model.fusion,
        model.head,
        augment=[as_is, as_is],
        prepare=[as_is, as_is],
    )
    x = tuple(v.double() for v in batch(3, 4))
    exactly = {"rtol": 0, "atol": 1e-10}
    loss, swapped = model.loss(x, seeded())["loss"], other.loss(x[::-1], seeded())["loss"]
    torch.testing.assert_close(loss, swapped, **exactly)
    torch.testing.assert_close(model.embed(x), other.embed(x[::-1]), **exactly)


def test_a_masked_modality_cannot_reach_the_embedding():
    model = vectors(3, 4)
    x1, x2 = batch(3, 4)
    clean = model.embed((x1, x2), mask=[True, False])
    assert torch.equal(model.embed((x1, torch.full_like(x2, torch.nan)), [True, False]), clean)
    assert torch.equal(model.embed((x1, None), mask=[True, False]), clean)
    assert not torch.allclose(model.embed((x1, x2)), clean, atol=1e-3)
    view = [x.clone().requires_grad_() for x in (x1, x2)]
    alone, both = model.fuse(view, [[True, False], [True, True]])  # in one pass
    torch.testing.assert_close(alone, clean)
    direction = torch.arange(16.0)  # the plain sum of a normalised row is constant
    first, second = torch.autograd.grad((alone @ direction).sum(), view, retain_graph=True)
    assert first.any()
    assert not second.any()
    assert torch.autograd.grad((both @ direction).sum(), view)[1].any()
    assert torch.equal(model.fuse([x1, 9 - x2], [[True, False], [True, True]])[0], alone)


def test_what_every_mask_hides_is_not_encoded_and_what_some_see_once():
    model = vectors(3, 4, 5)
    calls = counted([*model.encoders, *model.adapters])
    x1, x2, x3 = batch(3, 4, 5)
    fused = model.fuse([x1, x2, x3], [[True, False, False], [True, True, False]])
    assert sorted(calls) == [0, 1, 3, 4]
    calls.clear()
    torch.testing.assert_close(model.embed((x1, x2, None), mask=[True, True, False]), fused[1])
    assert sorted(calls) == [0, 1, 3, 4]


def test_embedding_has_no_chance_no_head_and_the_fusions_width():
    model = vectors(3, 4).eval()
    x = batch(3, 4)
    features = model.embed(x)
    nn.init.zeros_(model.head[0].weight)
    assert torch.equal(model.embed(x), features)
    assert features.shape == (6, 16)


def test_every_parameter_gets_a_gradient():
    for convention in ("paper", "released"):
        model = vectors(3, 4, 2, convention=convention)
        model.loss(batch(3, 4, 2), seeded())["loss"].backward()
        assert all(p.grad.any() for p in model.parameters() if p.ndim > 1)


def test_images_with_a_sequence_in_bfloat16():
    torch.manual_seed(0)
    model = CoMM(
        [SmallConvNet(8), nn.Linear(5, 16)],
        [MapAdapter(32, 16, grid=(2, 2)), torch.nn.Identity()],
        FusionTransformer(16, heads=4),
        ProjectionHead(16, 16, 8),
        augment=[as_is, as_is],
        prepare=[as_is, as_is],
    )
    x = (torch.rand(6, 3, 16, 16), torch.randn(6, 7, 5))
    exact = model.loss(x, seeded())["loss"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = model.loss(x, seeded())["loss"]
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough, exact, atol=0, rtol=0.05)


def test_errors():
    with pytest.raises(ValueError, match="augment has 1 entries for 2 modalities"):
        vectors(3, 4, augment=[as_is])
    with pytest.raises(ValueError, match="mask has 1 entries for 2 modalities"):
        vectors(3, 4, masks=[[True], [True, True]])
    with pytest.raises(ValueError, match=r"the last mask is \[True, False\]; allowed: all True"):
        vectors(3, 4, masks=[[True, True], [True, False]])
    with pytest.raises(ValueError, match="convention is 'code'; allowed: 'paper', 'released'"):
        vectors(3, 4, convention="code")
