"""Unlearnable image-caption pairs, after MEM: how they are protected, and what a hacker undoes.

The owner's side, from switches to files::

    settings, protections    what is done to image and text; the protections that have a name
    pairs                    images with captions as ids: to publish, to measure, to choose by
    protect                  the procedure: rounds of the surrogate, each with a visit of all pairs
      alternation            a visit: noise and triggers so far, each improved against the other
        noise                  PGD on pixels, within a bound
        hotflip, trigger       the search for trigger words; where they stand in a caption
      resume                 the alternation in files, and from where it was cut short
      spelling               noise that needs no surrogate: a code of what captions say
    published                what is posted, in memory and on disk

The hacker's side, from files to scores::

    defence                  what is done to posts first, by name
      defence_text, defence_images
    hacker                   a model trained on posts; it must be no surrogate (fingerprint)
    course                   what it scores on the way, and where it stops
    scores                   how much of the protection is left, and on which scale
    detect, saliency         can posts be told from others? what does a model look at?
"""
