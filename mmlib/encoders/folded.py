"""Networks whose weights stay: a frozen copy with less to compute, and a frozen while."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mmlib.encoders.transformer import QuickGELU

Network = TypeVar("Network", bound=nn.Module)
_FEW = 1024  # pixels of a batch below which a convolution's weights outweigh its maps


@torch.no_grad()
def folded(network: Network) -> Network:
    """A copy in evaluation mode whose constant factors are part of its weights, which are frozen.

    In evaluation mode a batch normalisation is one factor and one summand for each channel: they
    go into the convolution that comes right before it among a module's children. The factor of
    :class:`QuickGELU` goes into the linear layers on either side of it. On a CPU convolutions get
    their maps in the order that is quicker. What the copy gives, and the gradient with respect to
    its input, is the network's own up to rounding. The network stays as it is, and what it learns
    later the copy does not know.

    Embeddings of a trained model and MEM's search and noise are computed with it.

    >>> from mmlib.encoders.image import SmallConvNet
    >>> network, images = SmallConvNet(4).eval(), torch.rand(2, 3, 8, 8)
    >>> torch.allclose(folded(network)(images), network(images), atol=1e-6)
    True
    """
    copied = copy.deepcopy(network).eval()
    shared = set(network.modules())  # frozen encoders, of which a copy is the module itself
    for module in [module for module in copied.modules() if module not in shared]:
        for (name, layer), (after, norm) in pairwise(list(module.named_children())):
            if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, name, fuse_conv_bn_eval(layer, norm))
                setattr(module, after, nn.Identity())
        if [type(layer) for layer in module.children()] == [nn.Linear, QuickGELU, nn.Linear]:
            first, unit, second = module
            first.weight *= unit.slope  # x sigmoid(a x) = silu(a x) / a
            first.bias *= unit.slope
            second.weight /= unit.slope
            module[1] = nn.SiLU(inplace=True)
    for layer in copied.modules():
        convolves = isinstance(layer, nn.Conv2d) and layer not in shared
        if convolves and layer.weight.device.type == "cpu":
            layer.to(memory_format=torch.contiguous_format)
            layer.register_forward_pre_hook(_in_order)
    return copied.eval().requires_grad_(False)


def _in_order(layer: nn.Conv2d, inputs: tuple[Tensor]) -> Tensor:
    """Maps in the order in which a CPU convolves them fastest.

    That is channels last, but then weights are put in that order, too, anew for each batch.
    """
    (maps,) = inputs
    few = maps[:, 0].numel() < _FEW
    return maps.contiguous(memory_format=torch.contiguous_format if few else torch.channels_last)


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """No gradient is asked of the parameters, so none of what it would need is kept."""
    learned = [p for p in network.parameters() if p.requires_grad]
    for parameter in learned:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learned:
            parameter.requires_grad_(True)
