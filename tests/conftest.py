"""Options shared by all tests."""

import os

# Before matplotlib is imported: no window, wherever the tests run.
os.environ.setdefault("MPLBACKEND", "agg")


def pytest_addoption(parser):
    parser.addoption("--pages", action="store_true", help="look at the built book in a browser")
