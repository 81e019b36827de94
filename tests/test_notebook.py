"""A page shows a function as the library has it, without what its docstring says."""

from pathlib import Path

import pandas as pd
import pytest

from mmlib import notebook
from mmlib.presets import base


class Documented:
    """Not to be shown."""

    def twice(self, x):
        """Nor this.

        Returns: a number.
        """
        # A comment stays.
        return 2 * x


class Nested:
    def outer(self, x):
        def inner():
            """Not to be shown."""
            return x

        return inner

    def later(self):
        """Nor this, which comes after it and lies less deep."""
        return 3


@pytest.fixture
def shown(monkeypatch):
    pages = []
    monkeypatch.setattr(notebook, "display", lambda page: pages.append(page.data))
    return pages


def test_the_source_of_a_class_is_shown_without_its_docstrings(shown):
    notebook.show_source(Documented)
    assert shown == [
        f"`{__name__}.Documented`\n```python\n"
        "class Documented:\n\n    def twice(self, x):\n"
        "        # A comment stays.\n        return 2 * x\n```"
    ]


def test_docstrings_are_left_out_at_any_depth(shown):
    notebook.show_source(Nested)
    assert shown[0].split("```python\n")[1].splitlines() == [
        "class Nested:",
        "    def outer(self, x):",
        "        def inner():",
        "            return x",
        "",
        "        return inner",
        "",
        "    def later(self):",
        "        return 3",
        "```",
    ]


def test_a_method_is_shown_at_the_margin_and_as_it_is_in_its_file(shown):
    notebook.show_source(Documented.twice)
    (page,) = shown
    assert page.splitlines()[0] == f"`{__name__}.Documented.twice`"
    assert page.splitlines()[2] == "def twice(self, x):"
    notebook.show_source(base.resolve)
    code = shown[1].split("```python\n")[1].removesuffix("\n```").splitlines()
    own = Path(base.__file__).read_text().splitlines()
    assert len(code) > 5
    assert set(code) <= set(own)


def test_folded_tables_are_whole_and_closed_under_their_title(shown):
    tables = [pd.DataFrame({"a": [value]}).style.set_caption("Of <b>") for value in (17, 23)]
    notebook.folded("All & more", *tables)
    (page,) = shown
    assert page.startswith("<details><summary>All &amp; more</summary>")
    assert page.rstrip().endswith("</details>")
    assert [page.count(text) for text in ("<table", ">17<", ">23<", "Of <b>")] == [2, 1, 1, 2]
