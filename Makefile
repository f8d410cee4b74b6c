PYTHON ?= python3
TORTURE_SECONDS ?= 60
unexport PYTHONDONTWRITEBYTECODE # without bytecode, each test process recompiles everything

.PHONY: run test lint check browser torture container tools bench pins

run: .venv/run ## set up, then serve on http://127.0.0.1:5000
	.venv/bin/flask run

test: .venv/dev ## set up, then run the tests
	.venv/bin/pytest --numprocesses auto --dist worksteal

lint: .venv/dev ## set up, then lint and check the types
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/bandit --quiet --configfile pyproject.toml *.py
	.venv/bin/mypy .

check: lint ## set up, then lint, and run the tests with their coverage, which takes longer
	.venv/bin/pytest --cov --numprocesses auto --dist worksteal

browser: .venv/dev ## set up, then try the page in Chromium
	.venv/bin/pytest tests/browser

torture: .venv/torture ## set up, then serve under faults and load, for TORTURE_SECONDS a test
	.venv/bin/pytest tests/torture --seconds $(TORTURE_SECONDS)
	EXAMPLES=$$(( $(TORTURE_SECONDS) * 30 )) .venv/bin/pytest tests/contract

container: .venv/dev ## set up, then build and run the container, with buildah
	.venv/bin/pytest tests/container

tools: .venv/dev .venv-tools/made ## set up, then run other people's tools on the contract and the service
	.venv/bin/pytest tests/tools --numprocesses 2 --dist loadfile

bench: .venv/bench ## set up, then measure; with SAVE=--save, renew benchmarks/RESULTS.md
	.venv/bin/python benchmarks/run.py $(SAVE)

pins: .venv/dev .venv-tools/made ## renew the pinned requirements
	for name in requirements requirements-dev requirements-production benchmarks/requirements tests/tools/requirements; do \
		.venv/bin/uv pip compile --quiet --upgrade --universal --no-strip-extras --python-version 3.11 --generate-hashes \
			--custom-compile-command "make pins" --output-file $$name.txt $$name.in || exit; \
	done
	.venv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
		--no-deps --prerelease allow --custom-compile-command "make pins" \
		--output-file tests/torture/requirements.txt tests/torture/requirements.in
	cd tests/tools && rm package-lock.json && ../../.venv-tools/bin/npm install --package-lock-only \
		--omit-lockfile-registry-resolved --ignore-scripts --no-audit --no-fund

# The files named in .venv say what was installed there, and when. The requirements name every
# package, so pip resolves nothing: it would take a newer release for a broken pin.
.venv/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=/path/to/python ...")'
	$(PYTHON) -m venv .venv
	@touch $@

.venv/run: requirements.txt | .venv/made
	.venv/bin/pip install --quiet --disable-pip-version-check --no-deps -r requirements.txt
	@touch $@

.venv/dev: requirements-dev.txt | .venv/made
	.venv/bin/pip install --quiet --disable-pip-version-check --no-deps -r requirements-dev.txt
	@touch $@

.venv/torture: .venv/dev tests/torture/requirements.txt
	.venv/bin/pip install --quiet --disable-pip-version-check --no-deps -r tests/torture/requirements.txt
	@touch $@

.venv/bench: benchmarks/requirements.txt | .venv/made
	.venv/bin/pip install --quiet --disable-pip-version-check --no-deps -r benchmarks/requirements.txt
	@touch $@

.venv-tools/made: tests/tools/requirements.txt tests/tools/package-lock.json | .venv/made
	$(PYTHON) -m venv .venv-tools
	.venv-tools/bin/pip install --quiet --disable-pip-version-check --no-deps -r tests/tools/requirements.txt
	cp tests/tools/package.json tests/tools/package-lock.json .venv-tools
	cd .venv-tools && bin/npm ci --ignore-scripts --no-audit --no-fund --loglevel error
	@touch $@
