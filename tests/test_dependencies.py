"""The library's imports, those inside functions included, go one way: up book/inside.md's table."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TABLE = re.findall(r"^\| (`.*`) \|", (ROOT / "book" / "inside.md").read_text(), flags=re.MULTILINE)
ROOMS = re.findall(r"`(\w+)`", " ".join(TABLE))
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in (ROOT / "mmlib").rglob("*.py")
}


def imports(module):
    for node in ast.walk(ast.parse(FILES[module].read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}: a relative import"
            full = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in FILES else node.module for name in full]
        else:
            continue
        yield from (name for name in names if name in FILES)


def place(module):
    """Of a module's room in the table; what every room may use comes before all."""
    _, *inside = module.split(".")
    return -1 if not inside or inside[0].startswith("_") else ROOMS.index(inside[0])


def test_the_table_names_every_room_once():
    rooms = {name.split(".")[1] for name in FILES if "." in name}
    assert sorted(ROOMS) == sorted(room for room in rooms if not room.startswith("_"))


@pytest.mark.parametrize("module", FILES)
def test_a_room_imports_only_from_those_above_it(module):
    wrong = [name for name in imports(module) if place(name) > place(module)]
    assert not wrong, f"{module} imports {wrong}"


def test_no_module_imports_itself_by_way_of_others():
    TopologicalSorter({module: set(imports(module)) for module in FILES}).prepare()
