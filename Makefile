# Every target does its own set-up: it needs Python 3.11 or later with venv, make and a C++17 compiler, and no more.
# What was set up is noted in stamp files, so a second call neither installs nor builds; a changed native source builds
# again. Variables: PYTHON (which interpreter), JOBS (test processes), ARGS (passed on to pytest or to the benchmark).

PYTHON ?= python3
JOBS ?= 2
ARGS ?=
# PyTorch is a peer only where this build of it can be had; TORCH=torch takes whatever the package index gives.
TORCH ?= torch==2.13.0+cpu

VENV := .venv
PEERS := .venv-peers
PIP := -m pip --quiet --disable-pip-version-check --no-input
CPP := $(shell find native src/anima -name '*.cc' -o -name '*.h')
# The folders too: a file that was added or removed changes its folder.
BUILD_INPUTS := pyproject.toml CMakeLists.txt $(CPP) $(shell find native -type d)

.DELETE_ON_ERROR:
.PHONY: help demo docs test test-gpu test-libraries test-peers bench bench-quick lint format clean

help:
	@echo 'make demo         train a classifier on handwritten digits, then run every cell of the Sharp Bits'
	@echo 'make docs         draw the figures of docs/sharp_bits.md again'
	@echo 'make test         formatters, linters, types, house checks, tests, docstring examples'
	@echo 'make test-gpu     the tests that do not need the CPU plugin, on the GPU (SYSTEM=1: see CONTRIBUTING.md)'
	@echo 'make test-peers   compare results with JAX, installed beside in $(PEERS)'
	@echo 'make test-libraries   run programs of libraries that were written for JAX, by both, and compare'
	@echo 'make bench        measure against the peers and write bench/RESULTS.md (bench-quick: a short look, writes nothing)'
	@echo 'make lint         everything of make test but the tests'
	@echo 'make format       let the formatters write'
	@echo 'make clean        remove environments, builds and caches'

# ---- set-up -------------------------------------------------------------------------------------------------------

$(VENV)/.created $(PEERS)/.created:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed: make PYTHON=..." if sys.version_info < (3, 11) else 0)'
	@echo "creating $(@D)"
	@$(PYTHON) -m venv --clear $(@D) || { echo 'this Python cannot make virtual environments: install its venv package'; exit 1; }
	@touch $@

$(VENV)/.built: $(VENV)/.created $(BUILD_INPUTS)
	@echo "building anima into $(@D)"
	@$(@D)/bin/python $(PIP) install --editable .
	@touch $@

# Beside the peers anima is installed as users install it, and as they are: an editable one starts more slowly.
$(PEERS)/.built: $(PEERS)/.created $(BUILD_INPUTS) $(shell find src -name '*.py')
	@echo "building anima into $(@D)"
	@$(@D)/bin/python $(PIP) install --force-reinstall --no-deps .
	@$(@D)/bin/python $(PIP) install .
	@touch $@

# The requirements of an extra without the package: installing `.[test]` would build the package again.
define extra
%/.extra-$(1): pyproject.toml tools/requirements.py | %/.created
	@echo "installing what the extra $(1) needs into $$(@D)"
	@$$(@D)/bin/python tools/requirements.py $(1) > $$@.txt
	@$$(@D)/bin/python $$(PIP) install --requirement $$@.txt
	@touch $$@
endef
$(foreach name,cuda13 demo libraries peers test,$(eval $(call extra,$(name))))

$(PEERS)/.torch: | $(PEERS)/.created
	@echo 'installing PyTorch as a peer, if it can be had'
	@$(PEERS)/bin/python $(PIP) install '$(TORCH)' 2> $@.log \
	  || echo '$(TORCH) is not to be had here: no comparison with PyTorch (TORCH=torch takes another build)'
	@touch $@

# ---- what people call ---------------------------------------------------------------------------------------------

demo: $(VENV)/.built $(VENV)/.extra-demo
	@$(VENV)/bin/python examples/digits.py $(ARGS)
	@$(VENV)/bin/python examples/sharp_bits.py

docs: $(VENV)/.built $(VENV)/.extra-demo
	@$(VENV)/bin/python docs/figures.py $(ARGS)

lint: $(VENV)/.built $(VENV)/.extra-test
	$(VENV)/bin/ruff format --quiet --check .
	$(VENV)/bin/ruff check --quiet .
	$(VENV)/bin/clang-format --dry-run --Werror $(CPP)
	$(VENV)/bin/mypy --no-error-summary
	$(VENV)/bin/python -m tools.check_layers
	$(VENV)/bin/python -m tools.check_size
	$(VENV)/bin/python -m tools.check_words

test: lint
	$(VENV)/bin/python -m pytest --quiet --numprocesses $(JOBS) --dist worksteal -m 'not gpu and not peers' $(ARGS)

format: $(VENV)/.extra-test
	$(VENV)/bin/ruff check --fix-only --quiet .
	$(VENV)/bin/ruff format --quiet .
	$(VENV)/bin/clang-format -i $(CPP)

test-peers: $(PEERS)/.built $(PEERS)/.extra-test $(PEERS)/.extra-peers $(PEERS)/.torch
	$(PEERS)/bin/python -m pytest --quiet -m peers tests/peers $(ARGS)

test-libraries: $(PEERS)/.built $(PEERS)/.extra-test $(PEERS)/.extra-peers $(PEERS)/.extra-libraries
	$(PEERS)/bin/python -m pytest --quiet -m peers tests/libraries $(ARGS)

bench bench-quick: $(PEERS)/.built $(PEERS)/.extra-peers $(PEERS)/.torch
	$(PEERS)/bin/python -m bench.run $(if $(filter bench-quick,$@),--quick) $(ARGS)

# On a machine without a package index, SYSTEM=1 takes PYTHON with the packages that it has and builds only anima itself.
ifdef SYSTEM
GPU_PYTHON := $(PYTHON)
GPU_READY := build/system/.built
GPU_PATH := $(CURDIR)/build/system

build/system/.built: $(BUILD_INPUTS) $(shell find src -name '*.py')
	@echo 'building anima into build/system'
	@$(PYTHON) $(PIP) install --no-build-isolation --no-deps --upgrade --target build/system .
	@touch $@
else
GPU_PYTHON := $(VENV)/bin/python
GPU_READY := $(VENV)/.built $(VENV)/.extra-test $(VENV)/.extra-cuda13
endif

test-gpu: export ANIMA_PLATFORMS ?= cuda,cpu
test-gpu: $(GPU_READY)
	PYTHONPATH=$(GPU_PATH) $(GPU_PYTHON) -m pytest --quiet -m 'not cpu and not peers' --ignore tests/peers --ignore tests/libraries tests $(ARGS)

clean:
	rm -rf $(VENV) $(PEERS) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find src tests tools bench examples -name __pycache__ -type d -prune -exec rm -rf {} +
