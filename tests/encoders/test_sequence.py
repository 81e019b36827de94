from itertools import pairwise

import pytest
import torch

from mmlib.encoders.sequence import (
    CausalConvolutions,
    GRUEncoder,
    SequenceTransformer,
    StepMean,
)


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_sizes_of_the_papers_encoders():
    assert count(SequenceTransformer(20, 40, 5, 5, 2048)) == 864_040  # MOSI, vision
    assert count(SequenceTransformer(300, 40, 5, 5, 2048)) == 875_240  # MOSI, text
    assert count(GRUEncoder(12, 512)) == 3 * 512 * (12 + 512 + 2)  # MIMIC


def test_each_layer_normalises_what_it_reads_and_not_what_it_gives():
    torch.manual_seed(0)
    encoder = SequenceTransformer(6, 40, 1, 5, 64).eval()
    (layer,) = encoder.layers.layers
    steps = torch.randn(3, 8, 6)
    x = encoder.input(steps)
    x = x + layer.self_attn(*[layer.norm1(x)] * 3, need_weights=False)[0]
    x = x + layer.linear2(layer.linear1(layer.norm2(x)).relu())
    torch.testing.assert_close(encoder(steps), x)


def test_transformer_has_no_notion_of_order():
    torch.manual_seed(0)
    encoder = SequenceTransformer(6, width=40, depth=2, heads=5, hidden=64).eval()
    steps = torch.randn(3, 8, 6)
    order = torch.randperm(8)
    torch.testing.assert_close(
        encoder(steps[:, order]), encoder(steps)[:, order], atol=1e-5, rtol=0
    )


def test_gru_sees_the_past_and_not_the_future():
    torch.manual_seed(0)
    encoder = GRUEncoder(6, 16)
    steps = torch.randn(3, 8, 6)
    out = encoder(steps)
    assert out.shape == (3, 8, encoder.out_features)
    changed = steps.clone()
    changed[:, 4] += 1
    moved = (encoder(changed) - out).abs().amax(dim=(0, 2)) > 0
    assert moved.tolist() == [False] * 4 + [True] * 4


def test_layers_of_the_transformer_start_different():
    layers = SequenceTransformer(6, width=40, depth=2, heads=5, hidden=64).layers.layers
    assert not torch.equal(layers[0].linear1.weight, layers[1].linear1.weight)


def test_a_tenth_is_dropped_in_training_alone():
    encoder, steps = SequenceTransformer(6, 40, 1, 5, 64), torch.randn(3, 8, 6)
    assert {m.p for m in encoder.modules() if isinstance(m, torch.nn.Dropout)} == {0.1}
    assert not torch.equal(encoder(steps), encoder(steps))
    assert torch.equal(encoder.eval()(steps), encoder(steps))


def test_step_mean_is_the_mean_of_all_steps():
    torch.manual_seed(0)
    encoder = GRUEncoder(3, 5)
    steps = torch.randn(2, 7, 3)
    mean = StepMean(encoder)
    assert mean.out_features == 5
    torch.testing.assert_close(mean(steps), sum(encoder(steps).unbind(1)) / 7)


def test_causal_convolutions_are_the_sum_over_two_steps_written_out():
    torch.manual_seed(0)
    encoder = CausalConvolutions(3, 5)
    steps = torch.randn(2, 32, 3)
    x = steps
    for layer in encoder.layers:
        x = torch.cat([torch.zeros(2, 1, x.shape[2]), x], dim=1)
        pairs = zip(x[:, 0:-1:2].unbind(1), x[:, 1::2].unbind(1), strict=False)
        made = [a @ layer.weight[:, :, 0].T + b @ layer.weight[:, :, 1].T for a, b in pairs]
        x = torch.stack(made, dim=1) + layer.bias
        x = torch.where(x > 0, x, 0.1 * x)
    assert x.shape == (2, 1, 5)
    torch.testing.assert_close(encoder(steps), x[:, 0])


def test_causal_convolutions_have_the_papers_size_and_read_the_first_step_alone():
    torch.manual_seed(0)
    encoder = CausalConvolutions(6, 128)
    sizes = (6, 16, 32, 64, 128, 128)
    assert count(encoder) == sum(2 * a * b + b for a, b in pairwise(sizes))
    steps = torch.randn(1, 32, 6)
    out = encoder(steps)
    for step in range(32):
        changed = steps.clone()
        changed[:, step] += 1
        assert torch.equal(encoder(changed), out) == (step > 0)
    with pytest.raises(ValueError, match=r"steps has shape \(1, 16, 6\)"):
        encoder(steps[:, :16])


def test_causal_convolutions_are_padded_on_both_sides_and_cut_at_the_end():
    """The released form: torch's own padding, then the last output left out."""
    torch.manual_seed(0)
    encoder = CausalConvolutions(6, 16)
    steps = torch.randn(3, 32, 6)
    x = steps.mT
    for layer in encoder.layers:
        found = torch.nn.functional.conv1d(x, layer.weight, layer.bias, stride=2, padding=1)
        x = torch.nn.functional.leaky_relu(found[:, :, :-1], 0.1)
    torch.testing.assert_close(encoder(steps), x[:, :, 0])
