"""What the course, the notation and the commands in the prose promise, the chapters have."""

import json
import re
import shlex
from fnmatch import fnmatch

import nbformat
import pytest
import yaml

from mmlib.presets import grid
from mmlib.presets.base import CHAPTERS, resolve
from mmlib.records import RESULTS, ROOT

COURSE = (ROOT / "book" / "teaching" / "course.md").read_text()
CHAPTER = dict(enumerate(CHAPTERS, 1))  # number -> name
PROSE = {
    name: "\n".join(
        cell.source
        for cell in nbformat.read(ROOT / "notebooks" / f"{file}.ipynb", as_version=4).cells
        if cell.cell_type == "markdown"
    )
    for name, file in CHAPTERS.items()
}
PAGES = {path.stem: path.read_text() for path in (ROOT / "book").rglob("*.md")} | PROSE
GREEK = "alpha beta gamma delta Delta epsilon varepsilon theta lambda Pi pi rho sigma tau ell"


def table(head):
    """The cells of the course's table whose head begins so, row by row."""
    rows = COURSE.split(f"| {head}", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]


def test_sections_that_the_course_names_are_in_the_chapters():
    named = [(n, s) for n, cell in table("session | at the board") for s in cell.split("; ")]
    named = [(n, section.strip("*")) for n, section in named]
    named += re.findall(r"(\d+), \*([^*]+)\*", COURSE)
    named += [(n, s) for s, n in re.findall(r"\*([^*]+)\* of chapter\s(\d+)", COURSE)]
    assert len(named) > 30
    for number, section in named:
        headings = re.findall(r"^##+ (.+)$", PROSE[CHAPTER[int(number)]], re.MULTILINE)
        assert any(heading.startswith(section) for heading in headings), (number, section)


def test_a_course_has_the_sessions_that_its_own_stand_on():
    stands = {}
    for number, on, *_ in table("session | stands on"):
        needed = re.sub(r"\(.*\)", "", on.partition(";")[0])  # what comes later helps only
        stands[int(number)] = {int(n) for n in re.findall(r"\d+", needed)}
    for name, sessions in table("course | sessions"):
        first, *rest = (int(n) for n in re.findall(r"\d+", sessions))
        held = set(range(first, rest[0] + 1)) if " to " in sessions else {first, *rest}
        assert set().union(*(stands[n] for n in held)) <= held, name


def test_the_course_has_each_exercise_once():
    rows = table("session | stands on")
    assert [int(row[0]) for row in rows] == list(CHAPTER)
    for number, _, paper, computer in rows:
        there = re.findall(r"^\*\*(\d+)\.\*\*", PROSE[CHAPTER[int(number)]], re.MULTILINE)
        listed = re.findall(r"\d+", paper + "," + computer.partition(": ")[0])
        assert sorted(listed) == there, number
    for number, exercise in re.findall(r"(\d+), exercise (\d+)", COURSE):
        assert f"\n**{exercise}.** " in PROSE[CHAPTER[int(number)]], (number, exercise)


def test_a_lab_changes_a_parameter_that_there_is_and_names_numbers_that_there_are():
    rows = table("session | add")
    assert [int(row[0]) for row in rows] == list(CHAPTER)
    for number, command, *numbers in rows:
        chapter = CHAPTER[int(number)]
        changes = given(re.search("`(.+)`", command)[1])
        assert changes, number
        resolve(chapter, {"preset": "quick"} | changes)
        recorded = (RESULTS / chapter).glob("*/desk/*/record.json")
        metrics = {name for path in recorded for name in json.loads(path.read_text())["metrics"]}
        numbers = re.sub(r"\{eq\}`[^`]+`", "", " ".join(numbers))
        for pattern in re.findall(r"`([^`]+)`", numbers):
            assert any(fnmatch(name, pattern) for name in metrics), (number, pattern)


def test_projects_start_from_rows_of_the_grid_that_need_no_data_and_have_records():
    rows = re.findall(r"^: `(\w+)/([\w-]+)` with (.*(?:\n  .*)*)$", COURSE, re.MULTILINE)
    assert len(rows) > 5
    drawn = {"scenes", "digits", "triples"}
    for chapter, experiment, change in rows:
        asked = grid.rows()[chapter, experiment, "desk"].get("parameters", {})
        settings = resolve(chapter, {"preset": "desk"} | asked)
        assert getattr(settings, "data", "scenes") in drawn, experiment
        runs = list((RESULTS / chapter / experiment / "desk").glob("*/record.json"))
        seconds = [json.loads(run.read_text())["seconds"] for run in runs]
        assert 0 < min(seconds) < 1800, experiment  # as the page says; some cores had other work
        for word in re.findall(r"`([^`]+)`", change):
            name, _, value = word.partition(": ")
            assert name in type(settings).model_fields, (experiment, word)
            if value:
                resolve(chapter, {"preset": "desk"} | asked | {name: yaml.safe_load(value)})


