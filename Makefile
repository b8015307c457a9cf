# Thin by intent: each target is one command, the work is in xtask/scripts/ and `cargo xtask`.

CARGO ?= cargo
MINUTES ?= 60
ARGS ?=
scripts := xtask/scripts

.DEFAULT_GOAL := help
.PHONY: help setup setup-test demo test verify fix soak sim bench

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

setup: ## install what building and the demo need
	@$(scripts)/setup.sh demo

setup-test: ## install what the tests need as well
	@$(scripts)/setup.sh test

demo: setup ## build in release and run the demo (ARGS="--scenario full --json", ARGS="--clip FILE")
	@$(CARGO) build --release --package fairground
	@exec "$${CARGO_TARGET_DIR:-target}/release/fairground" demo $(ARGS)

test: ## the gate: static checks, all tests, cluster scenario, browser
	@$(scripts)/gate.sh all

verify: ## the gate's static half; never writes
	@$(scripts)/gate.sh static

fix: ## mend formatting and what clippy can mend
	$(CARGO) fmt --all
	$(CARGO) clippy --workspace --all-targets --fix --allow-dirty --allow-staged

soak: ## repeat the whole scenario for MINUTES (default 60)
	@$(scripts)/soak.sh "$(MINUTES)"

sim: ## sweep fresh seeds of the simulator for MINUTES (default 60)
	@$(CARGO) build --profile sim --package fairground-sim
	@"$${CARGO_TARGET_DIR:-target}/sim/fairground-sim" --minutes "$(MINUTES)" --jobs 2

bench: ## benches, the figures of one scenario, load on a market and its peers
	@$(scripts)/bench.sh
