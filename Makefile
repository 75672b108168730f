# `make demo` needs the Rust toolchain and nothing else. `make test` says what it installs before it does.
CARGO ?= cargo
export CARGO_TARGET_DIR ?= $(CURDIR)/target
BIN := $(CARGO_TARGET_DIR)/debug

.PHONY: help build demo test lint fmt bench soak simulate fuzz

help:
	@echo "make demo    build, start three regions on this machine, fail over from us-east-1 to us-west-2, check it"
	@echo "make test    all tests (installs boto3 and pytest into a Python venv under the target directory)"
	@echo "make lint    formatting, clippy, dependency rules"
	@echo "make bench   speed, as ratios to a peer or a physical floor of the same run"
	@echo "make simulate SEED=n   one seed of the core simulator, the same bytes each time; SEEDS=n: so many, and one JSON object"
	@echo "make fuzz MINUTES=m TARGET=t   looks for bytes that break a decoder, guided by the code they reach (docs/fuzzing.md)"
	@echo "make soak    the suites that are too long for every change"

build:
	$(CARGO) build --locked --workspace --bins

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

# TARGET: one target or several; without it each one in turn. MINUTES: for each.
MINUTES ?= 1
fuzz:
	./tests/fuzz.sh "$(MINUTES)" $(TARGET)

soak: build
	./tests/soak.sh

# SEED=n: one seed, ending with its trace. SEEDS=n: seeds 1 to n, ending with one JSON object; PLANTED=m looks for each
# planted bug in m seeds as well.
SEEDS ?= 100
PLANTED ?= 0
simulate:
	@$(CARGO) build --locked --release --quiet -p mesh-sim
ifdef SEED
	@$(CARGO_TARGET_DIR)/release/mesh-sim run $(SEED)
else
	@$(CARGO_TARGET_DIR)/release/mesh-sim swarm --seeds $(SEEDS) --planted $(PLANTED)
endif
