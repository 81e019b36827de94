"""Label differential privacy: what is drawn, what it costs, what is learned, what leaks after all.

From a mechanism to an attack on it:

* mechanism: ``mechanisms`` has a file for each, built on ``coins`` (where randomness comes from),
  ``pools`` and ``neighbours`` (an image of a class, any or near). ``terms`` is what their objects
  have in common: a draw and a cost;
* accountant: ``accounting`` (epsilon of randomized response; orders, delta), ``bounds`` (where
  images come from a model or from near by), ``exact`` (laws of worlds small enough to write down),
  ``calibration`` (noise from epsilon);
* release: a ``ledger`` holds private labels and keeps the account, a ``release`` is what others may
  see, ``conditions`` are the rows of chapter 5's comparison;
* learner: ``learning`` (labels whose noise is known), ``spending`` (one epsilon in four ways),
  ``groups`` (what labels tell of records that belong together);
* auditor: ``audit`` (many runs of a mechanism) and ``canaries`` (one run of whatever used the
  labels) bound epsilon from below;
* attack: ``attacks`` guess labels, ``advantage`` says whether epsilon allows that much.
"""
