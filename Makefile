# make run: the app on http://127.0.0.1:8501.  make test: every check.  Everything they need is installed first.
PYTHON := .venv/bin/python
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup setup-dev run worker demo backup restore test lint types unit unit-pypy cases suite browser bench load chaos \
	fuzz audit format pins

help:  ## say what there is
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

setup:  ## prepare .venv, the pinned packages and PyPy
	@scripts/setup.sh

run: setup  ## start the app; Ctrl-C stops it
	@exec $(PYTHON) -m app.server

worker: setup  ## start a worker for the jobs of an app with the same DATABASE_URL and REDIS_URL
	@exec $(PYTHON) -m engine worker

demo: setup  ## load the demo company, then start the app
	@$(PYTHON) -m engine demo
	@exec $(PYTHON) -m app.server

backup: setup  ## the whole database as one file: make backup FILE=monday.backup
	@$(PYTHON) -m engine backup $(FILE)

restore: setup  ## fill an empty database from a backup: make restore FILE=monday.backup
	@$(PYTHON) -m engine restore $(FILE)

setup-dev:
	@scripts/setup.sh dev

test: setup-dev lint types unit unit-pypy cases suite browser  ## run every check
	@echo "All checks passed."

lint:  ## style, likely bugs, unsafe calls
	$(PYTHON) -m ruff format --check
	$(PYTHON) -m ruff check
	$(PYTHON) -m bandit --quiet -lll -r engine app pages

types:  ## types
	$(PYTHON) -m mypy

unit:  ## the pay rules on CPython
	$(PYTHON) -m unittest discover -s tests/unit -t .

unit-pypy:  ## the pay rules on PyPy
	@if command -v pypy3 >/dev/null; then set -x; pypy3 -m unittest discover -s tests/unit -t .; \
	else echo "*** NOT RUN, pypy3 is missing: unit tests on PyPy"; [ "$$CI" != true ]; fi

cases:  ## the worked examples, to the cent
	$(PYTHON) -m engine cases tests/cases

suite:  ## layers, properties, database, pages
	$(PYTHON) -m pytest -n auto --ignore=tests/unit --ignore=tests/browser

browser:  ## the journeys in Chromium
	@if chromium --version >/dev/null 2>&1; then set -x; $(PYTHON) -m pytest -n 2 --dist loadfile tests/browser; \
	else echo "*** NOT RUN, chromium is missing: browser tests"; [ "$$CI" != true ]; fi

fuzz: setup-dev  ## 100,000 random companies through the pay rules and a second opinion; SEED=n repeats a run
	@seed=$${SEED:-$$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}; echo "make fuzz SEED=$$seed"; \
	FUZZ=$${FUZZ:-100000} $(PYTHON) -m pytest tests/properties/test_rules.py --hypothesis-seed=$$seed

chaos: setup-dev  ## 200 rounds in which processes are killed and everything must hold after; SEED=n ROUNDS=n repeat
	@$(PYTHON) -m tests.chaos

load: setup-dev  ## 50 people at the pages and 200 API reads a second, for a minute; PROCESSES=2 as compose.yaml has it
	$(PYTHON) -m tests.load

bench: setup-dev  ## measure the pay rules against CPython, NumPy, C and Postgres
	$(PYTHON) -m tests.benchmarks

audit: setup-dev  ## ask the network whether a pinned package is known to be vulnerable
	@for name in requirements requirements-dev; do $(PYTHON) -m uv tool run --from pip-audit==2.10.1 pip-audit \
	--disable-pip --require-hashes -r $$name.txt || failed=1; done; exit $${failed:-0}

format:  ## put the code in its one form
	$(PYTHON) -m ruff check --fix
	$(PYTHON) -m ruff format

pins: setup-dev  ## choose the packages' versions anew, from requirements*.in
	for name in requirements requirements-dev; do $(PYTHON) -m uv pip compile --quiet --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --custom-compile-command "make pins" $$name.in -o $$name.txt || exit 1; done
