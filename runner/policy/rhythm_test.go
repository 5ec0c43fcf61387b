package policy_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/healing-bot/healbot/runner/policy"
)

// TestEveryFasterRhythmEnds: whatever fails within Window each time, by crash or by
// hang, ends in max_restarts, after exactly MaxAttempts restarts.
func TestEveryFasterRhythmEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := randomPolicy(t)
		p.Condition, p.IgnoreUnhealthy, p.RetryAfter = policy.Always, false, 0
		p.MaxAttempts = rapid.IntRange(1, 10).Draw(t, "limit")
		p.Window += 2 * (p.Interval + p.Timeout)
		if p.Probe == policy.EngineProbe || p.Probe == policy.LineProbe {
			p.Probe = policy.OwnProbe
		}
		w := &world{t: t, p: p, now: noon, obeys: p.Timeout}
		lives := make([]life, p.MaxAttempts+1)
		for i := range lives {
			lasts := time.Nanosecond + span(t, "lasts", 0, p.Window-p.Interval-p.Timeout-2*time.Nanosecond)
			if lives[i] = (life{hangs: lasts}); p.Probe == policy.NoProbe || rapid.Bool().Draw(t, "crashes") {
				lives[i] = life{lives: lasts}
			}
		}
		w.life = func(run int) life { return lives[run-1] }
		w.tell(policy.Up{})
		w.pass(10 * 365 * 24 * time.Hour)
		if w.s.Status != policy.MaxRestarts || len(w.counted) != p.MaxAttempts {
			t.Fatalf("%s after %d of %d restarts: %+v", w.s.Status, len(w.counted), p.MaxAttempts, w.s)
		}
	})
}

// TestOneCrashADay for a year never reaches the limit, and each is healed after the
// first delay.
func TestOneCrashADay(t *testing.T) {
	w := &world{t: t, now: noon, p: policy.Policy{
		Condition: policy.Always, Delay: 5 * time.Second, Factor: 2, MaxDelay: time.Minute, MaxAttempts: 5, Window: 5 * time.Minute,
	}}
	w.life = func(int) life { return life{lives: 24 * time.Hour} }
	w.tell(policy.Up{})
	w.pass(365 * 24 * time.Hour)
	if w.s.Status != policy.Running || w.s.Total != 364 || len(w.counted) != 364 {
		t.Errorf("%s after %d restarts", w.s.Status, w.s.Total)
	}
}

// TestAYearOfFlapping, by crash and by hang in turn, takes less than two seconds.
func TestAYearOfFlapping(t *testing.T) {
	const lives = 11 * time.Second
	p := policy.Policy{
		Condition: policy.Always, Delay: 5 * time.Second, Factor: 2, MaxDelay: time.Minute, Jitter: 0.1,
		MaxAttempts: 5, Window: 5 * time.Minute, RetryAfter: 10 * time.Minute, Grace: 10 * time.Second,
		Probe: policy.OwnProbe, Interval: 5 * time.Second, Timeout: 3 * time.Second, Retries: 2,
	}
	began, now, events := time.Now(), noon, 0
	s, act := policy.Decide(p, policy.State{}, policy.Up{}, now)
	for end := now.Add(365 * 24 * time.Hour); now.Before(end); events++ {
		crash := s.Born.Add(lives)
		var e policy.Event = policy.Tick{}
		switch {
		case act.Verb == policy.Begin:
			e = policy.Started{Run: s.Run}
		case act.Verb == policy.Probe:
			e = policy.Probed{Run: s.Run, Healthy: now.Before(crash), Why: "no answer"}
		case act.Verb == policy.Terminate:
			e = policy.Exited{Run: s.Run, Why: "exit code 0"}
		case s.Phase == policy.Live && s.Run%2 == 1 && !s.Due.Before(crash):
			now, e = crash, policy.Exited{Run: s.Run, Why: "exit code 1"}
		default:
			now = s.Due
		}
		s, act = policy.Decide(p, s, e, now)
	}
	took := time.Since(began)
	t.Logf("runs=%d restarts=%d events=%d took=%s", s.Run, s.Total, events, took.Round(time.Millisecond))
	if s.Run < 200000 || s.Total > s.Run*5/6 {
		t.Errorf("%d runs, %d of them restarts", s.Run, s.Total)
	}
	if took > 2*time.Second && !raced && !testing.Short() {
		t.Errorf("it took %s", took)
	}
}
