# Plain GNU make and sh. PYTHON=/path/to/python chooses the interpreter of a new .venv.
BIN := .venv/bin
STAMP := .venv/.installed
DOCS_STAMP := .venv/.installed-docs
# Half a .venv (a copy, an interrupted rm) is a link to the system's Python: nothing must ever be installed there.
export PIP_REQUIRE_VIRTUALENV := 1
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test test-long lint bench docs clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' Makefile

setup: $(STAMP) ## create .venv with the newest Python found (3.13, 3.12, 3.11), or PYTHON=...
	@:

# A python on the PATH may be a shim that cannot run, or lack venv: each candidate has to prove itself.
$(STAMP): pyproject.toml constraints.txt
	@set -e; \
	if [ -n "$(PYTHON)" ] || ! $(BIN)/python -c 'import pip, sys; sys.exit(sys.prefix == sys.base_prefix)' >/dev/null 2>&1; then \
	  found=; \
	  for python in $(or $(PYTHON),python3.13 python3.12 python3.11 python3 python); do \
	    if "$$python" -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	      >/dev/null 2>&1; then found=$$python; break; fi; \
	  done; \
	  if [ -z "$$found" ]; then \
	    echo "error: no working Python 3.11, 3.12 or 3.13 with venv and ensurepip found; try make setup PYTHON=/path/to/python" >&2; \
	    exit 1; \
	  fi; \
	  echo "setting up .venv with $$found ($$("$$found" --version))"; \
	  "$$found" -m venv --clear .venv; \
	fi
	@$(PIP) -e '.[dev]'
	@test -x $(BIN)/synthenv
	@touch $@
	@echo "ready: $(BIN)/synthenv --help"

demo: setup ## the shortest tour of what the package does
	@$(BIN)/synthenv demo

test: setup ## the test suite, as CI runs it: minutes
	@$(BIN)/python -m pytest -q -m "not long"

# Optimized as everywhere else: these run for long, and tests/conftest.py spares the compiler otherwise.
test-long: setup ## what only a long run can show; rewrites tests/long_results.json
	@XLA_FLAGS= $(BIN)/python -m pytest -q -m long --record tests/long_results.json

lint: setup ## ruff (rules and format) and pyright
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright --pythonpath $(BIN)/python

bench: setup ## every benchmark: a table on screen, JSON beside it
	@set -e; for file in benchmarks/bench_*.py; do echo "== $$file"; $(BIN)/python "$$file"; done

docs: setup $(DOCS_STAMP) ## build the documentation into site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

$(DOCS_STAMP): $(STAMP)
	@$(PIP) -e '.[docs]'
	@touch $@

clean: ## remove .venv, caches and built files; runs/ stays
	rm -rf .venv site build dist *.egg-info .pytest_cache .ruff_cache .hypothesis .benchmarks
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
