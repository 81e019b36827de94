import pytest
import torch
from sklearn.decomposition import PCA
from torch import nn

from mmlib.evaluate import features
from mmlib.evaluate.features import embed_pairs, head_inputs, principal_components
from mmlib.fusion import FusionTransformer, ProjectionHead, VectorAdapter
from mmlib.methods import by_batch
from mmlib.methods.clip import DualEncoder
from mmlib.methods.comm import CoMM
from mmlib.methods.cross_self import CrossSelf
from mmlib.methods.factorcl import FactorCL


def as_is(x, generator):
    return x


def methods():
    torch.manual_seed(0)
    encoders = [nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)) for _ in range(2)]
    views = {"augment": [as_is] * 2, "prepare": [as_is] * 2}
    return [
        DualEncoder(encoders, [nn.Linear(4, 3), nn.Linear(4, 3)], **views),
        CrossSelf(encoders, [nn.Identity()] * 2, align=[as_is] * 2, **views),
        FactorCL(encoders, (4, 4), width=3, hidden=5, **views),
        CoMM(
            encoders, [VectorAdapter(4, 8) for _ in range(2)], FusionTransformer(8, heads=2),
            ProjectionHead(8, 8, 4), **views,
        ),
    ]  # fmt: skip


@pytest.mark.parametrize("method", methods(), ids=lambda m: type(m).__name__)
def test_embeddings_of_shared_inputs_are_those_of_the_samples(method, monkeypatch):
    monkeypatch.setattr(features, "_AT_ONCE", 4)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(9, 4, generator=generator)
    first, second = torch.randint(9, (2, 25), generator=generator)
    second[second == 3] = 4  # an input that no sample uses on this side
    seen = []
    for encoder in method.encoders:
        encoder.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    found = embed_pairs(method, (x, x), (first, second))
    assert sum(seen) == len(first.unique()) + len(second.unique())
    expected = method.embed((x[first], x[second]))  # in evaluation mode from here on
    torch.testing.assert_close(found, expected.detach())
    assert not found.requires_grad


@pytest.mark.parametrize(
    "method",
    [method for method in methods() if not isinstance(method, FactorCL)],
    ids=lambda m: type(m).__name__,
)
def test_projections_are_what_the_loss_compares(method, monkeypatch):
    monkeypatch.setattr(features, "_AT_ONCE", 4)
    x = [torch.randn(9, 4, generator=torch.Generator().manual_seed(k)) for k in (1, 2)]
    method.augment = [lambda x, g: x + torch.rand(x.shape, generator=g)] * 2

    def projections(generator=None):
        return [head(given).detach() for head, given in head_inputs(method, x, generator)]

    plain = projections()
    assert not any(module.training for module in method.modules())
    masks = [method.masks] if isinstance(method, CoMM) else []
    for found, expected in zip(plain, method.project(x, *masks), strict=True):
        torch.testing.assert_close(found, expected.detach())
    trained = [by_batch(*given).detach() for given in head_inputs(method, x)]
    for part in [method.head] if masks else method.projections:
        part.train()
    for found, expected in zip(trained, method.project(x, *masks), strict=True):
        torch.testing.assert_close(found, expected.detach())
    seeds = (torch.Generator().manual_seed(seed) for seed in (3, 3, 4))
    one, again, other = (projections(seed)[0] for seed in seeds)
    assert torch.equal(one, again)
    assert (one != other).any()
    assert (one != plain[0]).any()


def test_errors():
    method, x, place = methods()[0], torch.zeros(3, 4), torch.zeros(2, dtype=torch.long)
    with pytest.raises(ValueError, match="places has 1 entries for 2 modalities"):
        embed_pairs(method, (x, x), (place,))
    with pytest.raises(ValueError, match="places"):
        embed_pairs(method, (x, x), (place, place[:1]))


def test_principal_components_are_those_of_the_training_part():
    generator = torch.Generator().manual_seed(0)
    wide = {"train": 1.0, "validation": 5.0, "test": 0.3}  # other parts vary along other features
    features = {
        part: torch.randn(40, 6, generator=generator) * scale ** torch.arange(6)
        for part, scale in wide.items()
    }
    found = principal_components(features, 2)
    doubled = principal_components({part: x.double() for part, x in features.items()}, 2)
    torch.testing.assert_close(doubled["test"].float(), found["test"])
    fitted = PCA(2, svd_solver="full").fit(features["train"].numpy())
    for part, x in features.items():
        expected = torch.tensor(fitted.transform(x.numpy())).flip(1)
        torch.testing.assert_close(found[part].abs(), expected.abs(), rtol=1e-3, atol=1e-3)
    assert principal_components(features, 6) == features
    with pytest.raises(ValueError, match="components is 0"):
        principal_components(features, 0)
