# `make repro` runs the main job and `make test` passes the tests, on a machine with Python 3.11+, git and make.

PYTHON ?= python3
JOBS ?= 2
EXPERIMENT ?= mlp
BIN := .venv/bin
OUTPUTS := data/audio data/images data/clips.parquet data/split.parquet data/duplicates.csv data/inputs \
	features weights embeddings models history evaluation candidate reports results
INSTALLED := .venv/installed
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
export PATH := $(CURDIR)/$(BIN):$(PATH)
# no usage reports
export DVC_NO_ANALYTICS := 1
export DO_NOT_TRACK := 1
export MLFLOW_DISABLE_TELEMETRY := true

.DEFAULT_GOAL := help
.PHONY: help install repro tutorial sweep lessons test test-pipelines test-commands test-browser lint bench scores audit ui serve page clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

repro: $(INSTALLED) ## run the pipeline: data, features, models, comparison (JOBS=1: one stage at a time)
	$(if $(filter 1,$(JOBS)),dvc repro,soundtrack repro --jobs $(JOBS))

tutorial: repro ## rerun the tutorial's models and compare them with this project's: reports/tutorial.html (an hour and more)
	dvc --cd tutorial repro

sweep: $(INSTALLED) ## search for better params of EXPERIMENT=mlp (TRIALS=n in all; APPLY=1 changes params.yaml, after asking)
	soundtrack sweep $(EXPERIMENT) --jobs $(JOBS) $(if $(TRIALS),--trials $(TRIALS)) $(if $(APPLY),--apply)

lessons: $(INSTALLED) ## run the six small lessons, from the perceptron to animal faces (lessons/*/README.md)
	soundtrack repro --jobs $(JOBS) lessons/*/dvc.yaml

PYTEST := pytest --numprocesses 6 --dist loadfile --no-loadscope-reorder
# whole pipelines by cold stage processes, and stages that are killed, which take minutes
PIPELINES := tests/stages/test_kills.py \
	$(addprefix tests/end_to_end/test_,dvc_views.py jobs.py extending.py split_protocols.py sources.py ways_in.py)

test: $(INSTALLED) lint ## check style and types, and run the tests
	$(PYTEST) -m "not documented" $(addprefix --ignore=,$(PIPELINES))

test-pipelines: $(INSTALLED) ## run whole pipelines on tiny data, and kill some: sources, split protocols, docs/extending.md
	$(PYTEST) -m "not documented" $(PIPELINES)

test-commands: $(INSTALLED) ## run the commands of README and docs as they are written there
	$(PYTEST) -m documented tests/end_to_end

test-browser: $(INSTALLED) ## look at MLflow, reports and page in headless Chromium (apt install chromium)
	$(PIP) install --no-compile --constraint requirements.lock --editable '.[browser]'
	pytest tests/browser

bench: $(INSTALLED) ## measure speed against common alternatives (CLIPS=folder; data/audio by default)
	python -m benchmarks $(if $(CLIPS),--clips $(CLIPS))

lint: $(INSTALLED) ## ruff, the layers of imports, mypy
	ruff check .
	ruff format --check .
	lint-imports
	mypy

scores: $(INSTALLED) ## measure README's table of scores: every experiment with five seeds, in a clone of this commit
	python -m benchmarks.scores starter

audit: $(INSTALLED) ## look up known vulnerabilities of the locked packages
	$(PIP) install pip-audit
	pip-audit --strict --requirement requirements.lock --no-deps --disable-pip

ui: $(INSTALLED) ## compare the models in MLflow, on http://127.0.0.1:5000 (the command prints the link)
	soundtrack ui

serve: $(INSTALLED) ## serve the champion on http://127.0.0.1:5001 (docs/classify.md)
	soundtrack serve

page: $(INSTALLED) ## try the champion: drop a song on http://127.0.0.1:8000
	soundtrack page

install: $(INSTALLED) ## make .venv with the pinned packages

clean: ## remove the environment and all outputs (not the DVC cache, not the runs)
	rm -rf .venv .cache .mypy_cache .pytest_cache .ruff_cache *.egg-info
	for folder in . tutorial lessons/*/; do (cd $$folder && rm -rf $(OUTPUTS)); done

# Remade when missing or older than its sources. --no-deps, since resolving takes pip minutes: the lock is complete, and the
# last pip adds what a CUDA build of torch needs beyond it. Compiling uses all cores; a few packages carry files for other
# versions of Python, which do not compile. numba's functions are compiled as well.
$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.x ..."; exit 1; }
	rm -rf .venv
	$(PYTHON) -m venv .venv
	$(PIP) install --upgrade --constraint requirements.lock pip
	$(PIP) install --no-compile --no-deps -r requirements.lock
	$(PIP) install --no-compile --constraint requirements.lock --editable '.[dev]'
	-@$(BIN)/python -m compileall -qq -j 0 .venv/lib
	-@$(BIN)/python -m pipeline.features.numba_cache
	@touch $@
