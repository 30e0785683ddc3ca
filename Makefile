# make demo    install, then run everything once: crawl → release → train → evaluate, in Airflow, on this machine
# make up      the same, and leave Airflow's UI running; make down stops it
# make check   lint, types, unit tests: the inner loop, under a minute
# make test    the whole suite, one run of the whole path included
# make lock    the lock files anew, from the dependencies in pyproject.toml
# make pictures, sample, reference, notebooks    what docs/ holds that is made by a script
PYTHON ?= python3
UV_VERSION = 0.13.9

AIRFLOW_PYTHON = .venv/bin/python
MODELS_PYTHON = .venv-models/bin/python
export PYTHONPATH = include
# bytecode is kept, whatever the caller's environment says: without it importing vLLM costs three times the CPU
export PYTHONDONTWRITEBYTECODE =

# torch's CPU build: from the folder pip is told to look in, else from PyTorch's own index
TORCH = links="$$(.venv/bin/pip config get global.find-links 2>/dev/null)"; \
	links="$${PIP_FIND_LINKS:-$$links}"; [ -n "$$links" ] && export UV_FIND_LINKS="$$links" || export UV_TORCH_BACKEND=cpu;
INSTALL = $(TORCH) .venv/bin/uv pip install --quiet --no-deps --python

.PHONY: help lock demo up down check pictures sample reference notebooks test test-demo test-units test-others test-models test-clusters install clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# make/make/p' Makefile

demo: install
	$(AIRFLOW_PYTHON) -m chimed_airflow.local demo

up: install
	$(AIRFLOW_PYTHON) -m chimed_airflow.local up

down:
	$(AIRFLOW_PYTHON) -m chimed_airflow.local down

check: .venv/ready
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	$(AIRFLOW_PYTHON) .ci/copies.py
	$(AIRFLOW_PYTHON) -m pytest -n 2 -m "not slow"

# The demo and the cluster wait half the time, and what waits still costs: both go first, and the models' tests, one
# process, fill the gaps.
test: install
	$(MAKE) --no-print-directory -j3 --output-sync=target test-demo test-models test-others

# what opens a browser: the demo, then the pages
test-demo:
	$(AIRFLOW_PYTHON) -m pytest tests/test_demo.py tests/plugins

test-others:
	$(MAKE) --no-print-directory test-clusters
	$(MAKE) --no-print-directory test-units

CLUSTERS = tests/chimed_airflow/test_cluster.py tests/dags/test_backfill.py
test-clusters:
	$(AIRFLOW_PYTHON) -m pytest $(CLUSTERS)

# what needs torch runs in the models' environment, everything else in Airflow's
test-models:
	OMP_NUM_THREADS=1 $(MODELS_PYTHON) -m pytest tests/chimed/train tests/chimed/evaluate tests/chimed/trained \
		tests/chimed/stages/test_perplexity.py tests/chimed/demo/test_models.py

# four processes on two cores: a crawl waits for its site most of the time
test-units:
	$(AIRFLOW_PYTHON) -m pytest -n 4 --dist loadfile $(addprefix --ignore=,tests/test_demo.py tests/plugins $(CLUSTERS))

install: .venv/uv
	@$(MAKE) --no-print-directory -j2 .venv/ready .venv-models/ready

.venv/uv:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || (echo "chimed needs Python 3.11: make PYTHON=python3.11" && exit 1)
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	touch $@

.venv/ready: .venv/uv requirements.txt requirements-dev.txt pyproject.toml
	@echo "installing Airflow's environment (.venv)"
	@$(INSTALL) $(AIRFLOW_PYTHON) -r requirements.txt -r requirements-dev.txt
	@$(INSTALL) $(AIRFLOW_PYTHON) --no-build-isolation --editable .
	@touch $@

.venv-models/ready: .venv/uv requirements-models.txt
	@echo "installing the models' environment (.venv-models): torch, TRL, lm-eval, vLLM"
	@test -x $(MODELS_PYTHON) || .venv/bin/uv venv --quiet --python .venv/bin/python .venv-models
	@$(INSTALL) $(MODELS_PYTHON) -r requirements-models.txt
	@touch $@

# the lock files from pyproject.toml; versions stay, unless with UPGRADE=--upgrade
lock: .venv/uv
	@$(TORCH) $(AIRFLOW_PYTHON) .ci/lock.py $(UPGRADE)

clean:
	rm -rf .chimed .venv .venv-models .mypy_cache .ruff_cache

# README's pictures, of a finished demo; the sample release; the table of options and settings; the notebooks' outputs
pictures: .venv/ready
	$(AIRFLOW_PYTHON) docs/pictures/draw.py
	PYTHONPATH=include:tests $(AIRFLOW_PYTHON) docs/pictures/take.py

sample: .venv/ready
	$(AIRFLOW_PYTHON) docs/sample/make.py

reference: .venv/ready
	$(AIRFLOW_PYTHON) docs/write_reference.py

notebooks: install
	$(MODELS_PYTHON) docs/notebooks/run.py
