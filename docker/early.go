package docker

import (
	"context"
	"io"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/versions"

	"github.com/healing-bot/healbot/service"
)

// startIntervalAPI is the first API version whose engine knows start_interval.
const startIntervalAPI = "1.44"

// lookEarly does what start_interval asks for where the engine is too old to: it runs the
// check every start_interval until it succeeds, for as long as start_period. A failure in
// that time means nothing, so only a success is told; after it the engine's own verdicts
// count.
func (b *Backend) lookEarly(i *Instance, svc service.Service, api string) {
	h := svc.Image.Config.HealthCheck
	if i.verdicts == nil || h == nil || h.StartInterval == nil || h.StartPeriod == nil || versions.GreaterThanOrEqualTo(api, startIntervalAPI) {
		return
	}
	argv := checkArgv(h.Test)
	if argv == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(*h.StartPeriod))
	go func() {
		defer cancel()
		again := time.NewTicker(time.Duration(*h.StartInterval))
		defer again.Stop()
		for !b.passes(ctx, i.about.ID, argv, h.Timeout) {
			select {
			case <-again.C:
			case <-ctx.Done():
				return
			case <-i.ended:
				return
			case <-b.done:
				return
			}
		}
		select {
		case i.verdicts <- service.Verdict{Healthy: true}:
		default: // the engine was quicker
		}
	}()
}

// passes runs a check once.
func (b *Backend) passes(ctx context.Context, id string, argv []string, timeout *types.Duration) bool {
	limit := callTime
	if timeout != nil {
		limit = time.Duration(*timeout)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	code, err := b.Exec(ctx, id, Call{Argv: argv, Out: io.Discard, Err: io.Discard})
	return err == nil && code == 0
}

// checkArgv gives the command line of a check in Compose's form; nil if it has none.
func checkArgv(test []string) []string {
	switch {
	case len(test) < 2:
		return nil
	case test[0] == "CMD-SHELL":
		return []string{"/bin/sh", "-c", test[1]}
	case test[0] == "CMD":
		return test[1:]
	}
	return nil
}
