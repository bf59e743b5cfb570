PYTHON ?= python3
VENV ?= .venv
# recorded data for tests and benchmarks; those that need it skip with a message where it is absent
LMPROG_DATA ?= ../shared/data
export LMPROG_DATA
BIN = $(VENV)/bin

.PHONY: setup dev demo bench bench-search bench-head-to-head bench-retrieval train-tiny train-tiny-anew bench-tiny tiny-figures prove-demo prove-kill prove-certificate prove-plan prove-weights prove-agent test lint clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[serve]'
	touch $@

# with what tests, proofs and training take: PyTorch among it
dev: $(VENV)/.dev

$(VENV)/.dev: $(VENV)/.ready
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev,serve,litellm]'
	touch $@

# compiles the two-hop task on the embedded LM; what was finished before returns at once, and says so
demo: setup
	$(BIN)/lmprog compile multihop --lm tiny --budget calls=3500 --concurrency 64

# the demo over six seeds; resumable, about a quarter of an hour
prove-demo: dev
	$(BIN)/python tests/prove/demo_seeds.py

# compiles killed outright some 300 times; resumable, about a quarter of an hour
prove-kill: dev
	$(BIN)/python tests/prove/kill.py

# what certificates claim, on thousands of compiles whose true gains are known; resumable, about half an hour
prove-certificate: dev
	$(BIN)/python tests/prove/certificate.py

# speed beside DSPy, in one run; cell by cell, so that it may be stopped and goes on: about an hour
bench: dev
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dspy]'
	$(BIN)/python tests/bench/speed.py

# choosing among prompts whose real outcomes were recorded, under $$LMPROG_DATA; block by block, so that it may be stopped
# and goes on: hours for all, PARTS="NAME ..." for some
bench-search: dev
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python tests/bench/search.py $(PARTS)

# every optimizer beside DSPy's on the embedded LM, at equal calls; cell by cell, so that it may be stopped and goes on:
# about three hours for all, CELLS="PROGRAM/SEED/METHOD ..." for some
bench-head-to-head: dev
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dspy]'
	$(BIN)/python tests/bench/head_to_head.py $(CELLS)

# what plans say beside what the compiles then take; resumable, about half an hour
prove-plan: dev
	$(BIN)/python tests/prove/plan.py

# a million made-up passages: how long an index takes to build, its memory, and searches; about ten minutes
bench-retrieval: dev
	$(BIN)/python tests/bench/retrieval.py

# what weights bring beside prompts: three programs, five seeds, six schedules, on the embedded LM or on WEIGHTS=DIR of the same
# curriculum; on CUDA where there is one; cell by cell, so that it may be stopped and goes on: an hour to an hour and a half on two cores
WEIGHTS ?= lmprog/lm/tiny/weights
prove-weights: dev
	$(BIN)/python tests/prove/weights.py --weights $(WEIGHTS) $(CELLS)

# an agent on the embedded LM, tuned on a teacher's runs; some minutes
prove-agent: dev
	OMP_NUM_THREADS=1 $(BIN)/python tests/prove/tuned_agent.py

# trains the embedded LM further, on CUDA where there is one, for MINUTES; may be stopped and run again
MINUTES ?= 60
TRAINED ?= runs/tiny
train-tiny: dev
	$(BIN)/python -m lmprog.lm.tiny.training --out $(TRAINED) --minutes $(MINUTES) \
		--from $$(test -e $(TRAINED)/model.safetensors && echo $(TRAINED) || echo lmprog/lm/tiny/weights)

# the same from nothing: a tokenizer, random weights, then the curriculum
train-tiny-anew: dev
	$(BIN)/python -m lmprog.lm.tiny.training --out $(TRAINED) --minutes $(MINUTES)

# prompts a second of the embedded LM, at once and one by one
bench-tiny: dev
	$(BIN)/python tests/bench/bench_tiny.py

# what the embedded LM can do, as the tables of its data sheet; cell by cell, so that it may be stopped and goes on: half an hour, and
# some two hours for the adapters of all tasks, which come last
tiny-figures: dev
	$(BIN)/python tests/bench/tiny_figures.py

# one thread to compute with for each of the two processes: more of them wait for each other
test: dev lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2

lint: dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python

clean:
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
