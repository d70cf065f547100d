# poolgate: the commands of the README. CMake does the building; this file names what one may ask for.
BUILD    ?= build
JOBS     ?= $(shell nproc 2>/dev/null || echo 2)
FUZZ_SECONDS ?= 300

.PHONY: all deps demo test bench battery run lint format asan tsan fuzz coverage image sbom clean help
.DEFAULT_GOAL := all

all:                  ## build build/poolgate, build/poolgate-worker and build/workers/
	@scripts/deps build
	@scripts/build release $(BUILD) $(JOBS) product

deps:                 ## install what building, testing and running need (Debian packages)
	@scripts/deps

demo: all             ## sentences embedded, a scanned page read, over REST and gRPC, by real workers
	@python3 demo/demo.py $(BUILD)

test: deps            ## build and run every test; the last line is "N passed, N failed"
	@scripts/build release $(BUILD) $(JOBS)
	@tests/run $(BUILD)

bench: all            ## poolgate beside nginx, HAProxy and tesseract: a table of ratios, build/bench.json
	@scripts/deps bench
	@tests/bench/run $(BUILD)

battery: all          ## overload, fairness, deadlines, broken workers against their pass numbers: build/battery.json
	@scripts/deps battery
	@tests/battery/run $(BUILD)

run: all              ## serve in the foreground until Ctrl-C
	@exec $(BUILD)/poolgate serve --config docker/poolgate.yaml

lint: deps            ## formatting, static analysis, the levels of the includes, the hardening of the binaries
	@scripts/deps lint prometheus
	@scripts/lint
	@scripts/lint_openapi

format:               ## put every source file into the house's format
	@scripts/deps lint
	@git ls-files '*.c' '*.h' | xargs clang-format -i

asan: deps            ## every test under the address and undefined-behaviour sanitizers
	@scripts/deps clang
	@scripts/build asan build-asan $(JOBS) && tests/run build-asan

tsan: deps            ## every test under the thread sanitizer
	@scripts/deps clang
	@scripts/build tsan build-tsan $(JOBS) && tests/run build-tsan

fuzz: deps            ## libFuzzer on every parser, FUZZ_SECONDS each; the last line is "N passed, N failed"
	@scripts/deps clang
	@scripts/build fuzz build-fuzz $(JOBS) fuzz_targets && tests/fuzz/run build-fuzz $(FUZZ_SECONDS)

coverage: deps        ## every test, then the share of lines that ran
	@scripts/build coverage build-coverage $(JOBS) && tests/run build-coverage && scripts/coverage build-coverage

image:                ## build the container image and try it: requests, health, SIGTERM, process 1
	@docker/check_image $(BUILD)

sbom: all             ## the Debian packages that the programs load: build/sbom.spdx.json
	@scripts/sbom $(BUILD)

clean:
	rm -rf build build-asan build-tsan build-fuzz build-coverage

help:                 ## this list
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "make %-9s %s\n", $$1, $$2}' Makefile
