package runner

import (
	"context"
	"runtime"
)

// turns bound what is done at once.
type turns struct {
	limit               int
	preparing, starting queue
}

// A queue lets in as many as it has room for; nil lets in all.
type queue chan struct{}

// turnsFor gives turns for n at once. 0 keeps the machine busy with starts, and lets
// images and environments be made ready all at once; a negative n bounds nothing.
func turnsFor(n int) turns {
	switch {
	case n > 0:
		return turns{n, make(queue, n), make(queue, n)}
	case n < 0:
		return turns{limit: n}
	}
	return turns{starting: make(queue, 4*runtime.NumCPU())}
}

// take calls f when there is room, unless ctx ends first.
func (q queue) take(ctx context.Context, f func() error) error {
	if q != nil {
		select {
		case q <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		defer func() { <-q }()
	}
	return f()
}

// Limit sets how many services are made ready, and how many are started, at once from now
// on; 0 for what suits the machine, -1 for no limit.
func (r *Runner) Limit(n int) {
	r.post(func() {
		if n != r.turns.limit {
			r.turns = turnsFor(n)
		}
	})
}
