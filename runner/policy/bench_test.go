package policy_test

import (
	"testing"
	"time"

	"github.com/healing-bot/healbot/runner/policy"
)

// A decision is one call of Decide that does something.
type decision struct {
	name string
	p    policy.Policy
	s    policy.State
	e    policy.Event
	now  time.Time
}

// decisions has one for each kind of event, and more where an event decides more.
func decisions() []decision {
	p := somePolicies()[1]
	own := somePolicies()[2]
	at := func(phase policy.Phase, status policy.Status) policy.State {
		return shaped(policy.State{
			Phase: phase, Status: status, Run: 7, Streak: 1, Wanted: true, Next: policy.Counted,
			Why: "why", Last: "exit code 1", Since: noon, Born: noon.Add(-time.Minute),
		})
	}
	resting, waiting := at(policy.Resting, policy.Stopped), at(policy.Waiting, policy.Pending)
	launching, live := at(policy.Launching, policy.Pending), at(policy.Live, policy.Running)
	ending, backoff := at(policy.Ending, policy.Running), at(policy.Backoff, policy.Crashed)
	asked := live
	asked.Probing = true
	return []decision{
		{"Up", p, resting, policy.Up{}, noon},
		{"Stop", p, live, policy.Stop{}, noon},
		{"Restart", p, live, policy.Restart{Why: "asked for"}, noon},
		{"Changed", own, live, policy.Changed{}, noon},
		{"Follow", p, live, policy.Follow{Why: "db was restarted"}, noon},
		{"Ready", p, waiting, policy.Ready{}, noon},
		{"NotReady", p, launching, policy.NotReady{Why: "db: starting"}, noon},
		{"Noted", p, launching, policy.Noted{Run: 7, Why: "pulling"}, noon},
		{"Started", own, launching, policy.Started{Run: 7}, noon},
		{"StartFailed", p, launching, policy.StartFailed{Run: 7, Why: "unreachable", Outside: true}, noon},
		{"Exited", p, live, policy.Exited{Run: 7, Why: "exit code 1"}, noon},
		{"ExitedMaxRestarts", policy.Policy{Condition: policy.Always, MaxAttempts: 1}, live, policy.Exited{Run: 7, Why: "exit code 1"}, noon},
		{"Probed", own, asked, policy.Probed{Run: 7, Healthy: true}, noon},
		{"ProbedSick", own, asked, policy.Probed{Run: 7, Why: "refused"}, noon},
		{"Judged", p, live, policy.Judged{Run: 7, Healthy: true}, noon},
		{"JudgedSick", p, live, policy.Judged{Run: 7, Why: "no answer"}, noon},
		{"Found", p, resting, policy.Found{Run: 7, Born: noon}, noon},
		{"Resume", p, launching, policy.Resume{}, noon},
		{"TickProbe", own, live, policy.Tick{}, noon},
		{"TickKill", p, ending, policy.Tick{}, noon},
		{"TickStart", p, backoff, policy.Tick{}, noon},
		{"Older", p, live, policy.Exited{Run: 6, Why: "exit code 1"}, noon},
	}
}

// TestDecideAllocatesNothing holds for every event, so that a supervisor of many
// services makes no garbage while nothing is wrong, nor while all is.
func TestDecideAllocatesNothing(t *testing.T) {
	for _, d := range decisions() {
		after, act := policy.Decide(d.p, d.s, d.e, d.now)
		if d.name != "Older" && after == d.s && act == (policy.Action{}) {
			t.Errorf("%s does nothing", d.name)
		}
		if n := testing.AllocsPerRun(100, func() { policy.Decide(d.p, d.s, d.e, d.now) }); n != 0 {
			t.Errorf("%s: %g allocations", d.name, n)
		}
	}
}

// TestEventsAllocateNothing: neither does an event that is made for the call.
func TestEventsAllocateNothing(t *testing.T) {
	d, why := decisions()[10], "exit code 1"
	n := testing.AllocsPerRun(100, func() {
		s, _ := policy.Decide(d.p, d.s, policy.Exited{Run: 7, Why: why}, noon)
		s, _ = policy.Decide(d.p, s, policy.Tick{}, s.Due)
		policy.Decide(d.p, s, policy.Started{Run: 8}, noon)
	})
	if n != 0 {
		t.Errorf("%g allocations", n)
	}
}

func BenchmarkDecide(b *testing.B) {
	for _, d := range decisions() {
		b.Run(d.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				policy.Decide(d.p, d.s, d.e, d.now)
			}
		})
	}
}

func BenchmarkSays(b *testing.B) {
	d := decisions()[10]
	s, _ := policy.Decide(d.p, d.s, d.e, d.now)
	b.ReportAllocs()
	for b.Loop() {
		_ = s.Says(d.p, noon)
	}
}
