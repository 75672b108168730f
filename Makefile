# `make demo` needs the Rust toolchain and nothing else. `make test` says what it installs before it does.
CARGO ?= cargo
export CARGO_TARGET_DIR ?= $(CURDIR)/target
BIN := $(CARGO_TARGET_DIR)/debug
PROGRAMS := -p mesh-coordinator -p mesh-agent -p meshctl -p mesh-double

.PHONY: help build demo test test-deps lint fmt bench soak clean-demo

help:
	@echo "make demo    build, start three regions on this machine, fail over from us-east-1 to us-west-2, check it"
	@echo "make test    all tests (installs a Python venv with boto3 and moto under .venv)"
	@echo "make lint    formatting, clippy, dependency rules"
	@echo "make bench   speed, as ratios to a peer or a physical floor of the same run"
	@echo "make soak    the suites that are too long for every change"

build:
	$(CARGO) build --locked $(PROGRAMS)

demo: build
	$(BIN)/meshctl demo --scenario failover

test: build
	./tests/run.sh

lint:
	./tests/lint.sh

fmt:
	$(CARGO) fmt --all

bench: build
	./tests/bench.sh

soak: build
	./tests/soak.sh
