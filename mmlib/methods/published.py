"""Encoders and adapters of the paper's own experiments, by the name that a modality gives."""

from __future__ import annotations

from torch import nn

from mmlib._checks import check_choice
from mmlib.data.multimodal import Modality
from mmlib.encoders.image import GlobalPool, ResNetTrunk
from mmlib.encoders.sequence import CausalConvolutions, GRUEncoder, StepMean
from mmlib.encoders.vector import Perceptron
from mmlib.fusion import IdentityAdapter, TokenAdapter, VectorAdapter

NETWORKS = ("perceptron", "gru", "resnet18", "force", "force_tokens", "proprio")
_TOKENIZED = ("perceptron", "force_tokens")  # one token for each entry of the encoder's output


def encoder(modality: Modality, width: int) -> nn.Module:
    """The encoder of that experiment, for a fusion of ``width``.

    ``perceptron`` is that of MIMIC's table and ``gru`` that of its series; ``resnet18``, ``force``
    (``force_tokens`` for the regression) and ``proprio`` are those of Vision & Touch. Raises
    ``ValueError`` for another name. Source: CoMM, released code.
    """
    name, features = check_choice("network", modality.network, NETWORKS), modality.features
    if name == "perceptron":
        return Perceptron([features, 10, 10])
    if name == "gru":
        return GRUEncoder(features, width)
    if name == "resnet18":
        return ResNetTrunk(18)
    if name == "proprio":
        return Perceptron([features, 32, 64, 128, width], 0.1, closed=True)
    return CausalConvolutions(features, 128 if name == "force_tokens" else width)


def adapter(modality: Modality, encoder: nn.Module, width: int) -> nn.Module:
    """Tokens from the output of :func:`encoder`, for any but an image."""
    if modality.network in _TOKENIZED:
        return VectorAdapter(encoder.out_features, width)
    return IdentityAdapter() if modality.network == "gru" else TokenAdapter(width)


def pooled(modality: Modality, encoder: nn.Module) -> nn.Module:
    """One vector for a sample, as methods without tokens need it."""
    wrap = {"resnet18": GlobalPool, "gru": StepMean}.get(modality.network)
    return wrap(encoder) if wrap else encoder
