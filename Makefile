# One word for each thing a developer does; `make` alone lists them.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
# Modules are compiled when they are first imported, for neither uv nor pip does it; so they are kept.
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
SETUP := PYTHON="$(PYTHON)" tools/setup.sh
# What tests, pages and linters need beside the package; the quickstart needs none of them.
EXTRAS := polars sqlalchemy docs dev
TIMED := tools/timed.sh
# Three lanes side by side, then what must be alone; the sum of them is the last line, also of `make test`.
LANES := $(BIN)/python tools/run_lanes.py
SUM := .pytest_cache/sum

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## make .venv with this package, its tools and a dolt that fits; nothing the second time
	@$(SETUP) $(EXTRAS)

.PHONY: quickstart
quickstart: ## run the quickstart twice and show what Dolt recorded
	@$(SETUP)
	@echo "1. The quickstart writes a table into a new repository, examples/foo:"
	@$(BIN)/python examples/quickstart_example.py 1
	@echo "2. It runs again with another value:"
	@$(BIN)/python examples/quickstart_example.py 2
	@echo "3. The last run is the last commit. dolt log -n 1:"
	@cd examples/foo && "$$(<../../.venv/dolt-path)" log -n 1 | cat
	@echo "4. It changed these rows. dolt diff HEAD^ HEAD rabbits:"
	@cd examples/foo && "$$(<../../.venv/dolt-path)" diff HEAD^ HEAD rabbits | cat

.PHONY: test
test: setup ## everything that must pass: lint, types, import contracts and all tests
	@$(MAKE) programs
	@$(MAKE) -j2 --output-sync=target code-checks docs-checks
	@rm -rf .coverage
	@$(TIMED) tests $(LANES)
	@$(TIMED) coverage $(MAKE) coverage
	@cat $(SUM)

.PHONY: programs
programs: ## install what tests start beside Dolt: MariaDB, PostgreSQL, a browser; as root on Debian
	@tools/install_programs.sh

.PHONY: code-checks docs-checks
code-checks:
	@$(TIMED) format $(BIN)/ruff format --check .
	@$(TIMED) lint $(BIN)/ruff check .
	@$(TIMED) types $(BIN)/mypy
	@$(TIMED) "import contracts" $(BIN)/lint-imports

docs-checks:
	@$(TIMED) docs $(MAKE) docs

.PHONY: coverage
coverage: setup ## say which lines and branches the last `make test` did not run; at least 95 % of each package are run
	@if compgen -G '.coverage/data.*' > /dev/null; then $(BIN)/coverage combine --quiet --append; fi
	@$(BIN)/coverage report --include='flytekitplugins/dolt/*,flytekitplugins/doltdb/*'
	@$(BIN)/coverage report --include='flytekitplugins/sqlalchemy/*'

.PHONY: nightly
nightly: setup ## the tests with random moments, ten times as many rounds, from a new seed
	@FLYTE_DOLT_TEST_FACTOR=10 FLYTE_DOLT_TEST_SEED="$${FLYTE_DOLT_TEST_SEED:-$$(date +%Y%m%d)}" $(BIN)/pytest tests/reliability tests/security tests/dolt/test_remotes.py tests/dolt/test_round_trip.py tests/dolt/test_schemas_that_change.py tests/dolt/test_travel_machine.py

.PHONY: check
check: setup code-checks ## the quick round before a commit: form, types, tests/unit and a part of the others; some minutes
	@$(TIMED) "quick tests" $(LANES) --quick

.PHONY: docs
docs: setup ## build the pages, warnings are errors; the start page is docs/_build/index.html
	@$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build
	@echo "docs/_build/index.html"

.PHONY: package
package: setup ## build sdist and wheel into dist/, install them into empty environments and try them
	@$(BIN)/python -m build --outdir dist .
	@$(BIN)/pytest tests/package/test_package.py

.PHONY: wheels
wheels: setup ## build the wheel of dolt for this platform into dist/; some ten minutes the first time
	@$(BIN)/python -m build --wheel --outdir dist packaging/dolt-bin

.PHONY: publish
publish: setup ## upload what is in dist/ to the package index; a release does it (.github/workflows/release.yml)
	@$(BIN)/uv publish dist/*

.PHONY: test-oldest
test-oldest: setup ## run tests with the oldest versions that setup.py allows, in .venv-oldest
	@tools/test_oldest.sh

.PHONY: test-flyte2
test-flyte2: setup ## run the tests of Flyte 2, in .venv-flyte2 and others: without flytekit, beside it, on Python 3.13, the oldest
	@tools/test_flyte2.sh

.PHONY: fmt
fmt: setup ## format the code and mend what the linter can mend
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix --exit-zero .

.PHONY: go-check
go-check: ## check and test the Go package together with Dolt; some minutes the first time
	@tools/go_check.sh

.PHONY: lint
lint: setup ## check the code's form and the import contracts
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/lint-imports

.PHONY: type
type: setup ## check the types
	@$(BIN)/mypy

.PHONY: bench
bench: ## compare with Delta, Iceberg, Lance, Parquet and raw Dolt; BENCH="--quick" is an option of it
	@$(SETUP) $(EXTRAS) bench
	@$(BIN)/python -W ignore -m benchmarks.formats $(BENCH)

.PHONY: bench-dolt
bench-dolt: setup ## compare with other ways to the same Dolt, and measure pods, memory and SQLAlchemyTask; some 30 minutes
	@$(BIN)/python -m benchmarks --full

.PHONY: clean
clean: ## remove everything that make made here; the built dolt stays in the user's cache
	@rm -rf .venv .venv-oldest .venv-flyte2* build dist docs/_build *.egg-info packaging/dolt-bin/build packaging/dolt-bin/*.egg-info examples/*/ .coverage
	@rm -rf .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis bench.json
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
