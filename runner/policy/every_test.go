package policy_test

import (
	"testing"
	"time"

	"github.com/healing-bot/healbot/runner/policy"
)

var (
	phases   = []policy.Phase{policy.Resting, policy.Waiting, policy.Launching, policy.Live, policy.Ending, policy.Killing, policy.Backoff}
	statuses = []policy.Status{
		policy.Pending, policy.Starting, policy.Running, policy.Unhealthy, policy.Crashed,
		policy.Stopped, policy.Completed, policy.Failed, policy.MaxRestarts,
	}
	sequels = []policy.Sequel{policy.Judge, policy.Rest, policy.Again, policy.Heal, policy.Hold}
	starts  = []policy.Start{policy.Asked, policy.Counted, policy.Free}
	noon    = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
)

// allEvents are all events in all their variants, about run number run.
func allEvents(run int) []policy.Event {
	return []policy.Event{
		policy.Up{},
		policy.Stop{},
		policy.Stop{Now: true},
		policy.Restart{Why: "asked for"},
		policy.Changed{},
		policy.Follow{Why: "db was restarted"},
		policy.Ready{},
		policy.NotReady{Why: "db: starting"},
		policy.NotReady{},
		policy.Resume{},
		policy.Eased{},
		policy.Tick{},
		policy.Found{Run: run, Born: noon.Add(-time.Hour)},
		policy.Found{Run: run, Born: noon.Add(time.Hour)},
		policy.Noted{Run: run, Why: "pulling"},
		policy.Started{Run: run},
		policy.StartFailed{Run: run, Why: "no such file"},
		policy.StartFailed{Run: run, Why: "unreachable", Outside: true},
		policy.Exited{Run: run, Why: "exit code 1"},
		policy.Exited{Run: run, OK: true, Why: "exit code 0"},
		policy.Exited{Run: run, ByUser: true, Why: "exit code 0"},
		policy.Exited{Run: run, Outside: true, Why: "ended"},
		policy.Answered{Run: run, Fault: "the keeper does not answer"},
		policy.Answered{Run: run},
		policy.Probed{Run: run, Healthy: true},
		policy.Probed{Run: run, Why: "refused"},
		policy.Probed{Run: run, Unable: true, Why: "no curl"},
		policy.Judged{Run: run, Healthy: true},
		policy.Judged{Run: run, Why: "no answer"},
		policy.Judged{Run: run, Unable: true, Why: "no curl"},
	}
}

// somePolicies differ in all that Decide makes a decision by.
func somePolicies() []policy.Policy {
	base := policy.Policy{
		Name: "web", Condition: policy.Always, Delay: 5 * time.Second, Factor: 2, MaxDelay: time.Minute, Jitter: 0.1,
		MaxAttempts: 2, Window: 5 * time.Minute, Grace: 10 * time.Second,
		Interval: 10 * time.Second, Timeout: 3 * time.Second, Retries: 2,
	}
	own, engine, line, shy := base, base, base, base
	line.Probe = policy.LineProbe
	own.Probe, own.Dependent, own.RetryAfter = policy.OwnProbe, true, time.Hour
	engine.Probe, engine.Condition = policy.EngineProbe, policy.OnFailure
	shy.Probe, shy.Condition, shy.IgnoreUnhealthy = policy.OwnProbe, policy.Never, true
	return []policy.Policy{{}, base, own, engine, line, shy}
}

// anyStates calls try with a state of every phase, status, sequel, kind of start and
// readiness, also those that can't be reached.
func anyStates(try func(policy.State)) {
	for _, phase := range phases {
		for _, status := range statuses {
			for _, then := range sequels {
				for i, next := range starts {
					try(shaped(policy.State{
						Phase: phase, Status: status, Then: then, Next: next, Run: 7, Streak: i, Total: 3,
						Wanted: true, Why: "why", Last: "exit code 1", Since: noon.Add(-time.Hour), Born: noon.Add(-time.Hour),
					}))
				}
			}
		}
	}
}

// shaped gives s the fields that its phase brings with it.
func shaped(s policy.State) policy.State {
	switch s.Phase {
	case policy.Resting:
		s.Then = policy.Judge
	case policy.Waiting:
		s.Held = "db: starting"
	case policy.Live:
		s.Health, s.Misses, s.Probe, s.Due = policy.Healthy, 1, noon, noon
		s.Probing = s.Next == policy.Free
		if s.Status == policy.Running {
			s.Well = s.Born
		}
	case policy.Ending, policy.Killing, policy.Backoff:
		s.Due = noon
	}
	if s.Status == policy.MaxRestarts && s.Phase == policy.Resting {
		s.Due = noon
	}
	return s
}

// TestEveryStateAcceptsEveryEvent tries all of them, before, at and after Due.
func TestEveryStateAcceptsEveryEvent(t *testing.T) {
	tried := 0
	for _, p := range somePolicies() {
		for _, run := range []int{6, 7, 8} {
			for _, e := range allEvents(run) {
				anyStates(func(s policy.State) {
					for _, now := range []time.Time{noon.Add(-time.Hour), noon, noon.Add(24 * time.Hour)} {
						tried++
						after, act := policy.Decide(p, s, e, now)
						if err := faulty(s, after, e, act, now); err != nil {
							t.Fatalf("%#v at %s in\n%+v\n%v", e, now, s, err)
						}
						if tried%16 == 0 {
							_ = after.Says(p, now)
						}
					}
				})
			}
		}
	}
	t.Logf("tried=%d", tried)
}

// TestOlderRunsChangeNothing tries every event about a run that was followed by
// another. Found is told apart in the scenes: an older run may be live again.
func TestOlderRunsChangeNothing(t *testing.T) {
	for _, p := range somePolicies() {
		for _, e := range allEvents(6) {
			if !aboutRun(e) {
				continue
			}
			anyStates(func(s policy.State) {
				if after, act := policy.Decide(p, s, e, noon); after != s || act != (policy.Action{}) {
					t.Fatalf("%#v did %v to\n%+v\n%+v", e, act, s, after)
				}
			})
		}
	}
}

func aboutRun(e policy.Event) bool {
	switch e.(type) {
	case policy.Noted, policy.Started, policy.StartFailed, policy.Exited, policy.Answered, policy.Probed, policy.Judged:
		return true
	}
	return false
}

func TestNamesAreComplete(t *testing.T) {
	for _, c := range []policy.Condition{policy.Never, policy.OnFailure, policy.Always} {
		_ = c.String()
	}
	for _, h := range []policy.Health{policy.Unchecked, policy.Unproven, policy.Healthy, policy.Sick, policy.Unknown} {
		_ = h.String()
	}
	for _, v := range []policy.Verb{policy.Nothing, policy.Begin, policy.Abandon, policy.Terminate, policy.Kill, policy.Probe} {
		_ = v.String()
	}
}

func TestAge(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0s": -time.Hour, "0.3s": 349 * time.Millisecond, "9.6s": 9600 * time.Millisecond, "10s": 10 * time.Second,
		"1m00s": time.Minute - time.Millisecond, "4m10s": 250 * time.Second, "3h20m": 200 * time.Minute, "5d2h": 122 * time.Hour,
	} {
		if got := policy.Age(d); got != want {
			t.Errorf("Age(%s) = %q, want %q", d, got, want)
		}
	}
}
