"""``python -m mmlib.records seal SCRATCH FINAL | keep FOLDER ... | verify FOLDER ...``"""

import sys
from pathlib import Path

from mmlib.records import keep, seal, verify


def main(arguments: list[str]) -> None:
    """Do what the module's first line says; ``SystemExit`` with it for anything else."""
    command, *folders = arguments or ["help"]
    paths = [Path(folder) for folder in folders]
    if command == "seal" and len(paths) == 2:
        seal(*paths)
    elif command in ("keep", "verify") and paths:
        for path in paths:
            print((keep if command == "keep" else verify)(path) or f"{path}: unchanged")
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (OSError, ValueError) as error:
        sys.exit(str(error))
