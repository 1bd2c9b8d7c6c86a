# make demo and make test do all the set-up that they need, in .venv; make quick in .venv-quick.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
QUICK := .venv-quick
AUDIT := .venv-audit

.PHONY: demo test quick lint docs audit wheels benchmark clean

demo: $(INSTALLED)
	$(BIN)/l3ac-jax demo

test: $(INSTALLED)
	$(BIN)/python -m pytest -n 2

# With another Python, PYTHON, and the newest packages that it takes: without PyTorch, of which pip's
# own choice is a CUDA build of several GB.
quick: $(QUICK)/.installed
	$(QUICK)/bin/python -m pytest -m quick
	$(QUICK)/bin/l3ac-jax demo --out build/quick-demo

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright

# The variable leaves out the notice of its successor that Material prints with each build.
docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Known vulnerabilities of what is installed. Not in lint: the database is on the network (PyPI's), and
# a package of which it says nothing must count as a failure: else all of them pass without it.
audit: $(INSTALLED) $(AUDIT)/.installed
	.ci/audit $(BIN)/pip $(AUDIT)/bin/pip-audit

# A wheel into an empty environment of each Python here (a minute each: not in CI).
wheels:
	PYTHON=$(PYTHON) .ci/wheels

benchmark: $(INSTALLED)
	$(BIN)/python experiments/benchmark.py
	$(BIN)/python experiments/benchmark_training.py

# torch comes first and alone, so that a CPU build is taken where pip is offered one.
$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet torch==2.13.0
	$(BIN)/pip install --quiet --editable '.[torch,train,scores,music,references,tokens,cluster,export,dev]'
	touch $@

$(QUICK)/.installed: pyproject.toml
	$(PYTHON) -m venv --clear $(QUICK)
	$(QUICK)/bin/pip install --quiet --editable '.[train,tokens,export,test]'
	touch $@

$(AUDIT)/.installed:
	$(PYTHON) -m venv --clear $(AUDIT)
	$(AUDIT)/bin/pip install --quiet 'pip-audit>=2.10.1'
	touch $@

clean:
	rm -rf $(VENV) $(QUICK) $(AUDIT) .pytest_cache .ruff_cache .import_linter_cache .hypothesis build dist
