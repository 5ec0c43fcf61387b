package policy_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/healing-bot/healbot/runner/policy"
)

// TestRandomLives lets a random instance live under a random policy while users,
// dependencies, the engine and dying supervisors do as they like. What must hold
// after every event is checked by world.tell and its books: among others that
//   - at most MaxAttempts counted restarts lie in any Window;
//   - delays grow with the streak up to the cap, jitter included, and fall back only
//     after a whole stable window;
//   - restarts that were held, and starts that failed outside, are not counted;
//   - what a user stopped never starts by itself;
//   - at most one instance lives, and Due is never in the past after a Tick.
func TestRandomLives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := &random{T: t}
		r.world = &world{t: t, p: randomPolicy(t), now: noon, life: r.fate, starts: r.start}
		r.obeys = span(t, "obeys", 0, 15*time.Second)
		r.tell(policy.Up{})
		for range rapid.IntRange(1, 60).Draw(t, "events") {
			r.pass(span(t, "pass", 0, 2*r.p.Window+time.Minute))
			r.event()
		}
		r.converges()
	})
}

// A random world draws what happens in it.
type random struct {
	*rapid.T
	*world
	fates  map[int]life
	benign bool
}

func span(t *rapid.T, label string, low, high time.Duration) time.Duration {
	// Short spans matter as much as long ones.
	top := high
	for range rapid.IntRange(0, 3).Draw(t, label+" scale") {
		top = low + (top-low)/10
	}
	return time.Duration(rapid.Int64Range(int64(low), int64(top)).Draw(t, label))
}

func randomPolicy(t *rapid.T) policy.Policy {
	second := func(label string, most int) time.Duration {
		return time.Duration(rapid.IntRange(0, most).Draw(t, label)) * time.Second
	}
	return policy.Policy{
		Name:            rapid.SampledFrom([]string{"web", "db", ""}).Draw(t, "name"),
		Condition:       rapid.SampledFrom([]policy.Condition{policy.Always, policy.OnFailure, policy.Never}).Draw(t, "condition"),
		Delay:           second("delay", 20),
		Factor:          rapid.SampledFrom([]float64{0, 1, 1.5, 2, 10}).Draw(t, "factor"),
		MaxDelay:        second("max delay", 120),
		Jitter:          rapid.SampledFrom([]float64{0, 0.1, 0.5, 1}).Draw(t, "jitter"),
		MaxAttempts:     rapid.IntRange(0, 5).Draw(t, "max attempts"),
		Window:          second("window", 300),
		RetryAfter:      rapid.SampledFrom([]time.Duration{0, 10 * time.Minute}).Draw(t, "retry after"),
		Grace:           second("grace", 20),
		Dependent:       rapid.Bool().Draw(t, "dependent"),
		Probe:           rapid.SampledFrom([]policy.ProbeKind{policy.NoProbe, policy.OwnProbe, policy.EngineProbe, policy.LineProbe}).Draw(t, "probe"),
		Interval:        time.Second + second("interval", 30),
		Timeout:         time.Second + second("timeout", 10),
		Retries:         rapid.IntRange(1, 4).Draw(t, "retries"),
		StartPeriod:     second("start period", 60),
		StartInterval:   second("start interval", 5),
		IgnoreUnhealthy: rapid.IntRange(0, 4).Draw(t, "ignore") == 0,
	}
}

// fate draws what becomes of a run, once.
func (r *random) fate(run int) life {
	if r.benign {
		return life{}
	}
	if l, ok := r.fates[run]; ok {
		return l
	}
	var l life
	switch rapid.IntRange(0, 2).Draw(r.T, "fate") {
	case 0:
		l = life{lives: time.Nanosecond + span(r.T, "lives", 0, 2*r.p.Window+time.Second), ok: rapid.Bool().Draw(r.T, "ok")}
	case 1:
		l = life{hangs: time.Nanosecond + span(r.T, "hangs", 0, 2*r.p.Window+time.Second)}
	}
	if r.fates == nil {
		r.fates = map[int]life{}
	}
	r.fates[run] = l
	return l
}

