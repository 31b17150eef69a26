# The project's commands. `make help` lists them; every target sets up what it needs.
PYTHON ?= python3
VENV ?= .venv
PORT ?= 8000

PY = $(VENV)/bin/python
STAMP = $(VENV)/.installed
CHECK_PYTHON = import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))

RESOLUTION ?= lowest-direct
TESTING = pytest pytest-timeout pytest-xdist hypothesis nbformat ipykernel
PARALLEL = -n auto --maxprocesses 4 --dist loadfile
export HF_HUB_OFFLINE ?= 1
export PIP_DISABLE_PIP_VERSION_CHECK = 1
export PIP_ROOT_USER_ACTION = ignore

.DEFAULT_GOAL := help
.PHONY: install book test notebooks quick versions coverage pages links serve bench gpu lint colab clean help

$(STAMP): requirements.txt constraints.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) was not found; install Python 3.11, 3.12 or 3.13, or name one with PYTHON=" >&2; exit 1; }
	@$(PYTHON) -c '$(CHECK_PYTHON)' || { echo "$(PYTHON) is $$($(PYTHON) -V 2>&1); this project needs Python 3.11, 3.12 or 3.13: name one with PYTHON=" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) can't make a virtual environment; on Debian and Ubuntu run: apt-get install python3-venv" >&2; exit 1; }
	@test -x $(PY) && $(PY) -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet -r requirements.txt -c constraints.txt
	$(PY) -m pip install --quiet --no-deps -e .
	@touch $@

install: $(STAMP) ## make the virtual environment and install everything in it

book: $(STAMP) ## build the book; every warning is an error
	$(PY) book/build.py

test: $(STAMP) ## test the package
	OMP_NUM_THREADS=1 $(PY) -m pytest $(PARALLEL)

notebooks: $(STAMP) ## run every CPU notebook, as building the book does, but without the book
	OMP_NUM_THREADS=1 $(PY) -m pytest $(PARALLEL) --nbmake --nbmake-timeout=300 --ignore-glob='*_gpu.ipynb' notebooks

quick: $(STAMP) ## the tests that take less than a second each
	OMP_NUM_THREADS=1 $(PY) -m pytest $(PARALLEL) -m "not slow"

versions: ## test the lowest versions that pyproject.toml allows (RESOLUTION=highest: the newest); needs uv
	uv venv --quiet --python $(PYTHON) _build/versions
	uv pip compile --quiet --all-extras --resolution $(RESOLUTION) pyproject.toml -o _build/versions/set.txt
	uv pip install --quiet --python _build/versions -r _build/versions/set.txt $(TESTING)
	uv pip install --quiet --python _build/versions --no-deps -e .
	OMP_NUM_THREADS=1 _build/versions/bin/python -m pytest $(PARALLEL) --ignore tests/book

coverage: $(STAMP) ## the lines of the package that no test runs
	OMP_NUM_THREADS=1 $(PY) -m pytest $(PARALLEL) --cov=sotglp_core --cov-report=term-missing:skip-covered --cov-fail-under=95

pages: $(STAMP) ## look at every page of the built book in Chromium, if there is one
	$(PY) -m pytest tests/book/test_book_pages.py

links: $(STAMP) ## follow every link of the book into the network
	$(PY) book/build.py --builder linkcheck

colab: $(STAMP) ## write the notebooks for Google Colab to _build/colab
	$(PY) book/colab.py

serve: book ## build the book and show it on http://localhost:8000 (PORT=)
	$(PY) -m http.server --bind localhost --directory _build/html $(PORT)

bench: $(STAMP) ## measure speed and memory on this machine
	$(PY) -m sotglp_core.cli bench
	$(PY) tests/benchmarks/speed.py

gpu: $(STAMP) ## check a CUDA GPU against the CPU, and measure it
	$(PY) tests/gpu.py

lint: $(STAMP) ## check style and types
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy sotglp_core

clean: ## remove what was built; the virtual environment stays
	rm -rf _build book/_static/vendor build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find sotglp_core tests book notebooks -depth \( -name __pycache__ -o -name .ipynb_checkpoints \) -exec rm -rf {} +

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
