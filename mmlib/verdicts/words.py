"""Metrics' names as a reader would say them."""

from __future__ import annotations

# Parts of metrics' names that do not speak for themselves. Methods have their titles here too: to
# import those would make every chapter's runs depend on every method.
_WORDS = {
    "alone_image": "image alone",
    "audit": "audited epsilon",
    "claim": "claimed",
    "comm": "CoMM",
    "comm_blip2": "CoMM on BLIP-2",
    "comm_matching": "CoMM + matching",
    "comm_three": "CoMM, three modalities",
    "comm_tuned": "CoMM fine-tuned, supervised",
    "comm_tuned_blip2": "CoMM on BLIP-2, fine-tuned, supervised",
    "cross": "Cross",
    "cross_self": "Cross+Self",
    "cross_self_fused": "Cross+Self, fused",
    "cross_three": "Cross, three modalities",
    "double_rr": "double RR",
    "factorcl": "FactorCL",
    "factorcl_sup": "FactorCL, supervised",
    "full_only": "L alone",
    "i2t": "image to text",
    "lemma2": "lemma 2",
    "lemma3": "lemma 3",
    "llava_next": "LLaVA-NeXT",
    "macro_f1": "macro F1",
    "masked_only": "L₁ + L₂ alone",
    "max_difference": "largest difference",
    "max_error": "largest error",
    "mem": "MEM",
    "mfas": "MFAS, supervised",
    "mimic": "MIMIC",
    "mosi": "MOSI",
    "mustard": "MUStARD",
    "noise": "noise made without words",
    "pretrained_blip2": "BLIP-2, pre-trained",
    "pretrained_clip": "CLIP, pre-trained",
    "pretrained_clip_image": "CLIP, pre-trained, image alone",
    "pretrained_clip_text": "CLIP, pre-trained, text alone",
    "random_tokens": "random words",
    "refnet": "ReFNet, supervised",
    "slip": "SLIP",
    "supcon": "SupCon",
    "synergy_auc": "synergy (area under ROC)",
    "t2i": "text to image",
    "urfunny": "UR-FUNNY",
    "visionandtouch_cp": "Vision&Touch, contact",
    "visionandtouch_ee": "Vision&Touch, end effector",
    "weighted_f1": "weighted F1",
}


def words(metric: str) -> str:
    """A metric's name as a reader would say it.

    >>> words("median_rank.i2t.mem"), words("synergy.cross_self")
    ('median rank, image to text, MEM', 'synergy, Cross+Self')
    """
    return ", ".join(_WORDS.get(part, part.replace("_", " ")) for part in metric.split("."))
