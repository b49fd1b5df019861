PYTHON ?=
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
FLIGHTS ?=
BACKEND ?=
SEEDS ?= 10000
SEED ?=
BUGS ?=
SAVE ?=
FAULT ?=
BROKEN ?=
LIST ?=
DEMO := $(BIN)/python -m examples.flights
# Tests mostly wait, and those of one file share what they start.
SIDE_BY_SIDE := --numprocesses 3 --dist loadfile
WANTED := import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))

.PHONY: help test test-offline mutate simulate faults kafka redis demo demo-clean fmt lint type bench bench-quick bench-full docs audit clean
.DEFAULT_GOAL := help

help: ## list all of this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s  %s\n", $$1, $$2}' $(MAKEFILE_LIST)

test: lint type ## lint, check types, and run the tests, on a real Kafka and Redis too
	@$(BIN)/python -m tests.servers fetch
	$(BIN)/python -m pytest $(SIDE_BY_SIDE)

test-offline: lint type ## the same without the tests that need servers; it says how many
	$(BIN)/python -m pytest --offline

mutate: $(STAMP) ## take each check out of the contract kit in turn: a wrong backend then gets through
	@$(BIN)/python -m tests.kit.mutate

simulate: $(STAMP) ## break made-up apps in made-up ways: SEEDS=10000 of them, SEED=7 one, BUGS=1 wrong engines
	@$(BIN)/python -m tests.simulation $(if $(BUGS),--bugs) \
		$(if $(SEED),--first $(SEED) --seeds 1,--seeds $(SEEDS))

# SEEDS and SIDE_BY_SIDE have other defaults here.
faults: SEEDS := $(if $(filter-out file,$(origin SEEDS)),$(SEEDS),20)
faults: SIDE_BY_SIDE := $(if $(filter-out file,$(origin SIDE_BY_SIDE)),$(SIDE_BY_SIDE),1)
faults: $(STAMP) ## kill, stop and starve apps on real servers: SEEDS=20 runs of each, FAULT=name of one
	@$(BIN)/python -m tests.faults $(FAULT) --side-by-side $(SIDE_BY_SIDE) \
		$(if $(SEED),--seed $(SEED),--seeds $(SEEDS)) $(if $(BROKEN),--broken) $(if $(LIST),--list)

kafka: $(STAMP) ## run a Kafka to play with until Ctrl-C
	@$(BIN)/python -m tests.servers kafka

redis: $(STAMP) ## run a Redis to play with until Ctrl-C
	@$(BIN)/python -m tests.servers redis

demo: $(STAMP) ## join a year of flights with the weather; FLIGHTS=20000 for less, BACKEND=kafka|redis
	@case "$(BACKEND)" in ""|kafka|redis) ;; *) echo "BACKEND is kafka or redis." >&2; exit 2;; esac
	@$(if $(BACKEND),rm -rf .demo/$(BACKEND))
	$(if $(BACKEND),$(BIN)/python -m tests.servers $(BACKEND)) $(DEMO) \
		$(if $(FLIGHTS),--flights $(FLIGHTS)) $(if $(BACKEND),--state .demo/$(BACKEND))

demo-clean: ## forget how far the demo has come
	rm -rf .demo/state .demo/kafka .demo/redis

fmt: $(STAMP) ## format
	$(BIN)/ruff check --fix --exit-zero --quiet
	$(BIN)/ruff format

lint: $(STAMP) ## look for mistakes and for what is not formatted
	$(BIN)/ruff check
	$(BIN)/ruff format --check

type: $(STAMP) ## check the types, strictly
	$(BIN)/mypy

bench: $(STAMP) ## measure slipcore beside loops by hand and other frameworks; SAVE=1 keeps the figures
	@$(BIN)/python -m tests.servers fetch
	@$(BIN)/python -m benchmarks $(if $(SAVE),--save)

bench-quick: $(STAMP) ## the same in a few minutes beside loops by hand alone, and what has changed
	@$(BIN)/python -m tests.servers fetch
	@$(BIN)/python -m benchmarks --quick

bench-full: $(STAMP) ## the same with the frameworks that take long: Faust, and Kafka Streams if javac is here
	@$(BIN)/python -m tests.servers fetch
	@$(BIN)/python -m benchmarks --full $(if $(SAVE),--save)

docs: $(STAMP) ## build the documentation into site/, where any warning is an error
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "The documentation is in site/index.html."

audit: $(STAMP) ## ask PyPI for known vulnerabilities of what is installed: 1 some, 2 not asked
	$(BIN)/python -m tests.security.audit

clean: ## remove what was made, the state of the demo too
	rm -rf $(VENV) .bench .demo .slip site dist build .mypy_cache .pytest_cache .ruff_cache .hypothesis

# The first Python that is new enough and can make environments, unless PYTHON= names one.
$(STAMP): requirements-dev.txt pyproject.toml $(wildcard plugins/*/pyproject.toml)
	@python=$$(for each in $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11 python); do \
		"$$each" -c '$(WANTED)' 2>/dev/null && echo "$$each" && break; done); \
	test -n "$$python" || { \
		echo "make needs Python 3.11 or newer with venv; name one with PYTHON=/path/to/python." >&2; \
		exit 1; }; \
	"$(BIN)/python" -c '$(WANTED)' 2>/dev/null || "$$python" -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@
