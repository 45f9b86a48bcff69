# Two commands are enough: `make run` and `make test`. Everything they need is installed by scripts/install.
PYTHON ?= python3
BIN := .venv/bin
.DEFAULT_GOAL := run

.venv/.run: requirements.txt scripts/install
	@scripts/install run "$(PYTHON)"

.venv/.test: requirements.txt requirements-dev.txt scripts/install
	@scripts/install test "$(PYTHON)"

run: .venv/.run ## everything on this machine, with a demo workspace; ctrl-C stops it
	@exec $(BIN)/python -m jobs --dashboard --demo --with-parent

test: .venv/.test ## the tests, the story in headless Chromium on the started product last
	$(BIN)/python -m pytest -n 2 --dist loadfile
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target .test-demo .test-rest

.test-demo: # what looks at the demo, in a browser
	$(BIN)/python -m pytest -m "browser and demo and not heavy"

.test-rest: # meanwhile: what has to hold on an older Postgres too, and in a browser what needs no demo
	@scripts/on-postgres-15 $(BIN)/python -m pytest -k "pipeline or isolation or db or migrations or upgrade or alarms"
	$(BIN)/python -m pytest -m "browser and not demo and not heavy"

test-browser: .venv/.test ## every browser test alone: all pages under all roles in both looks, all hostile people, a year of a shop
	$(BIN)/python -m pytest -m browser

test-heavy: .venv/.test ## crash, shuffle and fuzz suites; about an hour
	$(BIN)/python -m pytest -m "heavy and not browser" --timeout 3000 -n 2 --dist load

check: .venv/.test ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/.test ## benchmarks; ONLY=name runs one
	$(BIN)/python -m benchmarks $(ONLY)

lock: .venv/.test ## pin every version and hash again
	$(BIN)/uv pip compile --universal --generate-hashes --python-version 3.11 --no-header --no-emit-index-url requirements.in -o requirements.txt
	$(BIN)/uv pip compile --universal --generate-hashes --python-version 3.11 --no-header --no-emit-index-url requirements-dev.in -o requirements-dev.txt

audit: .venv/.test ## known vulnerabilities in what is pinned
	$(BIN)/pip-audit --require-hashes --disable-pip -r requirements.txt

help: ## this list
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*##/ -/'

.PHONY: run test test-heavy check bench lock audit help test-browser .test-demo .test-rest
