import pytest
import torch
import torch.nn.functional as F
import torchvision

from mmlib.encoders.image import (
    AlexNetTrunk,
    AttentionPool,
    ClipResNetTrunk,
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


# The image towers of CLIP's released models; ours of patches has no class token with a place of its
# own and no normalisation before the first block, but a summand for each channel of the patches.
@pytest.mark.parametrize(
    ("depth", "features", "size"), [(50, 1024, 38_316_896), (101, 512, 56_259_936)]
)
def test_clips_resnets_have_clips_size(depth, features, size):
    with torch.device("meta"):
        tower = AttentionPool(ClipResNetTrunk(depth), places=49, heads=32)
        tower = torch.nn.Sequential(tower, torch.nn.Linear(2048, features))
        assert tower(torch.rand(2, 3, 224, 224)).shape == (2, features)
    assert count(tower) == size


def test_a_transformer_of_patches_has_nearly_the_size_of_clips():
    with torch.device("meta"):
        trunk = PatchTransformer(224, patch=32, width=768, depth=12, heads=12)
    assert count(trunk) + 768 * 512 == 87_849_216 - 2 * 768 - 2 * 768 + 768


@torch.no_grad()
def test_clips_maps_get_smaller_by_means():
    torch.manual_seed(0)
    trunk = ClipResNetTrunk(50, width=4).eval()
    images = torch.rand(2, 3, 64, 64)
    layers = list(trunk)
    x = images
    for k, stride in ((0, 2), (3, 1), (6, 1)):
        x = F.relu(layers[k + 1](F.conv2d(x, layers[k].weight, stride=stride, padding=1)))
    x = F.avg_pool2d(x, 2)
    torch.testing.assert_close(torch.nn.Sequential(*layers[:10])(images), x)
    for same in layers[11:13]:  # the first stage's second and third
        assert torch.equal(same(layers[10](x)), layers[10](x))  # a new block adds nothing
    block, x = layers[13], layers[10](x)
    body, shortcut = list(block.body), list(block.shortcut)
    torch.nn.init.uniform_(body[-1].weight)
    (one, norm_one, _, two, norm_two, _, _, three, norm_three), (_, other, norm_other) = (
        body, shortcut,
    )  # fmt: skip
    y = F.relu(norm_one(F.conv2d(x, one.weight)))
    y = F.relu(norm_two(F.conv2d(y, two.weight, padding=1)))
    y = norm_three(F.conv2d(F.avg_pool2d(y, 2), three.weight))
    y = F.relu(y + norm_other(F.conv2d(F.avg_pool2d(x, 2), other.weight)))
    torch.testing.assert_close(block(x), y)
    assert y.shape == (2, 32, 8, 8)
    assert trunk(images).shape == (2, trunk.out_features, 2, 2)


def test_the_mean_asks_and_takes_from_all_places_head_by_head():
    torch.manual_seed(0)
    pool = AttentionPool(SmallConvNet(2), places=6, heads=4)
    maps = torch.randn(3, 8, 2, 3)
    for image, found in zip(maps, pool.pool(maps), strict=True):
        places = [image.mean(dim=(1, 2)), *(image[:, y, x] for y in range(2) for x in range(3))]
        tokens = [place + own for place, own in zip(places, pool.position, strict=True)]
        for head in range(4):
            part = slice(2 * head, 2 * head + 2)
            asked = pool.query(tokens[0])[part]
            scores = torch.stack([asked @ pool.key(t)[part] / 2**0.5 for t in tokens])
            taken = sum(
                w * pool.value(t)[part] for w, t in zip(scores.softmax(0), tokens, strict=True)
            )
            torch.testing.assert_close(found[part], taken)
    assert torch.autograd.gradcheck(pool.double().pool, maps.double().requires_grad_())


def test_gradients_reach_every_weight_of_clips_resnet():
    torch.manual_seed(0)
    tower = AttentionPool(ClipResNetTrunk(50, width=4), places=1, heads=2)
    for layer in tower.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(layer.weight, 0.5, 1.5)
    tower(torch.rand(4, 3, 32, 32)).square().sum().backward()
    assert all(p.grad.any() for p in tower.parameters() if p.ndim > 1)


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
    with pytest.raises(ValueError, match="depth is 18; allowed: 50, 101"):
        ClipResNetTrunk(18)
    with pytest.raises(ValueError, match="places is 0"):
        AttentionPool(SmallConvNet(2), places=0, heads=2)
    with pytest.raises(ValueError, match="heads is 3; allowed: divisors of the trunk's 8 channels"):
        AttentionPool(SmallConvNet(2), places=4, heads=3)
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
    trunk = PatchTransformer(16, patch=4, width=8, depth=1, heads=2)
    for size in ((4, 4), (8, 32)):  # one patch, and as many as there are places
        with pytest.raises(ValueError, match=r"images has shape .*; expected \(B, 3, S=16, S=16\)"):
            trunk(torch.zeros(2, 3, *size))
