package policy_test

import (
	"testing"
	"time"

	"github.com/healing-bot/healbot/runner/policy"
)

// A rival is the restart limit as others count it.
type rival interface {
	allows(now time.Time) bool
}

// fixedWindow counts from zero again in every new window.
type fixedWindow struct {
	limit  int
	window time.Duration
	start  time.Time
	count  int
}

func (f *fixedWindow) allows(now time.Time) bool {
	if now.Sub(f.start) >= f.window {
		f.start, f.count = now.Truncate(f.window), 0
	}
	f.count++
	return f.count <= f.limit
}

// slidingCount counts what lies less than a window back.
type slidingCount struct {
	limit  int
	window time.Duration
	at     []time.Time
}

func (s *slidingCount) allows(now time.Time) bool {
	for len(s.at) > 0 && now.Sub(s.at[0]) >= s.window {
		s.at = s.at[1:]
	}
	s.at = append(s.at, now)
	return len(s.at) <= s.limit
}

// A rhythm says how long each instance lives, the first one being number 1.
type rhythm func(run int) time.Duration

// restarts plays a rhythm against a rival that restarts at once, up to most times.
func (r rhythm) restarts(rule rival, most int) (n int) {
	now := noon
	for run := 1; n < most; run++ {
		now = now.Add(r(run))
		if !rule.allows(now) {
			return n
		}
		n++
	}
	return n
}

// ours plays it against Decide, which also restarts at once here.
func (r rhythm) ours(t *testing.T, d time.Duration) (restarts int, s policy.State) {
	w := &world{t: t, now: noon, p: policy.Policy{Condition: policy.Always, MaxAttempts: 5, Window: 5 * time.Minute}}
	w.life = func(run int) life { return life{lives: r(run)} }
	w.tell(policy.Up{})
	w.pass(d)
	return len(w.counted), w.s
}

// edge fails five times just before five minutes are over, and on and on thereafter.
func edge(run int) time.Duration {
	switch run {
	case 1:
		return 299 * time.Second
	case 6:
		return 1200 * time.Millisecond
	}
	return 200 * time.Millisecond
}

// hang is noticed and ended every 70 seconds.
func hang(int) time.Duration { return 70 * time.Second }

func TestFixedWindowLetsTenThroughAtItsEdge(t *testing.T) {
	if n := rhythm(edge).restarts(&fixedWindow{limit: 5, window: 5 * time.Minute, start: noon}, 100); n != 10 {
		t.Errorf("a fixed window let %d restarts through within 4 s, this test needs 10", n)
	}
	if n, s := rhythm(edge).ours(t, 24*time.Hour); n != 5 || s.Status != policy.MaxRestarts {
		t.Errorf("after %d restarts it is %s, want 5 and max_restarts", n, s.Status)
	}
}

func TestSlidingCountNeverTripsForAHang(t *testing.T) {
	if n := rhythm(hang).restarts(&slidingCount{limit: 5, window: 5 * time.Minute}, 10000); n != 10000 {
		t.Errorf("a sliding count tripped after %d restarts, this test needs one that never does", n)
	}
	if n, s := rhythm(hang).ours(t, 24*time.Hour); n != 5 || s.Status != policy.MaxRestarts {
		t.Errorf("after %d restarts it is %s, want 5 and max_restarts", n, s.Status)
	}
}
