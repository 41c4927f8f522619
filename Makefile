# The commands of this project. CI runs the same ones; `make` alone lists them.

CARGO ?= cargo
# Passed to every cargo command that builds. CI adds --locked.
CARGO_FLAGS ?=
# What `make bench` and `make sound` pass on: --quick tries everything at small sizes.
BENCH_FLAGS ?=
TARGET_DIR = $(or $(CARGO_TARGET_DIR),target)
SHELL_SCRIPTS = scripts/setup scripts/build-peers scripts/check-deploy scripts/check-web scripts/event-hashes demo/clips/make-clips \
	bench/voices/make-voices deploy/docker/make-trust deploy/docker/healthcheck .ci/run

.DEFAULT_GOAL := help
# `make setup demo` with -j must not build before the setup is through.
.NOTPARALLEL:
.PHONY: help setup build demo test check-deploy check-web lint bench sound

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

setup: ## install what is missing: cmake, ALSA headers, opus-tools, PyJWT, what checks deploy/, browsers
	@scripts/setup test

build: ## build everything, optimised
	@scripts/setup build
	$(CARGO) build --release --workspace --bins $(CARGO_FLAGS)

# Forty listeners need no optimised relay: the demo and the tests share the development profile and
# the same features, so that neither builds again what the other has built.
demo: ## a tree of relays, two speakers and 40 listeners on this machine, in a minute
	@scripts/setup build
	$(CARGO) build -p tribune-relay -p tribune-client -p tribune-tests --bins $(CARGO_FLAGS)
	@$(TARGET_DIR)/debug/tribune-demo

# The end-to-end tests start the binaries, so those are built first. nextest, where it is
# installed, shows progress and ends a test that hangs (.config/nextest.toml); without it the
# tests that start processes run one at a time. Doc tests are cargo's own in both cases.
test: ## all tests
	@scripts/setup test
	@scripts/check-deploy
	@scripts/check-web
	$(CARGO) build --workspace --bins $(CARGO_FLAGS)
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
		set -ex; \
		$(CARGO) nextest run --workspace $(CARGO_FLAGS); \
	else \
		set -ex; \
		$(CARGO) test --workspace --lib --bins --no-fail-fast $(CARGO_FLAGS); \
		$(CARGO) test --workspace --test '*' --no-fail-fast $(CARGO_FLAGS) -- --test-threads=1; \
	fi
	$(CARGO) test --workspace --doc $(CARGO_FLAGS)

check-deploy: ## what is in deploy/, by the tools that read it: rules, dashboards, images, units, manifests
	@scripts/setup test
	@scripts/check-deploy

check-web: ## what is in web/, without a browser: its types, and its own tests in node
	@scripts/setup test
	@scripts/check-web

lint: ## rustfmt, clippy and rustdoc with warnings denied, the shape of the code, shellcheck, cargo-deny
	@scripts/setup lint
	$(CARGO) fmt --all --check
	CARGO="$(CARGO)" scripts/check-shape
	@if command -v shellcheck >/dev/null; then \
		set -x; shellcheck $(SHELL_SCRIPTS); \
	else \
		echo "lint: shellcheck is not installed, the shell scripts are not checked"; \
	fi
	$(CARGO) clippy --workspace --all-targets $(CARGO_FLAGS) -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps $(CARGO_FLAGS)
	@if $(CARGO) deny --version >/dev/null 2>&1; then \
		set -x; $(CARGO) deny check --hide-inclusion-graph licenses sources bans; \
	else \
		echo "lint: cargo-deny is not installed, licences and sources are not checked"; \
	fi

bench: ## everything that is measured and judged, beside other systems; under 30 minutes
	@scripts/setup bench
	$(CARGO) build --release -p tribune-bench -p tribune-relay --bins $(CARGO_FLAGS)
	@CARGO="$(CARGO)" scripts/build-peers $(CARGO_FLAGS)
	$(TARGET_DIR)/release/tribune-bench suite $(BENCH_FLAGS)

sound: ## how a listener hears a speaker over lossy paths, in virtual time; some minutes
	@scripts/setup sound
	$(CARGO) build --release -p tribune-bench --bins $(CARGO_FLAGS)
	$(TARGET_DIR)/release/tribune-bench sound $(BENCH_FLAGS)
