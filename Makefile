# What to type: `make lab` opens the laboratory, `make test` runs every check.
# Everything lands in .venv beside this file; nothing else on the machine is changed
# (except that `make test` as root on Debian or Ubuntu installs a Chromium if none is found).

PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check -q
NEEDS := pyproject.toml constraints.txt binder/overrides.json

.DEFAULT_GOAL := help
.PHONY: help install install-test lab browser lint test bench reproduce parity images clean

help:
	@echo 'make lab        install if needed, open JupyterLab on notebooks/00_start.ipynb'
	@echo 'make install    .venv with the library and the Lab'
	@echo 'make test       the same with the test tools and a browser, then every check'
	@echo 'make lint       ruff and mypy only'
	@echo 'make bench      the benchmarks in tests/benchmarks (minutes)'
	@echo 'make reproduce  the numbers of the papers in tests/reproduce (hours; ARGS=FOLDER for one)'
	@echo 'make parity     comparison with other packages, in an environment of its own'
	@echo 'make images     copy the screenshots of the last test run into notebooks/images'
	@echo 'make clean      remove environments and caches (never runs or data)'

install: $(VENV)/.installed

# torch goes first and alone: its wheel is the large one, and if the pinned version cannot be
# had the message is about torch and nothing else.
$(VENV)/.installed: $(NEEDS)
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else "AtomLab needs Python 3.11 or newer, this is %d.%d; try: make PYTHON=python3.12 install" % v[:2])'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo 'Installing into $(VENV) (the first time takes minutes) ...'
	@$(PIP) -c constraints.txt torch
	@$(PIP) -c constraints.txt -e '.[lab]'
	@mkdir -p $(VENV)/etc/jupyter/labconfig
	@cp binder/overrides.json $(VENV)/etc/jupyter/labconfig/default_setting_overrides.json
	@touch $@

install-test: $(VENV)/.installed-test

$(VENV)/.installed-test: $(VENV)/.installed
	@$(PIP) -c constraints.txt -e '.[test]'
	@touch $@

lab: install
	@$(BIN)/atomlab lab -- $(ARGS)

browser: install-test
	@$(BIN)/python tests/e2e/chromium.py --install

lint: install-test
	@$(BIN)/python tests/parts.py lint

# One program runs the parts and times them, `install` among them; $(PYTHON) because .venv may
# not be there yet.
test:
	@$(PYTHON) tests/parts.py all $(ARGS)

bench: install-test
	@set -e; for f in tests/benchmarks/bench_*.py; do test -e "$$f" || continue; echo "== $$f"; $(BIN)/python "$$f" $(ARGS); done

reproduce: install-test
	@set -e; for d in tests/reproduce/$(or $(ARGS),*)/; do test -e "$${d}run.py" || continue; echo "== $$d"; $(BIN)/python "$${d}run.py"; done

# Other packages pin versions that conflict with ours, so they never enter .venv.
parity: .venv-parity/.installed
	@.venv-parity/bin/python -m pytest -p no:cacheprovider tests/parity $(ARGS)

.venv-parity/.installed: pyproject.toml constraints.txt
	@test -x .venv-parity/bin/python || $(PYTHON) -m venv .venv-parity
	@.venv-parity/bin/python -m pip install -q -c constraints.txt torch
	@.venv-parity/bin/python -m pip install -q torch==2.13.0 mace-torch==0.3.16 torch_geometric pytest pytest-timeout hypothesis
	@.venv-parity/bin/python -m pip install -q torch==2.13.0 -e .
	@touch $@

images:
	@mkdir -p notebooks/images
	@cp tests/e2e/screenshots/readme_*.png notebooks/images/

clean:
	rm -rf .venv .venv-parity build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis .test-parts tests/e2e/screenshots
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
