# make without a target lists the targets. All of them need Go and make; attack needs redis-server, race a C
# compiler, image Docker.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
COMMIT  ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
DATE    ?= $(shell date -u +%Y-%m-%dT%H:%M:%SZ)
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT) -X main.date=$(DATE)

# How long make fuzz tries each target, what make cover asks of the packages below, and the image's name.
FUZZTIME ?= 10s
COVERAGE ?= 95
COVERED  := internal/otp internal/device internal/challenge internal/context internal/ledger internal/delivery \
	internal/webhook internal/events internal/token
IMAGE    ?= otpd

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: help run dev build test race fuzz attack bench lint cover image

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' Makefile

run: build ## build otpd and serve on 127.0.0.1:8080 with a key of its own, for trying it out
	./bin/otpd dev

dev: build ## like run, and log each request
	OTP_LOG_LEVEL=debug ./bin/otpd dev

build: ## build bin/otpd
	CGO_ENABLED=0 go build -trimpath -ldflags "$(LDFLAGS)" -o bin/otpd ./cmd/otpd

test: ## run all tests, and say which programs are missing for some of them
	@for program in redis-server promtool python3 node npm oathtool zbarimg rsvg-convert; do \
		command -v $$program >/dev/null || echo "there is no $$program here: the tests that need it are skipped"; \
	done
	go test -cover ./...

race: ## run all tests under the race detector
	go test -race ./...

fuzz: ## run every fuzz target for FUZZTIME (10s)
	@set -e; for package in $$(go list ./...); do \
		listed=$$(go test -list '^Fuzz' $$package); \
		for target in $$(echo "$$listed" | grep '^Fuzz' || true); do \
			echo "$$package $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$package; \
		done; \
	done

attack: build ## attack bin/otpd with every ledger, and print what each attack got
	go run ./cmd/otpd-attack -otpd bin/otpd

bench: ## measure over the wire against a bare handler, and in process
	go test -run '^$$' -bench Wire -timeout 30m ./cmd/otpd
	go test -run '^$$' -bench . -benchmem ./internal/otp ./internal/device ./internal/ledger

lint: ## check the format, go vet, staticcheck, go.mod
	@bad=$$(gofmt -l .); test -z "$$bad" || { echo "not as gofmt writes it:"; echo "$$bad"; exit 1; }
	go vet ./...
	go run $(STATICCHECK) ./...
	go mod tidy -diff

cover: ## show the coverage of each package, and check that of most, by what make test has found if nothing has changed
	@report=$$(go test -cover ./...) || { echo "$$report"; exit 1; }; echo "$$report"; \
	for package in $(COVERED); do \
		covered=$$(echo "$$report" | sed -n "s|.*/$$package[[:space:]].*coverage: \([0-9.]*\)%.*|\1|p"); \
		awk "BEGIN { exit !($${covered:-0} >= $(COVERAGE)) }" || \
			{ echo "$$package: $${covered:-0} % covered, not $(COVERAGE) %"; failed=1; }; \
	done; test -z "$$failed"

image: ## build the image with Docker
	docker build --build-arg VERSION=$(VERSION) --build-arg COMMIT=$(COMMIT) --build-arg DATE=$(DATE) -t $(IMAGE) .
