"""One process with what Snakemake imports, which forks a call of it for each line that it reads.

A line holds a call's folder, environment, file for what it prints and arguments, and the answer is
its process id; or such an id, and the answer comes when that call has ended, with its status.
"""

import gc
import json
import os
import sys
from importlib import import_module

if __name__ == "__main__":
    cli = import_module("snakemake.cli")
    import_module("smart_open")  # which reading a Snakefile imports
    cli.get_argument_parser()  # imports the plugins
    gc.freeze()  # a call's collections would visit, and so copy, all of these objects
    for line in sys.stdin:
        asked = json.loads(line)
        if isinstance(asked, int):
            print(os.waitpid(asked, 0)[1], flush=True)
            continue
        if pid := os.fork():
            print(pid, flush=True)
            continue
        folder, environment, output, arguments = asked
        os.setsid()
        os.chdir(folder)
        os.environ.update(environment)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 1)
        os.dup2(1, 2)
        sys.argv[1:] = arguments
        cli.main(arguments)
