package policy_test

import (
	"time"

	"github.com/healing-bot/healbot/runner/policy"
)

// books are what a test writes down itself about an engine, from its actions and
// statuses alone: it does not believe Streak.
type books struct {
	auto    bool        // the start under way is a counted restart
	restart []time.Time // counted restarts of the streak
	counted []time.Time // counted restarts since somebody asked for something
	well    time.Time   // since when the instance is running
	failed  bool        // back-off after a failure, not after a failed start
}

func (b *books) note(t failer, p policy.Policy, before, after policy.State, e policy.Event, act policy.Action, now time.Time) {
	b.settle(p, before, now)
	b.streak(before, after, e)
	b.delays(t, p, before, after, now)
	switch {
	case act.Verb == policy.Begin && before.Phase == policy.Backoff && b.failed:
		_, b.auto = e.(policy.Tick)
		b.failed = false
	case after.Phase == policy.Waiting, after.Phase == policy.Resting, before.Then == policy.Hold && act.Verb == policy.Begin:
		b.auto = false
	}
	if after.Phase == policy.Live && before.Phase != policy.Live && b.auto {
		b.auto = false
		b.restart, b.counted = append(b.restart, now), append(b.counted, now)
		b.limits(t, p, now)
	}
	if len(b.restart) != after.Streak {
		t.Fatalf("%#v at %s: the books say %d restarts in a row, the engine %d\n%+v\n%+v", e, now, len(b.restart), after.Streak, before, after)
	}
	b.stopped(t, before, e, act)
}

// settle ends a streak after a whole stable window.
func (b *books) settle(p policy.Policy, before policy.State, now time.Time) {
	if before.Status != policy.Running || before.Phase != policy.Live {
		b.well = time.Time{}
		return
	}
	if b.well.IsZero() {
		b.well = before.Since
		if before.Born.After(b.well) {
			b.well = before.Born
		}
	}
	if p.Window > 0 && before.Misses == 0 && now.Sub(b.well) >= p.Window {
		b.restart = nil
	}
}

// streak ends it for a user, and for a retry at max_restarts.
func (b *books) streak(before, after policy.State, e policy.Event) {
	clears := false
	switch e := e.(type) {
	case policy.Stop, policy.Restart:
		clears, b.auto = true, false
	case policy.Changed:
		clears = before.Phase != policy.Resting
	case policy.Up:
		clears = before.Phase == policy.Resting || before.Then == policy.Rest
	case policy.Tick:
		clears = before.Phase == policy.Resting && after.Phase != policy.Resting
	case policy.Exited:
		clears = e.ByUser && before.Phase == policy.Live && e.Run == before.Run
	case policy.Found:
		clears = before.Phase == policy.Resting
		b.auto = b.auto && e.Run == before.Run
	}
	if clears {
		b.restart, b.counted = nil, nil
	}
}

// delays checks the back-off of a failure: it grows with the streak, up to the cap.
func (b *books) delays(t failer, p policy.Policy, before, after policy.State, now time.Time) {
	if after.Phase != policy.Backoff || before.Phase == policy.Backoff {
		return
	}
	delay := after.Due.Sub(now)
	most := 365 * 24 * time.Hour
	if p.MaxDelay > 0 {
		most = p.MaxDelay
	}
	if delay > most {
		t.Fatalf("delay %s is beyond the cap of %s", delay, most)
	}
	if b.failed = after.Status != policy.Pending; !b.failed {
		return
	}
	want := min(p.Delay, most).Seconds()
	for range b.restart {
		want = min(want*max(p.Factor, 1), most.Seconds())
	}
	if got := delay.Seconds(); got < want*(1-p.Jitter)-1e-6 || got > want*(1+p.Jitter)+1e-6 {
		t.Fatalf("delay %gs before restart %d, want %gs and %g of jitter", got, len(b.restart)+1, want, p.Jitter)
	}
}

// limits checks that at most MaxAttempts counted restarts lie in any Window.
func (b *books) limits(t failer, p policy.Policy, now time.Time) {
	n := 0
	for _, at := range b.counted {
		if p.Window <= 0 || now.Sub(at) < p.Window {
			n++
		}
	}
	if p.MaxAttempts > 0 && n > p.MaxAttempts {
		t.Fatalf("restart %d of %d inside of %s", n, p.MaxAttempts, p.Window)
	}
}

// stopped checks that what a user stopped is not started by anything but a request.
func (b *books) stopped(t failer, before policy.State, e policy.Event, act policy.Action) {
	if act.Verb != policy.Begin || before.Wanted {
		return
	}
	switch e.(type) {
	case policy.Up, policy.Restart:
	default:
		t.Fatalf("%#v began run %d of what is not wanted", e, act.Run)
	}
}
