"""Unlearnable image-caption pairs: image noise, text triggers and their alternation.

From what is added to pairs to what a hacker makes of them:

* ``settings``: the switches of a protection, and the protections that tables compare;
* ``noise``, ``spelling``, ``trigger``: noise by a gradient or by a code, words by HotFlip;
* ``alternation``, ``protect``, ``resume``: surrogate, words and noise in turn, also kept in files;
* ``published``: images and captions as they are posted, written and read;
* ``defence``, ``hacker``, ``course``: what is done to posts, training on them, and its scores;
* ``scores``, ``detect``, ``saliency``: what is left of a protection, who can see it, and what a
  trained model looks at;
* ``study``, ``trials``: the chapters' pairs and networks, and what one run protects and trains.
"""
