# The environment is made in .venv from the exact pins. To use one of your own: make book PY=python
PYTHON ?= python3
PY ?= .venv/bin/python
CHAPTER ?=
EXPERIMENT ?=
SNAKEMAKE = $(PY) -m snakemake --snakefile workflow/Snakefile --profile workflow/profiles/local
ASKED = $(CHAPTER:%=chapter=%) $(EXPERIMENT:%=experiment=%)
CONFIG = $(if $(strip $(ASKED)),--config $(ASKED))

ifeq ($(PY),.venv/bin/python)
READY = .venv/.ready
endif

.PHONY: book test pages smoke quick desk paper environment lock clean

book: environment  ## the book: every chapter at quick, then the HTML
	@start=$$(date +%s); $(SNAKEMAKE) quick && echo "chapters: $$(($$(date +%s) - start)) s"
	@$(PY) workflow/book.py

test: environment  ## style and tests
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m pytest -n logical --maxprocesses 8 --dist worksteal

pages: environment  ## look at the built book in headless Chromium
	$(PY) -m pytest tests/book/test_pages.py --pages

smoke quick desk paper: environment  ## run the chapters at that preset, or CHAPTER=... EXPERIMENT=...
	$(SNAKEMAKE) $@ $(CONFIG)

environment: $(READY)

.venv/.ready: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; (3, 11) <= sys.version_info < (3, 14) or sys.exit("the pins are for Python 3.11 to 3.13, this is " + sys.version.split()[0] + "; to choose: make PYTHON=python3.12")'
	@echo "environment: installing into .venv (some minutes, mostly torch)"
	@start=$$(date +%s); $(PYTHON) -m venv .venv \
	&& $(PY) -m pip install --disable-pip-version-check -q -r requirements.txt \
	&& $(PY) -m pip install --disable-pip-version-check -q --no-deps -e . \
	&& touch $@ && echo "environment: $$(($$(date +%s) - start)) s"

lock:  ## new exact pins from pyproject.toml, with uv; the file's first two lines say how
	head -2 requirements.txt > requirements.head
	sed -n '2s/^# *//p' requirements.head | sh > /dev/null
	cat requirements.head requirements.txt > requirements.new && mv requirements.new requirements.txt
	rm requirements.head

clean:  ## everything that was built; not the environment
	rm -rf build .snakemake .pytest_cache .ruff_cache
