"""Options and fixtures shared by all tests."""

import gc
import os
import shutil
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

CHAPTERS = Path(__file__).with_name("notebooks")

# Before matplotlib is imported: no window, wherever the tests run.
os.environ.setdefault("MPLBACKEND", "agg")
# Before torch is: where tests run side by side, each has one core, and what it starts as well.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

gc.disable()  # until all is imported, which leaves nothing to collect and would be visited often


def pytest_addoption(parser):
    parser.addoption("--pages", action="store_true", help="look at the built book in a browser")


def pytest_collection_modifyitems(items):
    """Side by side, chapters run first: they take longest, and no worker is to end with one."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: CHAPTERS not in item.path.parents)


def pytest_collection_finish():
    gc.enable()


# Of a module: while playwright is open, its event loop keeps others from starting theirs.
@pytest.fixture(scope="module")
def browser(request):
    """Headless Chromium; where there is none a test skips, but fails if pages were asked for."""
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    if not executable:
        absent = pytest.fail if request.config.getoption("--pages") else pytest.skip
        absent("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    flags = ["--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    if os.name == "posix" and os.getuid() == 0:
        flags.append("--no-sandbox")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=flags)
        yield chromium
        chromium.close()


@pytest.fixture
def compiling_by():
    """A ``with`` block in which a function given to it compiles for CPUs, too.

    Nothing that was compiled outside of it is found in it, nor the other way round.
    """
    import torch

    from mmlib import device

    @contextmanager
    def block(compiler):
        kept = device._by_compiler, device._compiler_works
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(device, "COMPILING", ("cpu",))
            patch.setattr(torch, "compile", compiler)
            for results in kept:
                results.cache_clear()
            yield
        for results in kept:
            results.cache_clear()

    return block


@pytest.fixture
def compiling(compiling_by):
    """A ``with`` block in which what is compiled for a GPU is traced on the CPU.

    In one piece, or it fails; no kernels are made of it, which would take a compiler and minutes.
    """
    import torch

    return compiling_by(partial(torch.compile, backend="aot_eager", fullgraph=True))
