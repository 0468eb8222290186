# Every target sets up what it needs. PYTHON is the interpreter to build the environment with.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TFLITE_STAMP := .venv-tflite/.installed

.DEFAULT_GOAL := help
.PHONY: help venv demo test test-faults test-home-assistant test-node-red check format lock system clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 21

venv: $(STAMP)  ## the environment alone, in .venv, with the commands in .venv/bin

$(STAMP): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	  || { echo "Python 3.11, 3.12 or 3.13 is needed; name one: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# The device's older runtime, to prove that both give the same answers. It exists for Python 3.11 and older only.
$(TFLITE_STAMP): requirements/device-tflite-runtime.txt
	@set -e; python=$$(.ci/find-python-3.11 $(PYTHON)) || { \
	  echo "skipped: no Python 3.11 here, so tflite-runtime cannot be tried beside ai-edge-litert"; exit 0; }; \
	$$python -m venv .venv-tflite; \
	.venv-tflite/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<; \
	touch $@

demo: venv  ## train on a simulated camera, run the daemon, show the messages (about four minutes)
	$(BIN)/python -W ignore examples/demo/demo.py

RTSP_SERVER := python3-gi gir1.2-gst-rtsp-server-1.0 $(addprefix gstreamer1.0-plugins-,base good bad ugly)

system:  # mosquitto, strace and a real RTSP server, where they can be had
	@command -v mosquitto >/dev/null && command -v mosquitto_sub >/dev/null && command -v strace >/dev/null || .ci/install-system-packages mosquitto mosquitto-clients strace
	@/usr/bin/python3 -c 'import gi; gi.require_version("GstRtspServer", "1.0")' 2>/dev/null || .ci/install-system-packages $(RTSP_SERVER)

test: venv $(TFLITE_STAMP) system  ## all tests but the slow fault tests
	$(BIN)/python -m pytest -n 2 -m "not slow"

test-faults: venv system  ## every fault, the slow ones included (as root there are more of them)
	@.ci/install-system-packages strace faketime nftables iproute2 xfsprogs e2fsprogs
	$(BIN)/python -m pytest tests/faults

test-home-assistant: venv system  ## a real Home Assistant finds a real device (fetches some 700 MB)
	@[ -x .venv-home-assistant/bin/hass ] || .ci/install-home-assistant .venv-home-assistant
	$(BIN)/python -m pytest tests/e2e/test_home_assistant.py

test-node-red: venv system  ## the example flow in a real Node-RED (fetches some 120 MB from npm)
	@[ -x .node-red/node_modules/.bin/node-red ] || npm install --silent --no-audit --no-fund --ignore-scripts --prefix .node-red node-red
	$(BIN)/python -m pytest tests/e2e/test_node_red.py

check: venv  ## formatting, lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@.ci/check-tree

format: venv  ## bring the code into shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock:  ## resolve the dependencies anew (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --all-extras --group dev pyproject.toml -o requirements/dev.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate pyproject.toml -o requirements/device.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate requirements/device-tflite-runtime.in -o requirements/device-tflite-runtime.txt

clean:  ## remove environments and everything made
	rm -rf .venv .venv-tflite .venv-home-assistant .node-red demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
