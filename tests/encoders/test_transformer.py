import pytest
import torch
from torch import nn

from mmlib.encoders.transformer import Block, QuickGELU, Transformer


def copy_of_torch(block, width, heads):
    """The same block built from torch's own attention layer."""
    attention = nn.MultiheadAttention(width, heads, batch_first=True)
    with torch.no_grad():
        attention.in_proj_weight.copy_(torch.cat([block.query.weight, block.key_value.weight]))
        attention.in_proj_bias.copy_(torch.cat([block.query.bias, block.key_value.bias]))
        attention.out_proj.load_state_dict(block.attention_out.state_dict())

    def run(x, causal):
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1]) if causal else None
        h = block.attention_norm(x)
        x = x + attention(h, h, h, attn_mask=mask, need_weights=False)[0]
        return x + block.mlp(block.mlp_norm(x))

    return run


@pytest.mark.parametrize("causal", [False, True])
def test_block_is_torchs_attention_with_pre_layer_norm(causal):
    torch.manual_seed(0)
    block = Block(width=12, heads=3, depth=1)
    for bias in (block.query.bias, block.key_value.bias):
        nn.init.normal_(bias)
    x = torch.randn(4, 7, 12)
    torch.testing.assert_close(
        block(x, causal=causal), copy_of_torch(block, 12, 3)(x, causal), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("causal", [False, True])
def test_reading_single_rows_changes_nothing(causal):
    torch.manual_seed(0)
    transformer = Transformer(width=16, depth=3, heads=4)
    x = torch.randn(5, 9, 16)
    rows = torch.tensor([0, 8, 3, 3, 5])
    full = transformer(x, causal=causal)[torch.arange(5), rows]
    torch.testing.assert_close(transformer(x, causal=causal, rows=rows), full, atol=1e-5, rtol=0)


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("single", [False, True])
def test_rows_that_occur_often_need_to_be_given_once(depth, single):
    torch.manual_seed(0)
    transformer = Transformer(width=16, depth=depth, heads=4)
    few, of = torch.randn(4, 16), torch.randint(4, (3, 7))
    rows = torch.tensor([6, 0, 3]) if single else None
    torch.testing.assert_close(
        transformer(few, causal=True, rows=rows, of=of),
        transformer(few[of], causal=True, rows=rows),
        atol=1e-5, rtol=0,
    )  # fmt: skip


def test_one_row_has_the_gradients_it_has_among_all():
    torch.manual_seed(0)
    block = Block(width=12, heads=3, depth=1)
    for bias in (block.query.bias, block.key_value.bias):
        nn.init.normal_(bias)
    x, rows = torch.randn(4, 7, 12, requires_grad=True), torch.tensor([2, 6, 0, 3])
    alone = block(x, causal=True, rows=rows)[:, 0].square().sum()
    among = block(x, causal=True)[torch.arange(4), rows].square().sum()
    learned = [x, *block.parameters()]
    pairs = zip(*(torch.autograd.grad(v, learned) for v in (alone, among)), strict=True)
    for found, expected in pairs:
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_quick_gelu():
    x = torch.tensor([0.0, 1.0, -1.0])
    expected = torch.tensor([0.0, 0.845796, -0.154204])
    torch.testing.assert_close(QuickGELU()(x), expected, atol=1e-6, rtol=0)


def test_initial_spread_of_the_weights():
    torch.manual_seed(0)
    width, depth = 256, 2
    block = Transformer(width, depth, heads=8).blocks[0]
    wanted = {
        block.query: width**-0.5,
        block.key_value: width**-0.5,
        block.attention_out: (2 * depth * width) ** -0.5,
        block.mlp[0]: (2 * width) ** -0.5,
        block.mlp[2]: (2 * depth * width) ** -0.5,
    }
    for layer, sd in wanted.items():
        assert layer.weight.std().item() == pytest.approx(sd, rel=0.02)
    assert not block.query.bias.any()
    assert not block.attention_out.bias.any()


def test_errors_name_the_value():
    with pytest.raises(ValueError, match="width is 10; allowed: multiples of heads=4"):
        Transformer(10, 1, 4)
    with pytest.raises(ValueError, match="depth is 0"):
        Transformer(8, 0, 4)


def test_a_row_that_sees_a_choice_of_rows_needs_one_block():
    with pytest.raises(ValueError, match="the transformer has 2 blocks; allowed: 1"):
        Transformer(8, 2, 2).first_row_seeing(torch.zeros(1, 3, 8), torch.ones(1, 3).bool())
