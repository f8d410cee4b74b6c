PYTHON ?= python3

.PHONY: run test lint check bench pins

run: .venv/run ## set up, then serve on http://127.0.0.1:5000
	.venv/bin/flask run

test: .venv/dev ## set up, then run the tests
	.venv/bin/pytest --cov --numprocesses auto

lint: .venv/dev ## set up, then lint and check the types
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/bandit --quiet *.py
	.venv/bin/mypy .

check: lint test

bench: .venv/bench ## set up, then measure, into benchmarks/RESULTS.md
	.venv/bin/python benchmarks/run.py

pins: .venv/dev ## renew the pinned requirements
	for name in requirements requirements-dev benchmarks/requirements; do \
		.venv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
			--custom-compile-command "make pins" --output-file $$name.txt $$name.in || exit; \
	done

# The files named in .venv say what was installed there, and when.
.venv/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=/path/to/python ...")'
	$(PYTHON) -m venv .venv
	@touch $@

.venv/run: requirements.txt | .venv/made
	.venv/bin/pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/dev: requirements-dev.txt | .venv/made
	.venv/bin/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

.venv/bench: benchmarks/requirements.txt | .venv/made
	.venv/bin/pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt
	@touch $@
