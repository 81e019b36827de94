import pytest
import torch
import torch.nn.functional as F

from mmlib.encoders.image import AlexNetTrunk
from mmlib.fusion import (
    FusionTransformer,
    MapAdapter,
    PooledFusion,
    ProjectionHead,
    TokenAdapter,
    VectorAdapter,
    sincos_2d,
)


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_position_table_has_the_sheets_values():
    table = sincos_2d(512, 6, 6)
    assert table.shape == (512, 6, 6)
    checks = {
        (0, 1, 0): 0.841471,
        (256, 0, 1): 0.841471,
        (128, 0, 1): 1.0,
        (1, 2, 3): 0.958144,
        (127, 5, 5): 0.000537,
    }
    for place, value in checks.items():
        assert table[place].item() == pytest.approx(value, abs=1e-6)
    assert table.double().sum().item() == pytest.approx(9276.749, abs=1e-3)


def test_rows_and_columns_of_the_positions_are_not_confused():
    table = sincos_2d(8, 2, 5)
    torch.testing.assert_close(table[:4, :, 0], sincos_2d(8, 2, 1)[:4, :, 0])
    assert (table[:4] == table[:4, :, :1]).all()  # first half: the row only
    assert (table[4:] == table[4:, :1]).all()  # second half: the column only


def test_parameter_counts_of_the_trifeature_model():
    parts = {
        "trunk": count(AlexNetTrunk()),
        "adapter": count(MapAdapter(256, 512, grid=(6, 6))),
        "fusion": count(FusionTransformer(512)),
        "head": count(ProjectionHead(512, 512, 256)),
    }
    assert parts == {
        "trunk": 2_469_696,
        "adapter": 131_584,
        "fusion": 3_153_920,
        "head": 658_688,
    }
    assert 2 * (parts["trunk"] + parts["adapter"]) + parts["fusion"] + parts["head"] == 9_015_168
    assert count(FusionTransformer(40)) == 19_840  # MOSI
    assert count(ProjectionHead(40, 512, 256)) == 417_024


def test_map_adapter_lists_cells_row_by_row_and_adds_their_positions():
    torch.manual_seed(0)
    adapter = MapAdapter(3, 8, grid=(2, 4))
    features = torch.randn(5, 3, 2, 4)
    tokens = adapter(features)
    assert tokens.shape == (5, 8, 8)
    weight, bias = adapter.convolution.weight[:, :, 0, 0], adapter.convolution.bias
    for row in range(2):
        for column in range(4):
            expected = features[:, :, row, column] @ weight.T + bias
            expected += sincos_2d(8, 2, 4)[:, row, column]
            torch.testing.assert_close(tokens[:, 4 * row + column], expected)


def test_map_adapter_interpolates_positions_for_another_size():
    adapter = MapAdapter(3, 8, grid=(4, 4))
    torch.nn.init.zeros_(adapter.convolution.weight)
    torch.nn.init.zeros_(adapter.convolution.bias)
    tokens = adapter(torch.randn(1, 3, 8, 8))[0]
    assert tokens.shape == (64, 8)
    means = sincos_2d(8, 4, 4).mean(dim=(1, 2))
    torch.testing.assert_close(tokens.mean(dim=0), means, atol=0.05, rtol=0)
    finer = F.interpolate(sincos_2d(8, 4, 4)[None], (8, 8), mode="bicubic")[0]
    torch.testing.assert_close(tokens, finer.flatten(1).mT)
    assert [name for name in adapter.state_dict() if "positions" in name] == []


def test_vector_adapters():
    torch.manual_seed(0)
    adapter = VectorAdapter(10, 512)
    x = torch.randn(4, 10)
    tokens = adapter(x)
    torch.testing.assert_close(tokens[2, 7], x[2, 7] * adapter.weight[7] + adapter.bias[7])
    assert adapter.weight.std().item() == pytest.approx(1, abs=0.05)
    assert adapter.bias.std().item() == pytest.approx(1, abs=0.05)
    assert torch.equal(TokenAdapter(10)(x)[:, 0], x)


@pytest.fixture
def fusion():
    torch.manual_seed(0)
    return FusionTransformer(width=16, depth=2, heads=4)


@pytest.fixture
def tokens():
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(3, n, 16, generator=generator) for n in (5, 2, 4)]


