"""The three lists of versions agree, and importing the library is cheap."""

import re
import subprocess
import sys
import tomllib

import yaml
from packaging.requirements import Requirement

from mmlib.records import ROOT


def pins(text: str) -> dict[str, str]:
    return dict(re.findall(r"^([A-Za-z0-9_.-]+)==([^\s;]+)", text, flags=re.MULTILINE))


def direct() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    return [Requirement(r) for extra in [project["dependencies"], *extras] for r in extra]


def test_conda_environment_has_the_pins_of_requirements_txt():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    (pip,) = (d["pip"] for d in environment["dependencies"] if isinstance(d, dict))
    named = pins("\n".join(pip))
    locked = pins((ROOT / "requirements.txt").read_text())
    assert named == {name: locked[name] for name in named}
    assert set(named) == {requirement.name for requirement in direct()}
    assert "--constraint requirements.txt" in pip  # holds what is not named to the same pins


def test_pins_satisfy_the_ranges_of_the_package():
    locked = pins((ROOT / "requirements.txt").read_text())
    for requirement in direct():
        assert requirement.specifier.contains(locked[requirement.name]), requirement


def test_every_line_of_requirements_is_an_exact_pin():
    for line in (ROOT / "requirements.txt").read_text().splitlines():
        assert line.startswith("#") or re.match(r"[A-Za-z0-9_.-]+==[^\s;]+( ;|$)", line), line


def test_importing_mmlib_loads_nothing_heavy():
    code = "import sys, mmlib; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    heavy = {"torch", "numpy", "pandas", "matplotlib", "sklearn", "scipy"}
    assert not heavy & set(loaded.stdout.split())
