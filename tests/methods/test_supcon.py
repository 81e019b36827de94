import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmlib.fusion import FusionTransformer, ProjectionHead, VectorAdapter
from mmlib.methods.supcon import SupCon


def as_is(x, generator):
    return x


def noisy(x, generator):
    return x + 0.1 * torch.randn(x.shape, generator=generator)


def make(augment=noisy):
    torch.manual_seed(0)
    return SupCon(
        [nn.Linear(3, 3), nn.Linear(4, 4)],
        [VectorAdapter(3, 16), VectorAdapter(4, 16)],
        FusionTransformer(16, heads=4),
        ProjectionHead(16, 16, 8),
        augment=[augment] * 2, prepare=[as_is] * 2, temperature=0.07,
    )  # fmt: skip


def batch(n=6):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(n, 3, generator=generator), torch.randn(n, 4, generator=generator)


def seeded():
    return torch.Generator().manual_seed(2)


def test_loss_is_the_mean_over_positives_computed_one_by_one():
    model, x, labels, generator = make(), batch(), torch.tensor([0, 1, 0, 2, 1, 0]), seeded()
    rows = []
    for _ in range(2):
        tokens = [
            a(e(noisy(v, generator)))
            for a, e, v in zip(model.adapters, model.encoders, x, strict=True)
        ]
        rows.append(F.normalize(model.head(model.fusion(tokens)), dim=1))
    rows, classes = torch.cat(rows), labels.repeat(2).tolist()
    total = 0.0
    for i in range(12):
        others = [j for j in range(12) if j != i]
        logits = {j: rows[i] @ rows[j] / 0.07 for j in others}
        whole = torch.stack(list(logits.values())).logsumexp(0)
        positives = [j for j in others if classes[j] == classes[i]]
        total = total + sum(whole - logits[j] for j in positives) / len(positives)
    torch.testing.assert_close(model.loss((*x, labels), seeded())["loss"], total / 12)


def test_labels_matter_to_the_loss_and_embedding_needs_none():
    model, x = make(), batch()
    one = model.loss((*x, torch.tensor([0, 0, 0, 1, 1, 1])), seeded())["loss"]
    other = model.loss((*x, torch.tensor([0, 1, 0, 1, 0, 1])), seeded())["loss"]
    assert not torch.allclose(one, other)
    model.eval()
    tokens = [a(e(v)) for a, e, v in zip(model.adapters, model.encoders, x, strict=True)]
    assert torch.equal(model.embed(x), model.fusion(tokens))


def test_learns_a_label_that_only_both_modalities_tell():
    generator = seeded()
    signs = torch.randint(0, 2, (64, 2), generator=generator)
    x = (2.0 * signs[:, :1] - 1).expand(-1, 3), (2.0 * signs[:, 1:] - 1).expand(-1, 4)
    labels = signs[:, 0] ^ signs[:, 1]
    model = make()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(80):
        optimizer.zero_grad()
        model.loss((*x, labels), generator)["loss"].backward()
        optimizer.step()
    with torch.no_grad():
        (z,) = model.eval().project(x, [[True, True]])
        centres = torch.stack([z[labels == k].mean(0) for k in range(2)])
    assert (torch.cdist(z, centres).argmin(1) == labels).float().mean() > 0.95


def test_errors():
    with pytest.raises(ValueError, match="batch has 2 entries; allowed: 2 modalities and labels"):
        make().loss(batch(), seeded())
