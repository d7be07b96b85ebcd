# Everything below runs from a fresh clone with Python 3.11 or newer and pip; `make demo` and `make test` install first.
PYTHON ?= python3
BIN := .venv/bin
# Where the demo keeps its results; run it again and nothing is learned twice.
DEMO_STORE ?= $(CURDIR)/.demo-store
# Exit code 3: some trials failed; the leaderboard counts them.
FAILED_TRIALS_ARE_SHOWN := || test $$? -eq 3
DEMO := profile=pocket race.top=0 confirm.pairs=0 storage=$(DEMO_STORE)

.PHONY: demo test check lock

# MoRA and FM-LoRA, six settings each, beside their company (two each), on tiny really pre-trained models and real images.
demo: .venv/installed
	$(BIN)/python -m clsearch.sweep mora_clip fm_lora_vit $(DEMO) trials=6 $(FAILED_TRIALS_ARE_SHOWN)
	$(BIN)/python -m clsearch.sweep sequential_lora_clip incremental_lora_clip fine_tuning_clip frozen_clip \
	  sequential_lora_vit incremental_lora_vit fine_tuning_vit frozen_vit $(DEMO) trials=2 $(FAILED_TRIALS_ARE_SHOWN)
	$(BIN)/python -m clsearch.leaderboard $(DEMO_STORE)

test: .venv/installed-test
	$(BIN)/python -m pytest --durations=15

check: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The versions that were tested, for pip's -c; made from the environment that `make test` installed.
lock: .venv/installed-test
	$(BIN)/python tools/lock.py > requirements.lock

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml requirements.lock | .venv/bin/python
	$(BIN)/python -m pip install -q -c requirements.lock -e .
	touch $@

.venv/installed-test: pyproject.toml requirements.lock | .venv/bin/python
	$(BIN)/python -m pip install -q -c requirements.lock -e '.[test]'
	touch $@ .venv/installed
