import pytest
import torch
import torchvision

from mmlib.encoders.image import (
    AlexNetTrunk,
    GlobalPool,
    PatchTransformer,
    ResNetTrunk,
    SmallConvNet,
)


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_alexnet_is_torchvisions_and_has_the_sheets_size():
    torch.manual_seed(0)
    trunk = AlexNetTrunk()
    assert count(trunk) == 2_469_696
    with torch.device("meta"):  # its classifier alone has 55 million parameters
        reference = torchvision.models.alexnet(weights=None).features
    reference.to_empty(device="cpu").load_state_dict(trunk.state_dict())
    images = torch.rand(2, 3, 224, 224)
    features = trunk(images)
    assert features.shape == (2, 256, 6, 6)
    torch.testing.assert_close(features, reference(images))


@pytest.mark.parametrize(
    ("depth", "channels", "size"), [(18, 512, 11_176_512), (50, 2048, 23_508_032)]
)
def test_resnet_is_torchvisions_without_its_classifier(depth, channels, size):
    trunk = ResNetTrunk(depth).eval()
    assert count(trunk) == size
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        features = trunk(images)
        network = getattr(torchvision.models, f"resnet{depth}")(weights=None).eval()
        network.fc = torch.nn.Identity()
        for part, own in zip(list(network.children())[:-2], trunk, strict=True):
            part.load_state_dict(own.state_dict())
        torch.testing.assert_close(GlobalPool(trunk)(images), network(images))
    assert features.shape == (2, channels, 2, 2)
    assert trunk.out_features == channels


def test_a_wide_resnet_is_torchvisions():
    with torch.device("meta"):
        trunk, wide = ResNetTrunk(50), ResNetTrunk(50, wide=2)
        reference = torchvision.models.wide_resnet50_2(weights=None)
    assert count(wide) == count(reference) - count(reference.fc)
    assert wide.out_features == trunk.out_features
    shapes = [[p.shape[0] for p in part.parameters()] for part in (wide, reference)]
    assert shapes[0] == shapes[1][:-2]


@pytest.mark.parametrize("size", [32, 48])
def test_small_net_divides_the_size_by_eight(size):
    trunk = SmallConvNet(width=8)
    features = trunk(torch.rand(2, 3, size, size))
    assert features.shape == (2, trunk.out_features, size // 8, size // 8)
    assert count(trunk) == 3 * 9 * 8 + 8 * 9 * 16 + 16 * 9 * 32 + 2 * (8 + 16 + 32)


def test_gradients_reach_every_weight_and_autocast_agrees():
    torch.manual_seed(0)
    encoder = GlobalPool(SmallConvNet(width=8))
    images = torch.rand(4, 3, 32, 32)
    out = encoder(images)
    out.square().sum().backward()
    assert all(p.grad.any() for p in encoder.parameters() if p.ndim > 1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = encoder(images)
    torch.testing.assert_close(low.float(), out, atol=0.05, rtol=0.05)


def test_errors():
    with pytest.raises(ValueError, match="depth is 34; allowed: 18, 50"):
        ResNetTrunk(34)
    with pytest.raises(ValueError, match=r"wide is 2; allowed: \[1, 1\]"):
        ResNetTrunk(18, wide=2)
    with pytest.raises(ValueError, match="width is 0"):
        SmallConvNet(0)


def test_patches_are_seen_whole_at_their_places_and_by_each_other():
    torch.manual_seed(0)
    trunk = PatchTransformer(16, patch=4, width=8, depth=2, heads=2).eval()
    images = torch.rand(1, 3, 16, 16)
    # Its first layer is a matrix product over the pixels of one patch.
    patch = images[0, :, 4:8, 12:16].flatten()
    by_hand = trunk.embed.weight.flatten(1) @ patch + trunk.embed.bias
    torch.testing.assert_close(trunk.embed(images)[0, :, 1, 3], by_hand)
    with torch.no_grad():
        before = trunk(images)
        changed = images.clone()
        changed[:, :, :4, :4] = 0
        assert before.shape == (1, 8, 4, 4)
        assert ((trunk(changed) - before).abs().amax(1) > 1e-5).all()  # attention reaches all
        swapped = images.clone()
        swapped[..., :4, :4], swapped[..., :4, 4:8] = images[..., :4, 4:8], images[..., :4, :4]
        assert (GlobalPool(trunk)(swapped) - GlobalPool(trunk)(images)).abs().max() > 1e-5
        trunk.position.zero_()  # without places a set of patches is all it sees
        torch.testing.assert_close(GlobalPool(trunk)(swapped), GlobalPool(trunk)(images))


def test_patches_fill_the_image():
    with pytest.raises(ValueError, match="patch is 5; allowed: divisors of size=16"):
        PatchTransformer(16, patch=5, width=8, depth=1, heads=2)
