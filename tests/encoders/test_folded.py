import copy

import pytest
import torch
from torch import nn

from mmlib.encoders.folded import folded, frozen
from mmlib.encoders.image import (
    AlexNetTrunk,
    AttentionPool,
    ClipResNetTrunk,
    GlobalPool,
    PatchTransformer,
    ResNetTrunk,
    SmallConvNet,
)
from mmlib.encoders.pretrained import Frozen
from mmlib.encoders.text import TextTransformer
from mmlib.encoders.transformer import QuickGELU

TRUNKS = {
    "small": lambda: SmallConvNet(8),
    "pooled": lambda: GlobalPool(SmallConvNet(8)),
    "alexnet": AlexNetTrunk,
    "resnet18": lambda: ResNetTrunk(18),
    "resnet50": lambda: ResNetTrunk(50),
    "clip": lambda: AttentionPool(ClipResNetTrunk(50, width=8), places=4, heads=4),
    "patches": lambda: PatchTransformer(64, 16, 16, 2, 4),
}


def trained(network):
    """With statistics, factors and summands as after training, not the ones and zeros before."""
    g = torch.Generator().manual_seed(1)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None
            for values in (layer.weight, layer.bias):
                nn.init.uniform_(values, 0.5, 1.5, generator=g)
    network.train()
    with torch.no_grad():
        network(torch.rand(4, 3, 64, 64, generator=g) * 2)
    return network.eval()


@pytest.mark.parametrize("name", TRUNKS)
def test_images_have_the_same_maps_and_gradients(name):
    torch.manual_seed(0)
    network = trained(TRUNKS[name]())
    copied = folded(network)
    found = []
    for which in (network, copied):
        images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(2))
        images.requires_grad_()
        maps = which(images)
        weights = torch.randn(maps.shape, generator=torch.Generator().manual_seed(3))
        (gradient,) = torch.autograd.grad((maps * weights).sum(), images)
        found.append((maps.detach(), gradient))
    for plain, quick in zip(*found, strict=True):
        torch.testing.assert_close(quick, plain, rtol=0, atol=1e-4 * float(plain.abs().max()))


def test_texts_have_the_same_features_and_gradients():
    torch.manual_seed(0)
    network = TextTransformer(20, width=16, depth=2, heads=2, length=6, out_features=4).eval()
    for block in network.transformer.blocks:
        nn.init.normal_(block.mlp[0].bias)
    copied = folded(network)
    ids = torch.tensor([[1, 9, 5, 2, 0, 0], [1, 7, 8, 6, 5, 2]])
    torch.testing.assert_close(copied(ids), network(ids).detach(), atol=1e-5, rtol=0)
    torch.testing.assert_close(copied.by_length(ids), network(ids).detach(), atol=1e-5, rtol=0)
    slopes = []
    for which in (network, copied):
        embedded = network.token_embedding(ids).detach().requires_grad_()
        features = which.encode_embedded(embedded, ids)
        slopes += torch.autograd.grad(features.square().sum(), embedded)
    torch.testing.assert_close(*slopes, atol=1e-5, rtol=1e-4)


def test_nothing_that_costs_time_is_left():
    for trunk in (ResNetTrunk(50), ClipResNetTrunk(50, width=2)):
        assert nn.BatchNorm2d not in {type(layer) for layer in folded(trunk).modules()}
    left = {type(layer) for layer in folded(PatchTransformer(8, 4, 8, 1, 2)).modules()}
    assert QuickGELU not in left


def test_the_network_stays_as_it_is_and_its_copy_is_frozen():
    network = GlobalPool(SmallConvNet(4)).train()
    before = copy.deepcopy(network.state_dict())
    copied = folded(network)
    assert network.training
    assert not any(layer.training for layer in copied.modules())
    assert all(p.requires_grad for p in network.parameters())
    assert not any(p.requires_grad for p in copied.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    images = torch.rand(2, 3, 16, 16)
    first = copied(images)
    with torch.no_grad():
        network.trunk[0].weight.zero_()
    assert torch.equal(copied(images), first)  # and shares no weights with it


def test_an_encoder_that_copies_share_stays_as_it_is():
    shared = Frozen(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3)), 4)
    before = list(shared.modules())
    network = nn.Sequential(shared, nn.Conv2d(4, 4, 3))
    for _ in range(2):
        copied = folded(network)
        assert copied[0] is shared
        assert len(copied[1]._forward_pre_hooks) == 1
    assert list(shared.modules()) == before
    assert not any(module._forward_pre_hooks for module in before)


def test_a_normalisation_that_follows_no_convolution_stays():
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 1), nn.ReLU(), nn.BatchNorm2d(4))
    network[0].running_mean.fill_(0.5)
    network[3].running_var.fill_(4.0)
    images = torch.rand(2, 3, 4, 4)
    assert torch.equal(folded(network)(images), network.eval()(images))


def test_what_was_frozen_before_a_frozen_while_stays_so_after_it():
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1).requires_grad_(False))
    before = [p.requires_grad for p in network.parameters()]
    with frozen(network):
        assert not any(p.requires_grad for p in network.parameters())
    assert [p.requires_grad for p in network.parameters()] == before == [True] * 2 + [False] * 2
