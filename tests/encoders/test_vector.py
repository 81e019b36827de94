import pytest
import torch

from mmlib.encoders.vector import Perceptron


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_sizes_of_the_papers_perceptrons():
    assert count(Perceptron([5, 10, 10])) == 60 + 110  # MIMIC, table
    assert count(Perceptron([8, 32, 64, 128, 512], 0.1, closed=True)) == 288 + 2112 + 8320 + 66048


@pytest.mark.parametrize("closed", [False, True])
def test_it_is_its_layers_written_out(closed):
    torch.manual_seed(0)
    perceptron = Perceptron([3, 4, 2], 0.1, closed=closed)
    first, second = (m for m in perceptron.layers if isinstance(m, torch.nn.Linear))
    x = torch.randn(6, 3)
    hidden = x @ first.weight.T + first.bias
    hidden = torch.where(hidden > 0, hidden, 0.1 * hidden)
    expected = hidden @ second.weight.T + second.bias
    if closed:
        expected = torch.where(expected > 0, expected, 0.1 * expected)
    torch.testing.assert_close(perceptron(x), expected)
    assert perceptron.out_features == 2


def test_without_a_slope_it_is_relu():
    torch.manual_seed(0)
    perceptron = Perceptron([3, 4], closed=True)
    assert perceptron(torch.randn(50, 3)).min() == 0


def test_a_perceptron_has_a_layer():
    with pytest.raises(ValueError, match="number of sizes is 1"):
        Perceptron([3])
