"""One process with what chapters import, which forks a kernel for each line that it reads.

A line holds a kernel's folder and arguments, the answer is its process id. The process runs until
its input ends, and a kernel no longer than that.
"""

import json
import os
import signal
import sys
from importlib import import_module

# Optimisers import the compiler, which takes longest. The library is what a chapter starts with.
SHARED = (
    "matplotlib.pyplot", "pandas", "sklearn.linear_model", "torch._dynamo", "torchvision",
    "mmlib.plots", "mmlib.records", "mmlib.verdicts.tables",
)  # fmt: skip

if __name__ == "__main__":
    for name in SHARED:
        import_module(name)
    from ipykernel.kernelapp import IPKernelApp

    from mmlib import plots

    plots.DPI = 50  # nobody looks at these figures

    signal.signal(signal.SIGCHLD, lambda *_: os.waitpid(-1, os.WNOHANG))
    for line in sys.stdin:
        folder, arguments = json.loads(line)
        if pid := os.fork():
            print(pid, flush=True)
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        os.chdir(folder)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(2, 1)  # what a kernel prints is no answer
        IPKernelApp.launch_instance(arguments, parent_handle=os.getppid())
        os._exit(0)  # tearing down modules takes seconds
