"""Build the HTML: ``python workflow/book.py``.

Stages the prose and the notebooks that the quick runs executed in ``build/book``, writes the pages
that are made from records, and runs Jupyter Book with warnings as errors. Only files whose content
changed are written, so a second build is quick.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import glance
import yaml

from mmlib import evidence, plots, records
from mmlib.presets import grid
from mmlib.presets.base import CHAPTERS
from mmlib.records import RESULTS, ROOT, RUNS, verify
from mmlib.verdicts import claims, tables

STAGE = ROOT / "build" / "book"
HTML = STAGE / "_build" / "html"


def main() -> None:
    started = time.perf_counter()
    stage()
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", str(STAGE)]
    command += ["--toc", str(STAGE / "book" / "_toc.yml"), "--warningiserror", "--keep-going", "-q"]
    done = subprocess.run(command, check=False)
    if done.returncode:
        # Sphinx would not read the faulty pages again, and so pass the next time.
        shutil.rmtree(STAGE / "_build", ignore_errors=True)
        sys.exit(f"the book has warnings or errors (above); sources: {STAGE}")
    print(f"pages: {time.perf_counter() - started:.0f} s")
    print(f"open {HTML / 'index.html'}")


def stage() -> None:
    """Write everything the book is built from to ``build/book``."""
    wanted = {Path("_config.yml"): yaml.safe_dump(config(), allow_unicode=True)}
    for path in sorted((ROOT / "book").rglob("*")):
        if path.is_file():
            wanted[path.relative_to(ROOT)] = path.read_bytes()
    for chapter, name in CHAPTERS.items():
        wanted[Path("notebooks", f"{name}.ipynb")] = executed(chapter)
    loaded = records.load()
    wanted[Path("book/_scorecard.md")] = tables.scorecard(loaded)
    wanted[Path("book/_not_run.md")] = not_run(loaded)
    wanted[Path("book/_speed.md")] = speed()
    wanted[Path("book/_claims.md")] = claims.page(loaded)
    wanted[Path("book/_headlines.md")] = claims.headlines(loaded)
    drawn, alt = glance.figure(loaded)
    with TemporaryDirectory() as folder:
        plots.save(drawn, Path(folder, "glance.png"))
        wanted[Path("book/glance.png")] = Path(folder, "glance.png").read_bytes()
    wanted[Path("book/_glance.md")] = glance.page(alt, "glance.png")
    for path in STAGE.rglob("*"):
        inside = path.relative_to(STAGE)
        if path.is_file() and inside.parts[0] != "_build" and inside not in wanted:
            path.unlink()
    for inside, content in wanted.items():
        content = unbroken(content).encode() if isinstance(content, str) else content
        path = STAGE / inside
        if not path.is_file() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def unbroken(text: str) -> str:
    """The text with each "2.6 ± 0.9" and "ε = 5" kept on one line."""
    return re.sub(
        r"(?<=\d) ± (?=\d)|(?<=[ελ]) = (?=[\d∞])",
        lambda found: found[0].replace(" ", "\u00a0"),
        text,
    )


def not_run(loaded: list[dict]) -> str:
    """The runs of the grid at desk and paper that no record is of, as Markdown tables.

    Records made with other settings than their row has by now are counted apart. Settings that the
    chapter has no more, which may have got another name, tell nothing.
    """
    parts = []
    for preset in ("desk", "paper"):
        lines = ["| chapter | experiment | recorded | command |", "| - | - | - | - |"]
        for (chapter, experiment, size), row in grid.rows().items():
            if size != preset:
                continue
            runs = evidence.one_a_seed(chapter, experiment, preset, loaded)
            changed = [
                {name for name, (_, now) in records.differing(run).items() if now is not None}
                for run in runs
            ]
            today = sum(not names for names in changed)
            if today < len(row["seeds"]):
                told = f"{len(runs)} of {len(row['seeds'])} seeds"
                if today < len(runs):
                    names = ", ".join(sorted(set().union(*changed)))
                    told += f", {today} of them with today's settings (other {names})"
                lines.append(
                    f"| {{doc}}`/notebooks/{CHAPTERS[chapter]}` | {experiment} | {told} | "
                    f"`make {preset} CHAPTER={chapter} EXPERIMENT={experiment}` |"
                )
        parts.append(f"## At `{preset}`\n\n" + ("\n".join(lines) if lines[2:] else "All have run."))
    return "\n\n".join(parts) + "\n"


def speed(folder: Path = RESULTS / "speed") -> str:
    """What the benchmarks measured and kept, as Markdown: a table each."""
    parts = []
    kept = {
        path: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))
    }
    scripts = {path: told["script"].split()[0] for path, told in kept.items()}
    for path, told in kept.items():
        source = (ROOT / "benchmarks" / scripts[path]).read_text(encoding="utf-8")
        title = ast.get_docstring(ast.parse(source)).splitlines()[0].rstrip(".")
        if list(scripts.values()).count(scripts[path]) > 1:  # comm_desk.json is of comm.py
            own = path.stem.removeprefix(scripts[path].removesuffix(".py")).lstrip("_")
            title += f" ({own})" if own else ""
        lines = ["| what | measured | goal |", "| - | - | - |"]
        for row in told["rows"]:
            met = f"{row['goal']}: {'met' if row['met'] else '**missed**'}" if row["goal"] else "–"
            lines.append(f"| {row['what']} | {row['found']} | {met} |")
        where = f"{told['device']}, torch {told['torch']}, Python {told['python']}"
        parts.append(
            f"## {title}\n\n{told['how'][0].upper()}{told['how'][1:]}.\n\n"
            + "\n".join(lines)
            + "\n\n"
            f"`python benchmarks/{told['script']}`, {where}, {told['date']}, commit "
            f"{told['commit'][:9]}."
        )
    return "\n\n".join(parts) + "\n"


def config() -> dict:
    """The book's configuration, with repository and launch buttons where an address is known."""
    settings = yaml.safe_load((ROOT / "_config.yml").read_text())
    if repository := _repository():
        settings["repository"] = {"url": repository, "branch": "main", "path_to_book": ""}
        settings["html"]["use_repository_button"] = True
        settings["launch_buttons"] = {"colab_url": "https://colab.research.google.com"}
    return settings


