"""Encoders and adapters of the paper's own experiments, by the name that a modality gives."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from mmlib._checks import check_choice, check_range
from mmlib.data.multimodal import Modality
from mmlib.encoders import pretrained
from mmlib.encoders.image import GlobalPool, ResNetTrunk
from mmlib.encoders.sequence import CausalConvolutions, GRUEncoder, StepMean
from mmlib.encoders.vector import Perceptron
from mmlib.fusion import TokenAdapter, VectorAdapter

PRETRAINED = ("clip_image", "clip_text", "tokens")  # frozen encoders, and what they have given
_TOKENIZED = ("perceptron", "force_tokens")  # one token for each entry of the encoder's output
_SEQUENCES = ("gru", *PRETRAINED)  # whose output is tokens already


class AsTokens(nn.Module):
    """Tokens (B, T, D) of any precision, computed earlier, as they are."""

    def __init__(self, width: int):
        super().__init__()
        self.out_features = width

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens.float()


NETWORKS: dict[str, Callable[[Modality, int], nn.Module]] = {
    "perceptron": lambda m, width: Perceptron([m.features, 10, 10]),
    "gru": lambda m, width: GRUEncoder(m.features, width),
    "resnet18": lambda m, width: ResNetTrunk(18),
    "force": lambda m, width: CausalConvolutions(m.features, width),
    "force_tokens": lambda m, width: CausalConvolutions(m.features, 128),
    "proprio": lambda m, width: Perceptron([m.features, 32, 64, 128, width], 0.1, closed=True),
    "clip_image": lambda m, width: pretrained.image_tokens(),
    "clip_text": lambda m, width: pretrained.text_tokens(m.ids),
    "tokens": lambda m, width: AsTokens(m.features),
}


def encoder(modality: Modality, width: int) -> nn.Module:
    """The encoder of that experiment, for a fusion of ``width``.

    ``perceptron`` is that of MIMIC's table and ``gru`` that of its series; ``resnet18``, ``force``
    (``force_tokens`` for the regression) and ``proprio`` are those of Vision & Touch.
    ``clip_image`` and ``clip_text`` are those of MM-IMDb, frozen (:mod:`mmlib.encoders.pretrained`,
    which says what it raises), and ``tokens`` stands for either, computed earlier. Raises
    ``ValueError`` for another name, and where a pre-trained encoder's width is not the fusion's,
    which takes its tokens as they are. Source: CoMM, released code.
    """
    found = NETWORKS[check_choice("network", modality.network, NETWORKS)](modality, width)
    if modality.network in PRETRAINED:
        n = found.out_features
        check_range("width, of pre-trained tokens,", width, n, n)
    return found


def adapter(modality: Modality, encoder: nn.Module, width: int) -> nn.Module:
    """Tokens from the output of :func:`encoder`, unless that is a map."""
    if modality.network in _TOKENIZED:
        return VectorAdapter(encoder.out_features, width)
    return nn.Identity() if modality.network in _SEQUENCES else TokenAdapter(width)


def pooled(modality: Modality, encoder: nn.Module) -> nn.Module:
    """One vector for a sample, as methods without tokens need it."""
    wrap = {
        "resnet18": GlobalPool,
        "clip_text": pretrained.PieceMean,
        **dict.fromkeys(("gru", "clip_image", "tokens"), StepMean),
    }.get(modality.network)
    return wrap(encoder) if wrap else encoder
