"""Label differential privacy: mechanisms, their cost, releases, small worlds, audit, attacks.

Where to look:

* drawing: ``coins`` (where randomness comes from), ``neighbours`` and ``pools`` (an image of a
  class, near or any), ``mechanisms`` (randomized response, double RR), ``variants`` (repairs of
  double RR), ``priors`` (better labels at the same epsilon);
* cost: ``accounting`` (of a response; orders, delta, readings of an epsilon), ``bounds`` (where
  images come from a model or from near by), ``exact`` (laws of worlds small enough to write down);
* both in one object: ``terms`` and ``terms_variants`` say what is drawn and what that costs,
  ``calibration`` finds the noise for a cost, ``release`` draws once and keeps the account,
  ``conditions`` are the rows of chapter 5's comparison;
* what others make of it: ``learning`` and ``spending`` (models that know the noise), ``audit`` and
  ``attacks`` (what leaks after all).
"""