def executed(chapter: str) -> str:
    """The chapter's notebook as its quick run executed it, ready for the page."""
    folder = RUNS / chapter / "overview" / "quick" / "seed-0"
    if not (folder / "record.json").is_file() or not (folder / "notebook.ipynb").is_file():
        sys.exit(f"chapter {chapter!r} has not run at quick in the workflow: run `make book`")
    verify(folder)
    notebook = json.loads((folder / "notebook.ipynb").read_text())
    notebook["metadata"].pop("papermill", None)
    cells = []
    for cell in notebook["cells"]:
        cell["metadata"].pop("papermill", None)
        if "injected-parameters" in cell["metadata"].get("tags", []):
            continue  # paths and settings of this very run, no reading
        cells += _one_figure_each(cell)
    notebook["cells"] = cells
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True)


def _one_figure_each(cell: dict) -> list[dict]:
    """The cell, its figures' alternative texts where MyST-NB looks for them: in cell metadata.

    There is one text for a cell, so what follows a figure goes to a further one that shows no code.
    """
    cells, outputs = [cell], cell.get("outputs", [])
    for place, output in enumerate(outputs):
        if "image/png" not in output.get("data", {}):
            continue
        alt = output["metadata"].get("image/png", {}).get("alt")
        if not alt:
            sys.exit(f"a figure has no alt text (use run.figure):\n{''.join(cell['source'])}")
        cell["metadata"].setdefault("mystnb", {})["image"] = {"alt": alt}
        if outputs[place + 1 :]:
            cell["outputs"] = outputs[: place + 1]
            # MyST-NB skips a cell without source, outputs and all; the tag hides this one's.
            rest = {**cell, "source": ["# continued"], "outputs": outputs[place + 1 :]}
            rest["metadata"] = {"tags": ["remove-input"]}
            rest["id"] = f"{cell.get('id', 'cell')}-{place + 1}"
            cells += _one_figure_each(rest)
        break
    return cells


def _repository() -> str | None:
    """The public address of this checkout on GitHub, if it has one."""
    if name := os.environ.get("GITHUB_REPOSITORY"):
        return f"https://github.com/{name}"
    if shutil.which("git") is None:
        return None
    ask = ["git", "-C", str(ROOT), "remote", "get-url", "origin"]
    remote = subprocess.run(ask, capture_output=True, text=True, check=False).stdout.strip()
    found = re.fullmatch(r"(?:https://|git@)github\.com[:/](.+?)(?:\.git)?", remote)
    return f"https://github.com/{found[1]}" if found else None


if __name__ == "__main__":
    main()