def test_the_row_that_shows_how_a_project_runs_is_one():
    (row,) = yaml.safe_load(re.search(r"(?ms)^```yaml\n(.*?)^```", COURSE)[1])
    place = {"experiment": row["experiment"], "preset": row["preset"]}
    resolve(row["chapter"], place | row["parameters"])
    assert f"CHAPTER={row['chapter']} EXPERIMENT={row['experiment']}" in COURSE
    assert (row["chapter"], row["experiment"], row["preset"]) not in grid.rows()


def test_answers_to_other_numbers_can_be_computed(capsys):
    (code,) = re.findall(r"(?ms)^```python\n(import torch.*?)^```", COURSE)
    exec(code, {})  # ours
    assert len(capsys.readouterr().out.split("\n")) > code.count("print(")


def given(command):
    """The parameters of a papermill command."""
    words = shlex.split(command)
    found = {}
    for flag, name, *rest in zip(words, words[1:], [*words[2:], ""], strict=False):
        if flag == "-p":
            found[name] = yaml.safe_load(rest[0])
        if flag == "-y":
            found |= yaml.safe_load(name)
    return found


def test_papermill_commands_in_the_prose_can_be_given():
    commands = [
        command.replace("\\\n", " ")
        for text in PAGES.values()
        for command in re.findall(r"^\s*\$ (papermill (?:.*\\\n)*.*)$", text, re.MULTILINE)
    ]
    assert len(commands) > 6
    for command in commands:
        _, notebook, *_ = shlex.split(command)
        (chapter,) = (c for c, file in CHAPTERS.items() if notebook == f"notebooks/{file}.ipynb")
        assert "experiment" in given(command), command  # else it takes the place of the book's run
        resolve(chapter, {"preset": "quick"} | given(command))


def test_a_changed_parameter_in_an_exercise_comes_with_a_name_for_the_run():
    """Without one the run would take the place of the book's own."""
    for name, text in PROSE.items():
        for exercise in re.split(r"^\*\*\d+\.\*\* ", text, flags=re.MULTILINE)[1:]:
            for changes in re.findall(r"`(-[py] [^`]+)`", exercise.partition("{dropdown}")[0]):
                resolve(name, {"preset": "quick"} | given(changes))
                assert "experiment" in given(changes), (name, changes)


def test_rows_that_read_photos_or_articles_are_listed_with_their_set():
    heads = {
        name: re.search(rf"^{title}, (.+)$", PAGES["rerun"], re.MULTILINE)[1]
        for name, title in (("products", "Fashion products"), ("flickr8k", "Flickr8k"))
    }
    found = set()
    for (chapter, experiment, preset), row in grid.rows().items():
        settings = resolve(chapter, {"preset": preset} | row.get("parameters", {}))
        data = getattr(settings, "data", "")
        for name, head in heads.items():
            if data.startswith(name):
                found.add(name)
                named = {f"`{chapter}`", f"{experiment}`", f"`data: {data}`"}
                assert preset in head, (chapter, experiment)
                assert any(of in head for of in named), (chapter, experiment)
    assert found == set(heads)


def letters(formula):
    """Latin letters and Greek ones by name, without those of words and commands."""
    formula = re.sub(
        r"\\(?:text|mathrm|operatorname\*?|begin|end)\{[^{}]*\}|:label:.*", "", formula
    )
    found = re.findall(r"\\([A-Za-z]+)|([A-Za-z])", formula)
    return {one or name for name, one in found if one or name in GREEK.split()}


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_each_letter_of_a_chapter_is_in_the_notation(chapter):
    rows = [row.split("|")[1:3] for row in PAGES["notation"].splitlines() if row[:2] == "| "]
    known = letters(" ".join(re.findall(r"\$([^$]+)\$", "".join(first for first, _ in rows))))
    text = re.sub(r"(?ms)^`{3,}(?:python|console)\n.*?^`{3,}", "", PROSE[chapter])
    block = r"(?ms)^```\{math\}\n(.*?)^```|\$\$(.*?)\$\$"
    formulas = ["".join(found) for found in re.findall(block, text)]
    rest = re.sub(r"`[^`\n]*`", "", re.sub(block, "", text))
    formulas += re.findall(r"\$([^$]+)\$", rest)
    assert formulas
    assert letters(" ".join(formulas)) - known <= {"e"}  # e is the number where it is not a chance
