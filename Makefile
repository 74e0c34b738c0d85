# `make help` lists the targets. Options of run and demo: `make run ARGS="--form live --patients 200"`.
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=

# The modules that are programs.
BENCHMARKS := $(patsubst benchmarks/%.py,%,$(filter-out benchmarks/__main__.py,$(shell grep -ls __main__ benchmarks/*.py)))

.DEFAULT_GOAL := help
.PHONY: help environment run demo test soak bench screenshots lock package clean $(BENCHMARKS:%=bench-%)

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14
	@$(if $(BENCHMARKS),echo "$(BENCHMARKS)" | fold -s -w 66 | sed '1s/^/bench-NAME    /; 1!s/^/              /')

environment: ## .venv with the pinned packages (the others make it themselves)
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not installed: install Python 3.11 or later" >&2; exit 1; }
	@$(PYTHON) local/environment.py $(if $(filter file,$(origin PYTHON)),,--this-python)

run: environment ## the whole system on this machine, until Ctrl-C
	@$(BIN)/python -m local run $(ARGS)

demo: environment ## the same, but ends: 0 if the copy equals the truth
	@$(BIN)/python -m local demo $(ARGS)

test: environment ## lint, types and all tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

soak: environment ## all at once, broken on purpose (ARGS="--seconds 600 --seed 7")
	@$(BIN)/python -m benchmarks.soak $(ARGS)

bench: environment ## all measurements, and the page benchmarks/RESULTS.md
	@$(BIN)/python -m benchmarks $(ARGS)

screenshots: environment ## the console's pictures in README.md (needs chromium, its driver)
	@$(BIN)/python -m local.screenshots

lock: environment ## compile requirements*.in into hashed pins (needs uv)
	@command -v uv >/dev/null || { echo "uv is not installed: see docs.astral.sh/uv" >&2; exit 1; }
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes requirements.in -o requirements.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes requirements.in requirements-dev.in -o requirements-dev.txt

package: environment ## the zip that is deployed, in build/
	@$(BIN)/python -m local.package

$(BENCHMARKS:%=bench-%): bench-%: environment
	@$(BIN)/python -m benchmarks.$* $(ARGS)

clean: ## remove .venv, build/ and caches (not .local/, your own copy)
	rm -rf .venv build .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
