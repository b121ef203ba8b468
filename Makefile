# Two commands for everyone: `make demo` and `make test`. Both set up all they need in .venv.
PYTHON ?= python3
SECONDS ?= 0
HOURS ?= 24
VENV := .venv
BIN := $(VENV)/bin
REQUIREMENTS := deploy/requirements
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check
# What runs on Node.js: the Z-Wave server, and two parts of the rig.
SERVICE := drivers/meterkast_drivers/zwave/service
RESET := hardware/meterkast_rig/reset
STICK := hardware/meterkast_rig/zwave
NODE := $(SERVICE) $(RESET) $(STICK)
# npm writes this file last, when everything else is in place.
NODE_MODULES := $(NODE:%=%/node_modules/.package-lock.json)

.PHONY: demo test soak bench campaign-flips lint run lock clean system

demo: $(VENV)/.rig $(NODE_MODULES) ## the whole gateway against a simulated meter cupboard; SECONDS=n ends by itself
	$(BIN)/meterkast rig demo --seconds $(SECONDS)

test: lint $(NODE_MODULES) system ## everything that is checked on every change
	$(BIN)/python -m pytest -q -n 2 --dist loadgroup --cov --cov-report=term:skip-covered \
	  --cov-report=json
	$(BIN)/python tests/coverage_floor.py

soak: $(VENV)/.dev $(NODE_MODULES) ## a whole simulated day with faults, about 6 minutes; HOURS=n for another length
	METERKAST_HOURS=$(HOURS) $(BIN)/python -m pytest -q -s tests/gateway/test_gateway_zwave.py

# In full; `make test` runs each bounded. SIZE=n for another length, SEED=n to replay what a run printed: docs/reliability.md.
campaign-kill: SIZE ?= 1000
campaign-power: SIZE ?= 1000
campaign-month: SIZE ?= 20
campaign-cuts: SIZE ?= 1000000
campaign-clock: SIZE ?= 500
campaign-fuzz: SIZE ?= 100
campaign-year: SIZE ?= 365
campaign-flips: SIZE ?= 10000
campaign-%: $(VENV)/.dev $(NODE_MODULES) system
	METERKAST_CAMPAIGN_SIZE=$(SIZE) $(if $(SEED),METERKAST_CAMPAIGN_SEED=$(SEED)) \
	  $(BIN)/python -m pytest -q -s $(wildcard tests/campaigns/$* tests/campaigns/test_campaign_$*.py)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.dev $(NODE_MODULES) ## figures into docs/benchmarks.md
	$(BIN)/python -m meterkast_rig.bench

run: $(VENV)/.run ## the gateway with ./meterkast.toml
	$(BIN)/meterkast run --config meterkast.toml

lock: $(VENV)/.dev ## resolve the dependencies anew
	for kind in build rig dev; do \
	  $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --no-annotate --no-header pyproject.toml --extra crc --extra $$kind --upgrade \
	    --quiet -o $(REQUIREMENTS)/$$kind.txt; \
	done

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Meterkast needs Python 3.11 or newer; $(PYTHON) is older. Use make PYTHON=python3.11."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
	  rm -rf $(VENV); \
	  if [ "$$(id -u)" = 0 ]; then apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q python3-venv && $(PYTHON) -m venv $(VENV); \
	  else echo "Python lacks its venv module: sudo apt-get install python3-venv"; exit 1; fi; }

# The gateway alone: no Node, no tools.
$(VENV)/.run: $(BIN)/python $(REQUIREMENTS)/build.txt pyproject.toml
	$(INSTALL) --require-hashes -r $(REQUIREMENTS)/build.txt
	$(INSTALL) --no-deps --no-build-isolation -e .
	touch $@

$(VENV)/.rig: $(VENV)/.run $(REQUIREMENTS)/rig.txt
	$(INSTALL) --require-hashes -r $(REQUIREMENTS)/rig.txt
	touch $@

$(VENV)/.dev: $(VENV)/.rig $(REQUIREMENTS)/dev.txt
	$(INSTALL) --require-hashes -r $(REQUIREMENTS)/dev.txt
	touch $@

# Exactly what the lock file says; Node comes from PyPI or the system.
$(NODE_MODULES): %/node_modules/.package-lock.json: %/package-lock.json | $(VENV)/.rig
	$(BIN)/python -c 'from pathlib import Path; from meterkast.nodejs import install; install(Path("$*"))'

# What the tests need of the system: Debian's Chromium for the page, what tells systemd's watchdog for the service,
# strace to kill at a system call, a C compiler for the recorder of power cuts, and for real ones a kernel in user mode
# (there is none but for x86) with its disk.
KERNEL := $(if $(filter x86_64,$(shell uname -m)),linux.uml:user-mode-linux)
system: $(VENV)/.dev
	@for need in chromium:chromium systemd-notify:systemd strace:strace gcc:gcc mkfs.ext4:e2fsprogs $(KERNEL); do \
	  PATH="$$PATH:/usr/sbin:/sbin" command -v "$${need%:*}" >/dev/null && continue; \
	  if [ "$$(id -u)" = 0 ]; then apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q "$${need#*:}" || exit 1; \
	  else echo "The tests need $${need%:*}: sudo apt-get install $${need#*:}"; exit 1; fi; \
	done

clean:
	rm -rf $(VENV) $(NODE:%=%/node_modules) .mypy_cache .ruff_cache .pytest_cache .coverage* demo-data
