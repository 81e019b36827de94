import pytest
import torch

from mmlib.data.table import TableSchema
from mmlib.encoders.table import TableMLP

SCHEMA = TableSchema(n_continuous=2, cardinalities=(3, 5))


def rows(n=6):
    generator = torch.Generator().manual_seed(0)
    codes = [torch.randint(k, (n, 1), generator=generator).float() for k in SCHEMA.cardinalities]
    return torch.cat([torch.randn(n, 2, generator=generator), *codes], dim=1)


def test_the_network_of_the_paper_has_its_size_and_initialisation():
    torch.manual_seed(0)
    dvm = TableSchema(13, (22, 13, 3, 12))
    encoder = TableMLP(dvm, width=2048)
    assert dvm.n_features == 63
    # Linear(63, 2048), batch normalisation, Linear(2048, 2048)
    count = sum(p.numel() for p in encoder.parameters())
    assert count == 64 * 2048 + 2 * 2048 + 2049 * 2048
    assert encoder.layers[0].weight.std().item() == pytest.approx((2 / 63) ** 0.5, rel=0.02)
    assert not encoder.layers[0].bias.any()


def test_every_column_matters_and_gradients_reach_the_continuous_ones():
    torch.manual_seed(0)
    encoder = TableMLP(SCHEMA, width=16).eval()
    table = rows().requires_grad_()
    out = encoder(table)
    assert out.shape == (6, encoder.out_features)
    for column in range(4):
        other = table.detach().clone()
        other[:, column] = (other[:, column] + 1) % (3 if column >= 2 else 100)
        assert not torch.allclose(encoder(other), out, atol=1e-3)
    out.sum().backward()
    assert table.grad[:, :2].abs().min() > 0
    assert not table.grad[:, 2:].any()


def test_bfloat16_autocast():
    encoder = TableMLP(SCHEMA, width=16).eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = encoder(rows())
    torch.testing.assert_close(out.float(), encoder(rows()), atol=0.1, rtol=0.05)
