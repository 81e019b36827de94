"""Defences are checked, and do what their titles say."""

import pytest

from mmlib.augment.image import Flip, GaussianBlur, Grayscale, ResizedCrop
from mmlib.mem.defence import Defence, named


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"drop_first": -1}, "drop_first is -1"),
        ({"word_drop": 1.0}, "word_drop is 1.0"),
        ({"min_share": 2.0}, "min_share is 2.0"),
        ({"jpeg": 0}, "jpeg is 0"),
        ({"rounding": 0}, "rounding is 0"),
        ({"adversarial": 128}, "adversarial is 128"),
        ({"clean_share": 1.0}, "clean_share is 1.0"),
    ],
)
def test_defences_are_checked(change, message):
    with pytest.raises(ValueError, match=message):
        Defence(**change)


def test_defences_do_what_their_titles_say():
    crops = (ResizedCrop(48, scale=(0.6, 1.0)), GaussianBlur(5, sigma=(0.1, 1.0)))
    assert dict(named(words=4, image_size=48, epsilon=5).values()) == {
        "drop the first 4 words": Defence(drop_first=4),
        "drop 3 words in 10": Defence(word_drop=0.3),
        "words rarer than 1 % unknown": Defence(min_share=0.01),
        "drop what captions share": Defence(drop_shared=True),
        "swap captions of a photo": Defence(swap_captions=True),
        "crop and blur images": Defence(views=crops),
        "JPEG of quality 75": Defence(jpeg=75),
        "half of the images grey": Defence(views=(Grayscale(p=0.5),)),
        "mirror half of the images": Defence(views=(Flip(p=0.5),)),
        "round to multiples of 4 levels": Defence(rounding=4),
        "take off spelled noise": Defence(unspelled=5),
        "train on attacked images": Defence(adversarial=5),
        "mix in known clean pairs": Defence(clean_share=0.25),
        "drop the first 4, crop and blur": Defence(drop_first=4, views=crops),
        "drop the first 4, take off noise": Defence(drop_first=4, unspelled=5),
        "first words, 1 in 10, JPEG, crop": Defence(
            drop_first=4, word_drop=0.1, jpeg=75, views=crops
        ),
    }
