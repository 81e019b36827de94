"""The networks of the paper's own experiments: their sizes, their tokens, and who gets them."""

import pytest
import torch

from mmlib.augment.image import GaussianBlur
from mmlib.augment.sequence import Drop, Noise
from mmlib.data.multimodal import Modality
from mmlib.methods import published
from mmlib.methods.modalities import build, views
from mmlib.presets.base import resolve

MODALITIES = {
    "perceptron": Modality("table", "vector", 5, network="perceptron"),
    "gru": Modality("series", "sequence", 12, network="gru"),
    "resnet18": Modality("image", "image", 64, network="resnet18", blurred=True),
    "force": Modality("force", "sequence", 6, network="force"),
    "force_tokens": Modality("force", "sequence", 6, network="force_tokens"),
    "proprio": Modality("proprio", "vector", 8, network="proprio"),
}
TOKENS = {"perceptron": 10, "gru": 24, "force": 1, "force_tokens": 128, "proprio": 1}


def batch(modality, n=4):
    generator = torch.Generator().manual_seed(0)
    if modality.kind == "image":
        shape = (n, 3, modality.features, modality.features)
        return torch.randint(256, shape, generator=generator, dtype=torch.uint8)
    steps = {"gru": (24,), "force": (32,), "force_tokens": (32,)}.get(modality.network, ())
    return torch.randn(n, *steps, modality.features, generator=generator)


def settings(**changes):
    return resolve("comm_real", {"preset": "smoke", "encoders": "published", **changes})


def test_every_network_is_tested_here():
    pretrained = set(published.PRETRAINED)  # tests/encoders/test_pretrained.py has those
    assert set(MODALITIES) == set(published.NETWORKS) - pretrained
    with pytest.raises(ValueError, match="network is 'lstm'; allowed: 'perceptron'"):
        published.encoder(Modality("x", "vector", 3, network="lstm"), 8)


@pytest.mark.parametrize("name", TOKENS)
def test_tokens_are_the_papers(name):
    modality = MODALITIES[name]
    encoder = published.encoder(modality, 16)
    found = encoder(batch(modality))
    tokens = published.adapter(modality, encoder, 16)(found)
    assert tokens.shape == (4, TOKENS[name], 16)
    vector = published.pooled(modality, encoder)
    assert vector(batch(modality)).shape == (4, vector.out_features)


def test_perceptrons_have_the_papers_layers():
    def widths(name):
        layers = published.encoder(MODALITIES[name], 512).layers
        return [layer.out_features for layer in layers if isinstance(layer, torch.nn.Linear)]

    assert widths("perceptron") == [10, 10]
    assert widths("proprio") == [32, 64, 128, 512]


def test_a_tables_numbers_may_be_negative_and_the_hands_end_as_leaky_relu_lets_them():
    torch.manual_seed(0)
    table, hand = (
        published.encoder(MODALITIES[name], 64)(batch(MODALITIES[name], 50))
        for name in ("perceptron", "proprio")
    )
    assert table.min() < -0.5 < -0.05 < hand.min() < 0


def test_an_image_of_128_pixels_is_16_tokens():
    modality = Modality("image", "image", 128, network="resnet18")
    model = build("comm", [modality, MODALITIES["proprio"]], settings())
    assert model.eval().encode(0, batch(modality, 2)).shape == (2, 16, 16)


@pytest.mark.parametrize(
    "names",
    [("perceptron", "gru"), ("resnet18", "force_tokens"), ("resnet18", "force", "proprio")],
)
@pytest.mark.parametrize("method", ["cross", "cross_self", "factorcl", "comm"])
def test_the_papers_experiments_train(names, method):
    if method == "factorcl":
        names = names[:2]
    modalities = [MODALITIES[name] for name in names]
    model = build(method, modalities, settings())
    x = [batch(modality) for modality in modalities]
    loss = model.loss(x, torch.Generator().manual_seed(0))["loss"]
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad and p.ndim > 1)
    with torch.no_grad():
        assert model.eval().embed(x).isfinite().all()


def test_small_encoders_are_those_of_the_kind_whatever_the_network():
    for modality in MODALITIES.values():
        plain = Modality(modality.name, modality.kind, modality.features)
        models = [build("alone", [m], settings(encoders="small")) for m in (modality, plain)]
        shapes = [[p.shape for p in model.parameters()] for model in models]
        assert shapes[0] == shapes[1]
        own = build("alone", [modality], settings()).encoders[0]
        assert type(own) is not type(models[0].encoders[0])


def test_views_are_what_the_modality_says():
    def kinds(modality):
        return [type(part) for part in views(modality, 0.1).transforms]

    assert kinds(Modality("x", "vector", 3)) == [Drop, Noise]
    assert kinds(Modality("x", "vector", 3, changes=("noise",))) == [Noise]
    assert kinds(Modality("x", "sequence", 3, changes=("noise", "drop"))) == [Noise, Drop]
    assert GaussianBlur in kinds(MODALITIES["resnet18"])
    assert GaussianBlur not in kinds(Modality("x", "image", 64))
