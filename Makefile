# What to type: `make lab` opens the laboratory, `make test` runs every check.
# Everything lands in .venv beside this file; nothing else on the machine is changed
# (except that `make test` as root on Debian or Ubuntu installs a Chromium if none is found).

PYTHON ?= python3
ARGS ?=
SCALE ?= small
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
	@echo 'make bench      the benchmarks, beside other programs too (within an hour; ARGS=--quick to try them in minutes)'
	@echo 'make reproduce  the papers in tests/reproduce: measure what is missing (at most 150 min), draw ours beside theirs'
	@echo '                ARGS=FOLDER for one; SCALE=paper for the full protocol (days, goes on where it was stopped);'
	@echo '                the trainings of the shipped models only by name: ARGS=si_base, atomlab_tiny, mlearn_si'
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
	@echo 'Compiling the kernels of the first model (half a minute, once) ...'
	@$(BIN)/atomlab kernels atomlab-tiny > /dev/null
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

# bench_* measure the library alone; against_* set it beside other programs and run where those are. A part that fails
# does not keep the others from being measured.
bench: install-test .venv-parity/.installed
	@failed=; for f in tests/benchmarks/bench_*.py tests/benchmarks/against_*.py; do echo "== $$f"; \
		case "$$f" in */against_*) python=.venv-parity/bin/python;; *) python=$(BIN)/python;; esac; \
		$$python "$$f" $(ARGS) || failed="$$failed $$f"; done; \
		$(BIN)/python tests/benchmarks/kernels_table.py; \
		test -z "$$failed" || { echo "failed:$$failed"; exit 1; }

# Rows that are there are kept; time and cores are shared among the folders. ARGS may also hold --minutes 30 --workers 1.
reproduce: install-test
	@$(BIN)/python tests/reproduce/all.py --scale $(SCALE) $(ARGS)

# Other packages pin versions that conflict with ours, so they never enter .venv.
parity: .venv-parity/.installed
	@.venv-parity/bin/python -m pytest -p no:cacheprovider tests/parity $(ARGS)

# The first three lines are what `make parity` needs. The others are programs that only `make bench` compares with:
# one that cannot be had is named, and its rows in the table say so.
PEERS := chgnet==0.4.2 torch_geometric symmetrix-xl==0.1.1 matscipy \
	gptff@git+https://github.com/atomly-materials-research-lab/GPTFF
PARITY_PIP := .venv-parity/bin/python -m pip install --disable-pip-version-check -q

.venv-parity/.installed: pyproject.toml constraints.txt
	@test -x .venv-parity/bin/python || $(PYTHON) -m venv .venv-parity
	@$(PARITY_PIP) -c constraints.txt torch
	@$(PARITY_PIP) torch==2.13.0 mace-torch==0.3.16 pytest pytest-timeout hypothesis
	@for p in $(PEERS); do .venv-parity/bin/python -c "import importlib.util as u, sys; sys.exit(not u.find_spec('$${p%%[=@]*}'))" \
		|| GIT_TERMINAL_PROMPT=0 $(PARITY_PIP) torch==2.13.0 $$p \
		|| echo "not installed, so nothing is compared with it: $$p"; done
	@$(PARITY_PIP) torch==2.13.0 -e .
	@touch $@

images:
	@mkdir -p notebooks/images
	@cp tests/e2e/screenshots/readme_*.png notebooks/images/

clean:
	rm -rf .venv .venv-parity build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis .test-parts tests/e2e/screenshots
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
