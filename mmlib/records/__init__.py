"""One run, one folder, one record.

``start`` checks the parameters and opens a run; the run collects metrics, curves and figures;
``finish`` writes them, and ``record.json`` last and atomically: a folder without it is an
unfinished run and nothing reads it. The workflow then runs ``seal``, which adds the executed
notebook and publishes the whole folder by one rename.

A run that is cut short goes on from the last part that it finished: what ``once`` made lies beside
its folder until the record is written. Finished runs land in ``build/runs``. ``keep`` copies one to
``results``, where the records lie that are committed and that the book shows. Its notebook shows
there the figures that lie beside it, without those of other runs' records.
"""

from mmlib.records.folder import RESULTS, ROOT, RUNS
from mmlib.records.kept import differing, keep, load, seal, verify
from mmlib.records.run import Run, git_state, start

__all__ = [
    "RESULTS", "ROOT", "RUNS", "Run", "differing", "git_state", "keep", "load", "seal", "start",
    "verify",
]  # fmt: skip
