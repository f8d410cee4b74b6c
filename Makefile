PYTHON ?= python3
TORTURE_SECONDS ?= 60
unexport PYTHONDONTWRITEBYTECODE # without bytecode, each test process recompiles everything

PYTEST = .venv/bin/pytest --numprocesses auto --dist worksteal
# The requirements name every package, so pip resolves nothing: it would take a newer release for a broken pin.
INSTALL = bin/pip install --quiet --disable-pip-version-check --no-deps
COMPILE = .venv/bin/uv pip compile --quiet $(if $(PACKAGE),--upgrade-package $(PACKAGE),--upgrade) --universal \
	--no-strip-extras --python-version 3.11 --generate-hashes --custom-compile-command "make pins"

.PHONY: run test lint check openapi torture bench browser container tools pins

run: .venv/run ## set up, then serve on http://127.0.0.1:5000
	.venv/bin/flask run

test: .venv/dev ## set up, then run the tests
	$(PYTEST)

lint: .venv/dev ## set up, then lint and check the types
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy .

check: lint ## set up, then lint, and run the tests with their coverage, which takes longer
	folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && COVERAGE_FILE=$$folder/coverage $(PYTEST) --cov

openapi: .venv/run ## set up, then bring openapi.yaml up to date
	.venv/bin/python -m tools.contract

torture: .venv/dev .venv/torture ## set up, then serve under faults and load, for TORTURE_SECONDS a test
	.venv/bin/pytest tests/torture --seconds $(TORTURE_SECONDS)
	EXAMPLES=$$(( $(TORTURE_SECONDS) * 30 )) .venv/bin/pytest tests/contract

bench: .venv/bench ## set up, then measure; with SAVE=--save, renew tools/benchmarks/RESULTS.md
	.venv/bin/python tools/benchmarks/run.py $(SAVE)

browser: .venv/dev ## set up, then try the page in Chromium
	.venv/bin/pytest tests/browser

container: .venv/dev ## as root: set up, then build and run the container, with buildah
	.venv/bin/pytest tests/container

tools: .venv/dev .venv-tools/made ## set up, then run other people's tools on the contract and the service
	.venv/bin/pytest tests/tools --numprocesses 2

pins: .venv/dev .venv-tools/made ## renew every pin, or with PACKAGE=flask that one
	$(COMPILE) --output-file requirements.txt requirements/requirements.in
	for name in dev production bench tools torture; do \
		$(COMPILE) --output-file requirements/$$name.txt requirements/$$name.in || exit; \
	done
	test "$(PACKAGE)" || { cd tests/tools && rm package-lock.json && ../../.venv-tools/bin/npm install \
		--package-lock-only --omit-lockfile-registry-resolved --ignore-scripts --no-audit --no-fund; }

# The files named in .venv say what was installed there, and when.
.venv/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=/path/to/python ...")'
	$(PYTHON) -m venv .venv
	@touch $@

.venv/run: requirements.txt | .venv/made
	.venv/$(INSTALL) -r $<
	@touch $@

.venv/%: requirements/%.txt | .venv/made
	.venv/$(INSTALL) -r $<
	@touch $@

.venv-tools/made: requirements/tools.txt tests/tools/package-lock.json | .venv/made
	$(PYTHON) -m venv .venv-tools
	.venv-tools/$(INSTALL) -r $<
	cp tests/tools/package.json tests/tools/package-lock.json .venv-tools
	cd .venv-tools && bin/npm ci --ignore-scripts --no-audit --no-fund --loglevel error
	@touch $@