func (r *random) start(run int) policy.Event {
	if r.benign {
		return policy.Started{Run: run}
	}
	switch rapid.IntRange(0, 9).Draw(r.T, "start") {
	case 0, 1:
		return policy.StartFailed{Run: run, Why: "the engine is unreachable", Outside: true}
	case 2:
		return policy.StartFailed{Run: run, Why: "no such file"}
	}
	return policy.Started{Run: run}
}

// event is one thing that somebody does.
func (r *random) event() {
	switch rapid.IntRange(0, 12).Draw(r.T, "event") {
	case 0:
		r.tell(policy.Up{})
	case 1:
		r.tell(policy.Stop{Now: rapid.Bool().Draw(r.T, "now")})
	case 2:
		r.tell(policy.Restart{Why: "asked for"})
	case 3:
		r.tell(policy.Changed{})
	case 4:
		r.tell(policy.Follow{Why: "db was restarted"})
	case 5, 6:
		r.tell(policy.NotReady{Why: "db: starting"})
	case 7, 8:
		r.tell(policy.Ready{})
	case 9:
		r.adopted()
	case 10:
		r.byHand()
	case 11:
		r.strays()
	case 12:
		r.tell(policy.Eased{})
	}
}

// adopted is the death of the supervisor and the coming of the next one.
func (r *random) adopted() {
	var starting policy.Event
	for _, d := range r.to {
		if d.run == 0 {
			starting = d.e
		}
	}
	r.to = nil
	if e, ok := starting.(policy.Started); ok && r.s.Phase == policy.Launching && r.live == 0 {
		r.live = e.Run
	}
	if run := r.live; run != 0 {
		r.now = r.now.Add(span(r.T, "away", 0, time.Hour))
		r.tell(policy.Found{Run: run, Born: r.now.Add(-time.Second)})
		r.speaks()
		if l := r.fate(run); l.lives > 0 {
			r.later(l.lives, run, policy.Exited{Run: run, OK: l.ok, Why: "exit code 1"})
		}
	}
	r.tell(policy.Resume{})
}

// byHand is what a user does with the engine's own commands.
func (r *random) byHand() {
	switch {
	case r.live != 0:
		run, user := r.live, rapid.Bool().Draw(r.T, "by user")
		r.ended()
		r.tell(policy.Exited{Run: run, ByUser: user, Why: "killed by signal 9"})
	case r.s.Phase != policy.Launching:
		r.live = r.s.Run + rapid.IntRange(0, 1).Draw(r.T, "run")
		r.tell(policy.Found{Run: r.live, Born: r.now})
		r.speaks()
	}
}

// strays are events that mean nothing: about older runs, or about nothing at all.
func (r *random) strays() {
	for _, e := range allEvents(r.s.Run - 1) {
		if _, tick := e.(policy.Tick); aboutRun(e) || tick && r.now.Before(r.s.Due) {
			before := r.s
			if r.tell(e); r.s != before {
				r.Fatalf("%#v changed\n%+v into\n%+v", e, before, r.s)
			}
		}
	}
}

// converges lets everything go well from now on: what is wanted comes up, unless it
// has come to its end.
func (r *random) converges() {
	r.benign = true
	r.tell(policy.Ready{})
	for range 3 {
		r.pass(time.Hour)
		if r.live != 0 && (r.p.Probe == policy.EngineProbe || r.p.Probe == policy.LineProbe) {
			r.tell(policy.Judged{Run: r.live, Healthy: true})
		}
	}
	switch r.s.Phase {
	case policy.Live:
		if r.s.Status != policy.Running || !r.s.Wanted || r.s.Streak > 0 && r.p.Window > 0 {
			r.Fatalf("an hour of luck did not help: %+v", r.s)
		}
	case policy.Resting:
		if !r.s.Due.IsZero() {
			r.Fatalf("rests, but not for good: %+v", r.s)
		}
	default:
		r.Fatalf("goes nowhere: %+v", r.s)
	}
}
