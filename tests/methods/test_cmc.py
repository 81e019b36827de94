import pytest
import torch
from torch import nn

from mmlib import losses
from mmlib.methods.clip import DualEncoder
from mmlib.methods.cmc import CMC


def as_is(x, generator):
    return x


def flipped(x, generator):
    return -x


def make(n):
    torch.manual_seed(0)
    return CMC(
        [nn.Linear(3, 6) for _ in range(n)],
        [nn.Linear(6, 4, bias=False) for _ in range(n)],
        augment=[flipped] * n,
        prepare=[as_is] * n,
        temperature=0.2,
    )


def batch(n, rows=5):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(rows, 3, generator=generator) for _ in range(n)]


@pytest.mark.parametrize("n", [2, 3, 4])
def test_loss_is_the_mean_over_pairs_of_the_augmented_modalities(n):
    model, x = make(n), batch(n)
    z = [p(e(-m)) for p, e, m in zip(model.projections, model.encoders, x, strict=True)]
    pairs = [(i, j) for i in range(n) for j in range(i)]
    terms = [losses.nt_xent(z[i], z[j], temperature=0.2) for i, j in pairs]
    parts = model.loss(x, torch.Generator())
    torch.testing.assert_close(parts["loss"], sum(terms) / len(pairs))
    matches = [losses.match_accuracy(z[j], z[i]) for i, j in pairs]
    torch.testing.assert_close(parts["match"], sum(matches) / len(pairs))
    parts["loss"].backward()
    assert all(p.grad.any() for p in model.parameters() if p.ndim > 1)


def test_embedding_is_all_projected_vectors_side_by_side_as_dual_encoders_is():
    model, x = make(3), batch(3)
    vectors = [p(e(m)) for p, e, m in zip(model.projections, model.encoders, x, strict=True)]
    assert torch.equal(model.embed(x), torch.cat(vectors, dim=1))
    clip = DualEncoder(
        model.encoders[:2], model.projections[:2], augment=[as_is] * 2, prepare=[as_is] * 2
    )
    assert torch.equal(clip.embed(x[:2]), model.embed(x)[:, :8])


def test_numbers_that_do_not_fit_are_an_error():
    with pytest.raises(ValueError, match="number of modalities is 1"):
        make(1)
    with pytest.raises(ValueError, match="augment has 1 entries for 2 modalities"):
        CMC([as_is] * 2, [as_is] * 2, augment=[as_is], prepare=[as_is] * 2)