@pytest.mark.parametrize("hidden", [0, 1, 2])
def test_a_masked_modality_cannot_matter(fusion, tokens, hidden):
    mask = [i != hidden for i in range(3)]
    clean = fusion(tokens, mask)
    poisoned = [t.clone().requires_grad_() for t in tokens]
    with torch.no_grad():
        poisoned[hidden].fill_(torch.nan)
    out = fusion(poisoned, mask)
    assert torch.equal(out, clean)
    out.square().sum().backward()
    for i, t in enumerate(poisoned):
        assert t.grad is None if i == hidden else t.grad.any()


def test_masking_is_leaving_out(fusion, tokens):
    both = fusion([tokens[0], tokens[2]])
    assert torch.equal(fusion(tokens, [True, False, True]), both)
    assert torch.equal(fusion([tokens[0], None, tokens[2]], [True, False, True]), both)
    assert not torch.allclose(fusion(tokens), both, atol=1e-3)


def test_order_of_tokens_and_of_modalities_does_not_matter(fusion, tokens):
    shuffled = [t[:, torch.randperm(t.shape[1])] for t in (tokens[2], tokens[0], tokens[1])]
    torch.testing.assert_close(fusion(shuffled), fusion(tokens), atol=1e-5, rtol=0)


def test_samples_of_a_batch_do_not_meet(fusion, tokens):
    alone = torch.cat([fusion([t[i : i + 1] for t in tokens]) for i in range(3)])
    torch.testing.assert_close(alone, fusion(tokens), atol=1e-5, rtol=0)


def test_the_class_token_is_a_matrix_so_that_it_is_decayed(fusion):
    assert fusion.class_token.shape == (1, 1, 16)
    assert FusionTransformer(512).class_token.std().item() == pytest.approx(1, abs=0.1)


def test_bfloat16_autocast(fusion, tokens):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = fusion(tokens)
    torch.testing.assert_close(low.float(), fusion(tokens), atol=0.1, rtol=0.05)


def test_errors(fusion, tokens):
    with pytest.raises(ValueError, match="mask has 2 entries for 3 modalities"):
        fusion(tokens, [True, False])
    with pytest.raises(ValueError, match="allowed: at least one True"):
        fusion(tokens, [False] * 3)
    with pytest.raises(ValueError, match=r"tokens has shape \(3, 5, 8\)"):
        fusion([tokens[0][..., :8], tokens[1]])
    with pytest.raises(ValueError, match=r"tokens has shape \(2, 2, 16\); expected \(B=3"):
        fusion([tokens[0], tokens[1][:2]])
    with pytest.raises(ValueError, match="width is 6; allowed: multiples of 4"):
        sincos_2d(6, 2, 2)
    with pytest.raises(ValueError, match=r"vectors has shape \(2, 3\); expected \(B, F=4\)"):
        VectorAdapter(4, 8)(torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"vectors has shape \(2, 3\); expected \(B, D=4\)"):
        TokenAdapter(4)(torch.zeros(2, 3))


@pytest.mark.parametrize("depth", [1, 2])
def test_all_masks_at_once_are_the_separate_passes_with_their_gradients(depth):
    torch.manual_seed(0)
    fusion = FusionTransformer(16, depth, heads=4).double()
    tokens = [torch.randn(3, t, 16, dtype=torch.float64, requires_grad=True) for t in (5, 2, 4)]
    masks = [[True, False, False], [False, True, True], [True, True, False], [True, True, True]]
    together = fusion.under_masks(tokens, masks)
    apart = [fusion(tokens, mask) for mask in masks]
    weights = [torch.randn(3, 16, dtype=torch.float64) for _ in masks]
    leaves = [*tokens, *fusion.parameters()]
    for found in (together, apart):
        total = sum((z * w).sum() for z, w in zip(found, weights, strict=True))
        found.append(torch.autograd.grad(total, leaves))
    torch.testing.assert_close(together, apart)


def test_a_modality_that_all_masks_hide_is_not_looked_at():
    fusion = FusionTransformer(16, heads=4)
    tokens = [torch.randn(3, 5, 16), torch.full((3, 2, 16), torch.nan), torch.randn(3, 4, 16)]
    masks = [[True, False, False], [True, False, True]]
    found = fusion.under_masks(tokens, masks)
    assert all(z.isfinite().all() for z in found)
    torch.testing.assert_close(found, fusion.under_masks([tokens[0], None, tokens[2]], masks))
    for wrong, message in (([[True], [True]], "mask has 1 entries"), ([[False] * 3], "at least")):
        with pytest.raises(ValueError, match=message):
            fusion.under_masks(tokens, wrong)


