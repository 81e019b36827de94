import pytest
import torch

from mmlib.data.text import END, PAD, START
from mmlib.encoders.text import TextStates
from mmlib.encoders.text import TextTransformer as Encoder


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    encoder = Encoder(30, width=16, depth=3, heads=4, length=20, out_features=8)
    torch.nn.init.normal_(encoder.token_embedding.weight)  # so that every token matters
    return encoder


def captions(*lengths, total=20):
    ids = torch.full((len(lengths), total), PAD)
    for row, n in enumerate(lengths):
        ids[row, : n + 2] = torch.tensor([START, *torch.arange(n) % 25 + 5, END])
    return ids


def test_later_tokens_do_not_change_the_feature_and_earlier_ones_do(encoder):
    ids = captions(6, 9)
    feature = encoder(ids)
    for position in range(1, 20):
        changed = ids.clone()
        changed[0, position] = 29
        if position == 7:  # the end itself: then the caption has none
            continue
        same = torch.allclose(encoder(changed)[0], feature[0], atol=1e-5)
        assert same == (position > 7), position


def test_the_first_end_token_is_read(encoder):
    ids = captions(6, 9)
    twice = ids.clone()
    twice[0, 15] = END
    torch.testing.assert_close(encoder(twice), encoder(ids), atol=1e-5, rtol=0)
    early = ids.clone()
    early[0, 3] = END  # an end token inside, as HotFlip may put there, cuts the caption off
    torch.testing.assert_close(encoder(early)[0], encoder(captions(2))[0], atol=1e-5, rtol=0)


def test_cutting_the_batch_at_its_last_end_token_changes_nothing(encoder):
    ids = captions(3, 6)
    seen = []
    encoder.transformer.register_forward_pre_hook(lambda _, x: seen.append(x[0].shape[1]))
    uncut = torch.cat([ids, captions(18)])  # one full-length caption forbids cutting
    torch.testing.assert_close(encoder(ids), encoder(uncut)[:2], atol=1e-5, rtol=0)
    assert seen == [8, 20]


def test_order_of_words_matters(encoder):
    ids = captions(5)
    swapped = ids[:, [0, 2, 1, *range(3, 20)]]
    assert not torch.allclose(encoder(ids), encoder(swapped), atol=1e-2)


def test_embedded_tokens_give_the_same_feature_and_receive_the_gradient(encoder):
    ids = captions(4, 7)
    embedded = encoder.token_embedding(ids).detach().requires_grad_()
    feature = encoder.encode_embedded(embedded, ids)
    torch.testing.assert_close(feature, encoder(ids))
    feature.square().sum().backward()
    moved = embedded.grad.abs().sum(dim=2) > 0
    assert moved.sum(dim=1).tolist() == [6, 9]  # start, words and end; never the padding
    assert moved[0, :6].all()


def test_bfloat16_autocast(encoder):
    ids = captions(4, 7)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        feature = encoder(ids)
    torch.testing.assert_close(feature.float(), encoder(ids), atol=0.1, rtol=0.05)


def test_encoder_errors(encoder):
    with pytest.raises(ValueError, match="row without the end token 2"):
        encoder(torch.full((2, 5), 7))
    with pytest.raises(ValueError, match="number of tokens is 21"):
        encoder(torch.full((2, 21), END))
    with pytest.raises(ValueError, match=r"embedded has shape \(2, 4, 16\)"):
        encoder.encode_embedded(torch.zeros(2, 4, 16), torch.full((2, 5), END))
    one = Encoder(9, width=8, depth=1, heads=2, length=1, out_features=4)  # its place fits any
    with pytest.raises(ValueError, match=r"number of tokens is 3; allowed: \[1, 1\]"):
        TextStates(one)(torch.full((2, 3), END))


def test_captions_of_all_lengths_encoded_by_length_keep_their_order(encoder):
    g = torch.Generator().manual_seed(0)
    lengths = torch.randint(1, 18, (100,), generator=g).tolist()
    ids = captions(*lengths)
    assert torch.allclose(encoder.by_length(ids), encoder(ids), atol=1e-5)


def test_weights_start_with_clips_spread():
    torch.manual_seed(0)
    encoder = Encoder(500, width=64, depth=1, heads=2, length=60, out_features=32)
    wanted = {
        encoder.token_embedding.weight: 0.02,
        encoder.position_embedding: 0.01,
        encoder.projection.weight: 64**-0.5,
    }
    for weight, sd in wanted.items():
        assert weight.std().item() == pytest.approx(sd, rel=0.06)
