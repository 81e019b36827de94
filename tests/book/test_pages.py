"""The built book in headless Chromium: `make book`, then `make pages`."""

import functools
import http.server
import re
import threading
from contextlib import contextmanager

import pytest
import yaml

from mmlib.presets.base import CHAPTERS
from mmlib.records import ROOT

HTML = ROOT / "build" / "book" / "_build" / "html"
WORDS = {  # a word of each chapter that the search must find
    "contrastive": "InfoNCE",
    "information": "synergy",
    "comm": "Trifeature",
    "comm_audit": "bootstrap",
    "label_dp": "randomized",
    "image_table": "digits",
    "unlearnable": "trigger",
    "unlearnable_audit": "survives",
    "comm_ablation": "ablation",
    "comm_real": "MultiBench",
    "label_dp_audit": "canaries",
    "unlearnable_sweeps": "woven",
    "private_information": "redrawn",
    "unlearnable_comm": "shortcut",
    "fused_leaks": "outsiders",
}


def toc_pages():
    toc = yaml.safe_load((ROOT / "book/_toc.yml").read_text())
    return [toc["root"], *(c["file"] for part in toc["parts"] for c in part["chapters"])]


@pytest.fixture(scope="module")
def site(request):
    """The address at which the built book is served on this machine."""
    if not request.config.getoption("--pages"):
        pytest.skip("needs the built book: make pages")
    assert (HTML / "index.html").is_file(), "the book is not built: make book"

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Quiet, directory=HTML)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextmanager
def watched(browser, site, **terms):
    """An empty tab; fails at the end on a console error or a request that leaves the machine.

    It waits for two minutes: on a busy machine a click has taken half one.
    """
    complaints = []
    with browser.new_context(**terms) as context:
        context.set_default_timeout(120_000)
        tab = context.new_page()
        tab.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("requestfailed", lambda r: complaints.append(f"failed: {r.url}"))
        known = (site, "data:", "blob:")
        tab.on("request", lambda r: r.url.startswith(known) or complaints.append(r.url))
        yield tab
    assert complaints == []


@pytest.fixture(scope="module")
def page(request, browser, site):
    """A page of the book, opened on a phone; once for all tests of it, which takes seconds."""
    with watched(browser, site, viewport={"width": 390, "height": 844}) as tab:
        tab.goto(f"{site}/{request.param}.html", wait_until="networkidle")
        yield tab


EVERY = pytest.mark.parametrize("page", toc_pages(), indirect=True)
EVERY_CHAPTER = pytest.mark.parametrize(
    "page", [f"notebooks/{file}" for file in CHAPTERS.values()], indirect=True
)


@EVERY
def test_a_page_fits_a_phone(page):
    page.set_viewport_size({"width": 390, "height": 844})
    overflow = page.evaluate(
        "document.scrollingElement.scrollWidth - document.scrollingElement.clientWidth"
    )
    assert overflow <= 1


@EVERY
def test_a_page_renders_whole(page):
    page.set_viewport_size({"width": 1280, "height": 900})
    assert page.locator("article h1").count() == 1
    for image in page.locator("main img, article img").all():
        assert (image.get_attribute("alt") or "").strip(), image.get_attribute("src")
        assert image.evaluate("i => i.complete && i.naturalWidth > 0"), image.get_attribute("src")
    formulas = page.locator(".math").count()
    if formulas:
        page.evaluate("MathJax.startup.promise")
        assert page.locator(".math mjx-container").count() >= formulas
        assert page.locator("mjx-merror").count() == 0
    text = page.locator("main").first.inner_text()
    assert "Traceback (most recent call last)" not in text
    role = re.search(r"\{(doc|eq|ref|numref|cite(:\w+)?|footcite(:\w+)?)\}", text)
    assert not role, text[role.start() :][:60]  # did not render


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_search_finds_a_word_of_each_chapter(chapter, browser, site):
    with watched(browser, site) as tab:
        tab.goto(f"{site}/search.html?q={WORDS[chapter]}", wait_until="networkidle")
        tab.wait_for_selector("#search-results li a")
        found = [a.get_attribute("href") for a in tab.locator("#search-results li a").all()]
    assert any(CHAPTERS[chapter] in href for href in found)


@EVERY_CHAPTER
def test_figures_are_legible_in_dark_mode(page):
    page.emulate_media(color_scheme="dark")
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    image = page.locator("main .cell_output img").first
    # Figures are drawn in dark ink: they must bring their own white ground along.
    corner = image.evaluate(
        """i => { const c = document.createElement('canvas'); c.width = c.height = 1;
        const x = c.getContext('2d'); x.drawImage(i, 0, 0, 1, 1, 0, 0, 1, 1);
        return Array.from(x.getImageData(0, 0, 1, 1).data); }"""
    )
    assert corner == [255, 255, 255, 255]


@EVERY_CHAPTER
def test_launch_and_download_buttons_point_at_files_that_exist(page):
    links = [a.get_attribute("href") for a in page.locator("header a, .article-header-buttons a").all()]  # fmt: skip # noqa: E501
    notebooks = [link for link in links if link and link.split("#")[0].endswith(".ipynb")]
    assert notebooks, links
    for link in notebooks:
        inside = re.search(r"(notebooks/[\w.]+\.ipynb|[\w.]+\.ipynb)$", link.split("#")[0])
        assert (ROOT / "notebooks" / inside[1].split("/")[-1]).is_file(), link