@pytest.mark.parametrize("marked", [0, 3])
def test_padding_is_as_if_it_were_not_there(marked):
    torch.manual_seed(0)
    fusion = FusionTransformer(16, heads=4, marked=marked, padded=True).double()
    lengths = (3, 1, 4)  # of the second modality's four tokens
    tokens = [torch.randn(3, t, 16, dtype=torch.float64) for t in (2, 4, 1)]
    masks = [[True, False, False], [False, True, False], [True, True, True]]
    padded = tokens[1].clone().requires_grad_()
    real = torch.arange(4) < torch.tensor(lengths)[:, None]
    given = [tokens[0], padded.masked_fill(~real[..., None], -torch.inf), tokens[2]]
    found = fusion.under_masks(given, masks)
    torch.testing.assert_close(found, [fusion(given, mask) for mask in masks])
    for row, length in enumerate(lengths):
        alone = [tokens[0][[row]], tokens[1][[row], :length], tokens[2][[row]]]
        expected = fusion.under_masks(alone, masks)
        torch.testing.assert_close([z[[row]] for z in found], expected)
    sum(z.square().sum() for z in found).backward()
    assert torch.equal(padded.grad.abs().sum(dim=2) > 0, real)
    assert all(p.grad.isfinite().all() for p in fusion.parameters() if p.grad is not None)
    with pytest.raises(ValueError, match="has 2 blocks; allowed: 1"):
        FusionTransformer(16, 2, heads=4, padded=True)(tokens)


def test_marks_tell_modalities_apart_and_nothing_else_does():
    torch.manual_seed(0)
    x, y = torch.randn(2, 3, 5, 16).unbind(0)
    plain, marked = FusionTransformer(16, heads=4), FusionTransformer(16, heads=4, marked=2)
    torch.testing.assert_close(plain([x, y]), plain([y, x]))  # only content tells
    assert not torch.allclose(marked([x, y]), marked([y, x]), atol=1e-3)
    alone = marked([x, y], [False, True])
    with torch.no_grad():
        marked.marks[0] = torch.nan  # of what is hidden
    assert torch.equal(marked([x, y], [False, True]), alone)
    marked.load_state_dict(plain.state_dict() | {"marks": torch.zeros(2, 16)})
    torch.testing.assert_close(marked([x, y]), plain([x, y]))
    with pytest.raises(ValueError, match="3 modalities; allowed: 2, as marked"):
        marked([x, y, x])


@pytest.mark.parametrize("hidden", [0, 32])
def test_pooled_fusion_sees_means_and_what_is_hidden_is_zero(hidden, tokens):
    torch.manual_seed(0)
    fusion = PooledFusion(16, 3, hidden=hidden)
    shuffled = [t.flip(1) for t in tokens]
    torch.testing.assert_close(fusion(shuffled), fusion(tokens))
    for mask in ([True, False, True], [False, False, True]):
        means = [t.mean(dim=1) * keep for t, keep in zip(tokens, mask, strict=True)]
        poisoned = [
            t if k else torch.full_like(t, torch.nan) for t, k in zip(tokens, mask, strict=True)
        ]
        torch.testing.assert_close(fusion(poisoned, mask), fusion.layers(torch.cat(means, dim=1)))
    several = fusion.under_masks(tokens, [[True, False, False], [True, True, True]])
    assert torch.equal(several[1], fusion(tokens))
    assert not torch.allclose(several[0], several[1])


def test_only_without_a_hidden_layer_is_the_pooled_embedding_a_sum_over_modalities(tokens):
    torch.manual_seed(0)
    other = [torch.randn_like(t) for t in tokens]
    mixed = [[a, b] for a, b in zip(tokens[:2], other[:2], strict=True)]

    def interaction(fusion):
        """f(a, b) - f(a, b') - f(a', b) + f(a', b'): 0 for every sum g(a) + h(b)."""
        (a, a2), (b, b2) = mixed
        return fusion([a, b]) - fusion([a, b2]) - fusion([a2, b]) + fusion([a2, b2])

    assert interaction(PooledFusion(16, 2)).abs().max() < 1e-5
    assert interaction(PooledFusion(16, 2, hidden=32)).abs().max() > 1e-3


def test_pooled_fusion_refuses_what_the_transformer_refuses(tokens):
    with pytest.raises(ValueError, match="mask has 2 entries for 3 modalities"):
        PooledFusion(16, 3)(tokens, [True, False])
    with pytest.raises(ValueError, match="at least one True"):
        PooledFusion(16, 3)(tokens, [False] * 3)
