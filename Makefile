# make up    builds bin/healbot and runs the stack of healbot-compose.yml
# make test  checks everything that CI checks

GO       ?= go
LINT     := $(GO) tool -modfile=tools/go.mod golangci-lint
COMPOSE  := github.com/docker/compose/v2
STAND_IN := healing-bot/stand-in

.PHONY: up build test format vet race python lint stand-in interop bench clean

up: build $(if $(findstring $(STAND_IN),$(FLUENT_BIT_IMAGE)),stand-in)
	bin/healbot up

build:
	$(GO) build -o bin/healbot ./cmd/healbot

# The log shipper's stand-in, for machines without a registry:
#   make up FLUENT_BIT_IMAGE=healing-bot/stand-in
stand-in:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags='-s -w' -o images/stand-in/stand-in ./cmd/stand-in
	docker build --quiet --tag $(STAND_IN) images/stand-in

# The linter comes last: built cold, it takes minutes.
test: format vet race python lint

format:
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); \
	if [ -n "$$unformatted" ]; then echo "gofmt would change:"; echo "$$unformatted"; exit 1; fi

vet:
	$(GO) vet ./...

race:
	$(GO) test -race -timeout 30m ./...

python:
	python3 -m unittest discover -s examples/healing-bot

lint:
	$(LINT) run ./...

# The tests beside the real docker compose, which is built first: two minutes, once.
interop:
	version=$$(cd tools/compose && $(GO) list -m -f '{{.Version}}' $(COMPOSE)) && \
	$(GO) build -C tools/compose -ldflags "-X $(COMPOSE)/internal.Version=$$version" -o $(CURDIR)/bin/docker-compose $(COMPOSE)/cmd
	HEALBOT_TEST_COMPOSE=$(CURDIR)/bin/docker-compose $(GO) test -race -count=1 -run DockerCompose ./cmd/healbot

bench:
	$(GO) test -run '^$$' -bench . -benchmem ./bench/... ./runner/...

clean:
	rm -rf bin images/stand-in/stand-in
