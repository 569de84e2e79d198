# Everything here needs only Python >= 3.11 and make.  `make` alone lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# Every command and worker would compile the whole program anew: a fifth of what it takes to start.
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
RUNTIME := .venv/.runtime-installed
DEV := .venv/.dev-installed
JS_CLIENTS := $(patsubst %,tests/%/node_modules/.package-lock.json,clients_js api_js browser_js oidc_js)
# The tool that writes the lock files and tries them.
UV_VERSION := 0.13.9
UV := .lock-venv/.uv-$(UV_VERSION)-installed

.PHONY: help run test check lint fix docs clients screenshots crash fuzz history faults platforms rotations bench audit uv lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

run: $(RUNTIME) ## Install what is missing and start the server
	@exec $(BIN)/python app.py

test: $(DEV) ## Run the tests; ARGS="-k idle" passes options on
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory clients || true; fi  # the tests say what they lack
	$(BIN)/python -m pytest -n 4 --dist loadscope --no-loadscope-reorder $(ARGS)  # many wait rather than compute

check: $(DEV) lint ## Lint, and the tests that need no browser, npm or PostgreSQL: for the daily loop
	$(BIN)/python -m pytest -n 3 --dist loadscope --no-loadscope-reorder -m quick $(ARGS)

lint: $(DEV) ## Check style, types and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: $(DEV) ## Repair what ruff can repair
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(DEV) ## Write the command reference and the table of conformance anew
	$(BIN)/python -m authserver.cli.reference
	$(BIN)/python -m authserver.audit_export.reference
	$(BIN)/python -m tests.support.conformance

clients: $(JS_CLIENTS) ## Install the JavaScript clients and tools for the tests (needs npm)
	@:

screenshots: $(DEV) $(JS_CLIENTS) ## Make the pictures in docs/screenshots anew (needs Chromium)
	$(BIN)/python -m pytest tests/console/test_journeys.py --screenshots docs/screenshots $(ARGS)

crash: $(DEV) ## Kill the server a thousand times and look for lost promises
	CRASH_RUNS=$${CRASH_RUNS:-1000} $(BIN)/python -m pytest tests/faults/test_crash.py $(ARGS)

fuzz: $(DEV) ## Draw requests to the management API from its document and look for an answer that it does not have
	FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-25} $(BIN)/python -m pytest tests/api/test_schemathesis.py -n 0 -s --timeout 0 $(ARGS)

history: $(DEV) ## Call 100,000 times through verifiers in each mode while tokens end in every way, and look for one let in too late
	HISTORY_OPERATIONS=$${HISTORY_OPERATIONS:-100000} $(BIN)/python -m pytest tests/faults/test_verifier_history.py -n 0 -s $(ARGS)

faults: $(DEV) ## Inject faults into real servers and write what it showed into docs/reliability.md; ARGS=--short kills less often
	$(BIN)/python -m tests.support.fault_matrix $(ARGS)

platforms: $(DEV) $(UV) ## Try the lock file on every platform, without installing anything
	$(BIN)/python -m pytest tests/project/test_lock_files.py $(ARGS)

rotations: $(DEV) ## Rotate a hundred times under load on eight processes
	ROTATIONS=$${ROTATIONS:-100} $(BIN)/python -m pytest tests/keys/test_rotations_under_load.py -n 0 $(ARGS)

bench: $(DEV) ## Measure the server
	$(BIN)/python -m bench $(ARGS)

audit: $(DEV) ## Ask PyPI for known holes in the pinned packages
	$(BIN)/pip-audit --require-hashes --disable-pip -r requirements.txt

uv: $(UV) ## Install the tool of the lock files, so that `make test` tries them too
	@:

lock: $(UV) ## Write the requirements files anew from pyproject.toml; ARGS=--upgrade moves pins
	$(compile) -o requirements.txt $(ARGS)
	$(compile) --extra otel --constraint requirements.txt -o requirements-otel.txt $(ARGS)
	$(compile) --extra dev --constraint requirements.txt -o requirements-dev.txt $(ARGS)

clean: ## Remove what was made here, but not instance/ (keys and data)
	rm -rf .venv .lock-venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis \
	  .coverage .coverage.* coverage.xml htmlcov tests/*_js/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- how the environment is made -------------------------------------------------

define find_python
python=; \
for name in $${PYTHON:-} python3.13 python3.12 python3.11 python3 python; do \
  if "$$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
    python=$$name; break; \
  fi; \
done; \
if [ -z "$$python" ]; then \
  echo "Python 3.11 or newer, with its venv module, is needed; none was found on PATH." >&2; \
  echo "Install it (Debian: apt install python3 python3-venv) or say where: make PYTHON=/path/to/python3" >&2; \
  exit 1; \
fi
endef

# The lock files are complete, so pip resolves nothing: a package published tomorrow cannot change an install.
locked = --quiet --disable-pip-version-check --require-hashes --no-deps

compile = .lock-venv/bin/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes --system-certs \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

$(UV):
	@$(find_python); [ -x .lock-venv/bin/python ] || "$$python" -m venv .lock-venv
	.lock-venv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@touch $@

.venv/bin/python:
	@$(find_python); echo "Making .venv with $$python"; "$$python" -m venv .venv

$(RUNTIME): requirements.txt | .venv/bin/python
	$(BIN)/python -m pip install $(locked) -r requirements.txt
	@touch $@

$(DEV): requirements-dev.txt $(RUNTIME)
	$(BIN)/python -m pip install $(locked) -r requirements-dev.txt
	@touch $@

$(JS_CLIENTS): tests/%/node_modules/.package-lock.json: tests/%/package-lock.json
	npm ci --prefix tests/$*
	@touch $@
