"""One process with what chapters import, which forks a kernel for each line that it reads.

A line holds a kernel's folder and arguments, the answer is its process id. The process runs until
its input ends, and a kernel no longer than that.
"""

import gc
import json
import os
import signal
import sys
from functools import cache
from importlib import import_module
from pkgutil import walk_packages

from PIL import Image

import mmlib

# Optimisers import the compiler, which takes longest.
SHARED = (
    "matplotlib.pyplot", "pandas.io.formats.style", "scipy.stats", "sklearn.linear_model",
    "torch._dynamo", "torchvision",
)  # fmt: skip


def drawn(figure, path):
    """In place of saving a figure, which nobody looks at: drawn once, and without its pixels."""
    figure.draw_without_rendering()
    Image.new("L", (2, 2)).save(path)
    return 1


if __name__ == "__main__":
    gc.disable()  # until a kernel starts: collections here would find nothing
    library = (module.name for module in walk_packages(mmlib.__path__, "mmlib."))
    for name in (*SHARED, *library):  # of the library most chapters import most
        if not name.endswith("__main__"):
            import_module(name)
    from ipykernel.kernelapp import IPKernelApp

    from mmlib import plots, records

    plots.save = drawn
    records.load = cache(records.load)
    records.load()  # which every page reads
    gc.freeze()  # a kernel's collections would visit, and so copy, all of these objects

    signal.signal(signal.SIGCHLD, lambda *_: os.waitpid(-1, os.WNOHANG))
    for line in sys.stdin:
        folder, arguments = json.loads(line)
        if pid := os.fork():
            print(pid, flush=True)
            continue
        gc.enable()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        os.chdir(folder)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(2, 1)  # what a kernel prints is no answer
        IPKernelApp.launch_instance(arguments, parent_handle=os.getppid())
        os._exit(0)  # tearing down modules takes seconds
