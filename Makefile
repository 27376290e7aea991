# Every target sets up what it needs, from nothing, in .venv.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help install demo test lint types unit bench bench-statistics bench-clean bench-scale endurance soak soak-serve dashboards docs notebook site screenshots servers servers-stored pythons clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 28

# pip older than 25.1 does not know dependency groups; the version of pip is pinned like all else.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "AcceptFirst needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Set PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[all]' --group dev
	touch $@

install: $(INSTALLED) ## set up .venv

demo: $(INSTALLED) ## run the incident, find the causes, tune them away, show before and after
	$(BIN)/acceptfirst demo

test: lint types unit ## lint, types and tests

lint: $(INSTALLED) ## ruff: rules, docstrings, format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED) ## mypy --strict over sources and tests
	$(BIN)/mypy

unit: $(INSTALLED) ## the tests
	$(BIN)/python -m pytest

pythons: ## the library's tests under each of Python 3.11 to 3.14 that is on PATH or among pyenv's
	.ci/pythons

bench: $(INSTALLED) ## speed, as ratios against named peers in the same run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --group bench
	$(BIN)/python benchmarks/bench_instrumentation.py --write docs/benchmarks.md
	$(BIN)/python benchmarks/bench_memory.py --write docs/benchmarks.md
	$(BIN)/python benchmarks/bench_collector.py --write docs/benchmarks-collector.md

bench-statistics: $(INSTALLED) ## whether the statistics keep their word, on known truth (seeded, five minutes)
	$(BIN)/python benchmarks/bench_statistics.py --write docs/statistics.md

bench-clean: $(INSTALLED) ## how often the classifier accuses the innocent, write docs/benchmarks-analysis.md
	$(BIN)/python benchmarks/bench_clean.py --write docs/benchmarks-analysis.md

bench-scale: $(INSTALLED) ## a hundred million transitions: panels, lists, identities, analysis, write docs/benchmarks-scale.md
	$(BIN)/python benchmarks/bench_scale.py --write docs/benchmarks-scale.md

soak: $(INSTALLED) ## ten thousand idle connections for ten minutes, write docs/benchmarks-soak.md
	$(BIN)/python benchmarks/soak_idle.py --write docs/benchmarks-soak.md

soak-serve: $(INSTALLED) ## an hour of serve under a modest load, then at rest, write docs/endurance.md
	$(BIN)/python benchmarks/soak_serve.py --write docs/endurance.md

endurance: $(INSTALLED) ## kill the collector at 200 points, take its store away in every way, count what was lost
	$(BIN)/python benchmarks/endurance.py --write docs/endurance.md
	$(BIN)/python benchmarks/endurance_hostile.py --write docs/endurance.md
	$(BIN)/python benchmarks/endurance_slow.py --write docs/endurance.md

servers: $(INSTALLED) ## run every server with every framework, write docs/servers.md
	PYTHONPATH=tests/matrix $(BIN)/python -m server_matrix docs/servers.md

servers-stored: $(INSTALLED) ## play every server's faults into a real store and score what it says of them
	PYTHONPATH=tests/matrix $(BIN)/python -m server_matrix.stored docs/servers-stored.md

docs: $(INSTALLED) ## write the pages that are made from the code
	$(BIN)/python docs/generate.py

notebook: $(INSTALLED) ## run docs/incident.py, write docs/incident.ipynb with what it prints
	$(BIN)/python docs/notebook.py

site: $(INSTALLED) ## build docs/ into build/site, without a network; a broken link is an error
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going -c docs -d build/site-cache . build/site

screenshots: $(INSTALLED) ## take the pictures of the page and the report with Debian's Chromium
	$(BIN)/python docs/screenshots.py

dashboards: $(INSTALLED) ## write the Grafana boards
	$(BIN)/python dashboards/generate.py

clean: ## remove what the targets made
	rm -rf $(VENV) .venv-3.* build dist .acceptfirst .mypy_cache .ruff_cache .pytest_cache .hypothesis
