"""The mechanisms, a file each: the function that draws, and the terms that say what it costs.

* ``randomized_response``: of the label; its image stays as it is;
* ``double_rr``: of label and image, by a coin each; ``swap_images`` is the image's half;
* ``coupled_rr``: of label and image, by one coin;
* ``redrawn_rr``: of the label, and of the class that an image is always drawn from;
* ``anchored``, ``noisy_query``: of the label, beside a public image that is near to a public anchor
  or to the own image's features plus noise;
* ``prior_rr``, ``two_stage_rr``, ``laplace``: of the label, better at the same epsilon.
"""
