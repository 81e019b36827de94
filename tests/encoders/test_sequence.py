import torch

from mmlib.encoders.sequence import GRUEncoder, SequenceTransformer, StepMean


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_sizes_of_the_papers_encoders():
    assert count(SequenceTransformer(20)) == 864_040  # MOSI, vision
    assert count(SequenceTransformer(300)) == 875_240  # MOSI, text
    assert count(GRUEncoder(12, 512)) == 3 * 512 * (12 + 512 + 2)  # MIMIC


def test_transformer_has_no_notion_of_order():
    torch.manual_seed(0)
    encoder = SequenceTransformer(6, depth=2, hidden=64).eval()
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
    layers = SequenceTransformer(6, depth=2, hidden=64).layers.layers
    assert not torch.equal(layers[0].linear1.weight, layers[1].linear1.weight)


def test_step_mean_is_the_mean_of_all_steps():
    torch.manual_seed(0)
    encoder = GRUEncoder(3, 5)
    steps = torch.randn(2, 7, 3)
    mean = StepMean(encoder)
    assert mean.out_features == 5
    torch.testing.assert_close(mean(steps), sum(encoder(steps).unbind(1)) / 7)
