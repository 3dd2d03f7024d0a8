# run, test, train, bench, lint, help. Each makes what it needs of the virtual environment VENV.
# Overrides: VENV=elsewhere  PYTHON=python3.12  ARGS="--port 7861"  KIND=gpu|cpu

VENV ?= .venv
PYTHON ?= python3
ARGS ?=
KIND ?= $(shell nvidia-smi -L >/dev/null 2>&1 && echo gpu || echo cpu)

# On a laptop with llama.cpp, which is the quicker one for one person; a public page has no use for it.
REQUIREMENTS_gpu := -r requirements.txt
REQUIREMENTS_cpu := -r requirements-cpu.txt -r assistant/engines/llamacpp/requirements.txt
PY := $(VENV)/bin/python
# Python compiles what it imports, once; compiling all that is installed takes as long as installing it.
LAZILY := $(if $(PYTHONDONTWRITEBYTECODE),,--no-compile)
PIP := $(PY) -m pip install --quiet --disable-pip-version-check $(LAZILY)

.PHONY: help run train test lint format bench clients screenshots browser train-env test-env clean

help:
	@echo "make run     install what is needed and open the page      安装所需并打开页面"
	@echo "make train   train the assistant of assistant.toml         训练 assistant.toml 的助手"
	@echo "make test    install what the tests need and run them      安装测试所需并运行测试"
	@echo "make bench   measure this machine, print the table         测量这台机器并打印表格"
	@echo "make clients try the clients of docs/clients.md            试用 docs/clients.md 里的客户端"
	@echo "make lint    ruff, mypy, vermin                            代码检查"
	@echo 'Options: ARGS="--port 7861"  VENV=.venv  PYTHON=python3  KIND=gpu|cpu'

run: $(VENV)/.$(KIND)
	$(PY) app.py $(ARGS)

train: train-env
	$(PY) -m train all $(ARGS)

bench: $(VENV)/.$(KIND) $(VENV)/.train
	$(PY) -m assistant bench $(ARGS)
	$(PY) -m train bench $(ARGS)

clients: $(VENV)/.$(KIND) $(VENV)-clients/.installed
	$(PIP) -r assistant/api/requirements.txt
	$(PY) tests/clients/run.py $(VENV)-clients $(ARGS)

# Four files at a time, for they wait much; what shares a browser, a trainer or a server stays
# in one (tests/groups.py).
test:
	@$(MAKE) --no-print-directory -j2 test-env browser
	$(if $(strip $(ARGS)),,@echo 'All tests, four at a time: about 20 min on two cores. Only some: make test ARGS="-k words"' >&2)
	$(PY) -m pytest -n 4 --dist loadgroup --no-loadscope-reorder --durations=5 $(ARGS)

lint: test-env
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	# two words that vermin takes for Python 2's: a field named file, bytes.decode
	$(VENV)/bin/vermin --quiet --no-tips -t=3.10- --backport typing --exclude file --exclude str.decode app.py assistant train deploy

screenshots: test-env browser
	$(PY) tests/screenshots.py

format: test-env
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

train-env: $(VENV)/.train
test-env: $(VENV)/.train $(VENV)/.test

clean:
	rm -rf $(VENV) $(VENV)-clients

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' || \
	  { echo "Python 3.10 to 3.12 is needed; choose one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade pip

# A stamp stands for an installed set; it is renewed when its list changes.
$(VENV)/.cpu $(VENV)/.gpu: $(VENV)/.%: requirements.txt requirements-cpu.txt assistant/engines/llamacpp/requirements.txt | $(PY)
	@echo "Installing what the page needs (once) … 正在安装页面所需（只需一次）…" >&2
	$(PIP) $(REQUIREMENTS_$*)
	@touch $@

$(VENV)/.train: train/requirements.txt train/data/requirements.txt train/requirements-nodeps.txt | $(VENV)/.cpu
	@echo "Installing what training needs (once, several GB) … 正在安装训练所需（只需一次，数 GB）…" >&2
	$(PIP) -r train/requirements.txt
	$(PIP) --no-deps -r train/requirements-nodeps.txt
	@touch $@

$(VENV)/.test: tests/requirements.txt tests/requirements-nodeps.txt deploy/requirements.txt | $(VENV)/.train
	$(PIP) -r tests/requirements.txt
	$(PIP) --no-deps -r tests/requirements-nodeps.txt
	@touch $@

# Apart from the kit: what clients need must not decide what the kit has.
$(VENV)-clients/.installed: tests/clients/requirements.txt
	$(PYTHON) -m venv $(VENV)-clients
	$(VENV)-clients/bin/python -m pip install --quiet --disable-pip-version-check $(LAZILY) -r $<
	@touch $@

# The tests drive a real browser, and git with git-lfs, from the system's packages.
browser:
	@missing=$$(for tool in chromium git git-lfs; do command -v $$tool >/dev/null || echo $$tool; done); \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$(cat tests/packages.txt) >/dev/null; \
	else \
	  echo "The tests need: $$missing. Install: sudo apt-get install $$(tr '\n' ' ' < tests/packages.txt)" >&2; exit 3; \
	fi
