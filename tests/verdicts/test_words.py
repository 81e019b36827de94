"""Metrics have one name for readers."""

from mmlib.methods import image_pairs
from mmlib.verdicts.words import words


def test_directions_are_told_in_words():
    assert words("median_rank.i2t.clean") == "median rank, image to text, clean"
    assert words("recall_10.t2i.mem") == "recall 10, text to image, MEM"


def test_methods_are_called_the_same_everywhere():
    for method, title in image_pairs.TITLES.items():
        assert words(method) == title
