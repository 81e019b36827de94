"""What only a notebook's page needs."""

from __future__ import annotations

import ast
import inspect
import textwrap
from html import escape
from typing import TYPE_CHECKING, Any

from IPython.display import HTML, Markdown, display

if TYPE_CHECKING:
    from pandas.io.formats.style import Styler


def show_source(obj: Any) -> None:
    """Show a function's or class's own source, without its docstring, in a notebook."""
    source = textwrap.dedent(inspect.getsource(obj))
    lines = source.splitlines()
    defined = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node)
    ]
    for node in sorted(defined, key=lambda node: -node.lineno):  # the last lines first
        del lines[node.body[0].lineno - 1 : node.body[0].end_lineno]
    name = f"{obj.__module__}.{obj.__qualname__}"
    code = "\n".join(lines).replace("\n\n\n", "\n\n").strip()
    display(Markdown(f"`{name}`\n```python\n{code}\n```"))


def folded(title: str, *tables: Styler) -> None:
    """Show tables under a title that opens on a click, for what few readers look up."""
    shown = "\n".join(table.to_html() for table in tables)
    display(HTML(f"<details><summary>{escape(title)}</summary>\n{shown}\n</details>"))
