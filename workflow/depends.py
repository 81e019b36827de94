"""Which files of the library a notebook depends on, read from its imports.

    python workflow/depends.py notebooks/03_comm.ipynb

The imports of ``mmlib`` in the notebook's code cells are followed through the library's own files,
those inside functions included. Nothing is executed. An import by a computed name cannot be seen;
the library has one, a chapter's settings, which the Snakefile names as an entry.
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

PACKAGE = "mmlib"


def depends(notebook: Path, root: Path, *, entries: Iterable[str] = ()) -> list[Path]:
    """Files below ``root`` that hold what the notebook imports, and the modules ``entries``.

    With a module come the texts that are named after it, as ``data/products_articles.txt`` is.
    Paths are sorted and relative to ``root``. Raises ``SyntaxError`` naming the notebook if a code
    cell is no Python (lines of IPython, starting with % or !, are passed over).
    """
    seen: set[str] = set()
    waiting = [*imports(_code(root / notebook), str(notebook), package=""), *entries]
    while waiting:
        name = waiting.pop()
        path = _file(root, name)
        if name in seen or path is None:  # no file: an attribute of the package around it
            continue
        seen.add(name)
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        waiting += imports(path.read_text(encoding="utf-8"), str(path), package)
    modules = [_file(root, name) for name in seen]
    texts = [text for path in modules for text in path.parent.glob(f"{path.stem}_*.txt")]
    return sorted(path.relative_to(root) for path in modules + texts)


@cache
def imports(source: str, filename: str, package: str) -> tuple[str, ...]:
    """Dotted names that may be modules of the library, packages before what they contain."""
    names = []
    for node in ast.walk(ast.parse(source, filename)):
        if isinstance(node, ast.Import):
            named = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level]
            base = ".".join([*(above if node.level else []), *filter(None, [node.module])])
            named = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        names += [name for full in named for name in _with_parents(full)]
    return tuple(dict.fromkeys(name for name in names if name.split(".")[0] == PACKAGE))


def _with_parents(name: str) -> Iterator[str]:
    parts = name.split(".")
    return (".".join(parts[:end]) for end in range(1, len(parts) + 1))


def _file(root: Path, name: str) -> Path | None:
    base = root.joinpath(*name.split("."))
    candidates = (base / "__init__.py", base.with_name(f"{base.name}.py"))
    return next((path for path in candidates if path.is_file()), None)


def _code(notebook: Path) -> str:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    lines = [
        line
        for cell in cells
        if cell["cell_type"] == "code"
        for line in "".join(cell["source"]).splitlines()
    ]
    return "\n".join(line for line in lines if not line.lstrip().startswith(("%", "!")))


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        print(*depends(Path(argument), Path.cwd()), sep="\n")
