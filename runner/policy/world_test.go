package policy_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/healing-bot/healbot/runner/policy"
)

// failer is what a world needs of a test.
type failer interface {
	Fatalf(format string, args ...any)
}

// A world is a backend made up for a test: it obeys the engine's actions, each with
// a delay, and keeps its own books of what the engine does.
type world struct {
	t   failer
	p   policy.Policy
	s   policy.State
	now time.Time
	to  []delivery // in no order

	events int // told so far

	life   func(run int) life         // what becomes of an instance
	obeys  time.Duration              // how long an action takes
	starts func(run int) policy.Event // overrides how a start is answered
	live   int                        // the live instance's run, or 0
	books
}

// life is what happens to one instance.
type life struct {
	lives time.Duration // 0: it does not end by itself
	hangs time.Duration // healthy that long, then not any more; it never says a line
	ok    bool          // it ends as a finished job does
}

// delivery is an event on its way to the engine.
type delivery struct {
	at  time.Time
	e   policy.Event
	run int // only while this run is live; 0 for always
}

// tell gives the engine an event and obeys.
func (w *world) tell(e policy.Event) {
	before := w.s
	after, act := policy.Decide(w.p, before, e, w.now)
	if err := faulty(before, after, e, act, w.now); err != nil {
		w.t.Fatalf("%#v at %s: %v", e, w.now, err)
	}
	if err := w.impossible(after); err != nil {
		w.t.Fatalf("%#v at %s: %v\n%+v\n%+v", e, w.now, err, before, after)
	}
	if w.events++; w.events%8 == 0 {
		_ = after.Says(w.p, w.now)
	}
	w.s = after
	w.note(w.t, w.p, before, after, e, act, w.now)
	w.obey(act)
}

// impossible also checks the engine's idea of what lives against what does.
func (w *world) impossible(s policy.State) error {
	switch s.Phase {
	case policy.Live, policy.Ending, policy.Killing:
		if s.Run != w.live {
			return fmt.Errorf("run %d is taken to live, but %d does", s.Run, w.live)
		}
	default:
		if w.live != 0 {
			return fmt.Errorf("run %d lives on", w.live)
		}
	}
	return impossible(s)
}

func (w *world) later(d time.Duration, run int, e policy.Event) {
	w.to = append(w.to, delivery{w.now.Add(d), e, run})
}

func (w *world) obey(act policy.Action) {
	switch act.Verb {
	case policy.Begin:
		if w.live != 0 {
			w.t.Fatalf("run %d begins while run %d lives", act.Run, w.live)
		}
		var e policy.Event = policy.Started{Run: act.Run}
		if w.starts != nil {
			e = w.starts(act.Run)
		}
		w.later(w.obeys, 0, e)
	case policy.Terminate, policy.Kill:
		w.later(w.obeys, act.Run, policy.Exited{Run: act.Run, Why: "killed by signal 15"})
	case policy.Probe:
		healthy := w.life(act.Run).hangs == 0 || w.now.Sub(w.s.Born) < w.life(act.Run).hangs
		w.later(min(w.obeys, w.p.Timeout), act.Run, policy.Probed{Run: act.Run, Healthy: healthy, Why: "no answer"})
	}
}

// arrive delivers what is due, and keeps book of what lives.
func (w *world) arrive(d delivery) {
	if d.run != 0 && d.run != w.live {
		return
	}
	switch e := d.e.(type) {
	case policy.Started:
		w.live = e.Run
		w.speaks()
		if l := w.life(e.Run); l.lives > 0 {
			w.later(l.lives, e.Run, policy.Exited{Run: e.Run, OK: l.ok, Why: "exit code 1"})
		}
	case policy.Exited:
		w.ended()
	}
	w.tell(d.e)
}

// speaks lets the live instance write the line that is waited for, unless it hangs.
func (w *world) speaks() {
	if w.p.Probe == policy.LineProbe && w.life(w.live).hangs == 0 {
		w.later(0, w.live, policy.Judged{Run: w.live, Healthy: true})
	}
}

// ended forgets what was to happen to the live instance.
func (w *world) ended() {
	gone := w.live
	w.live = 0
	w.to = slices.DeleteFunc(w.to, func(d delivery) bool { return d.run == gone })
}

// pass lets time pass until end or until the engine rests for good: deliveries and
// Ticks come in order.
func (w *world) pass(d time.Duration) {
	end := w.now.Add(d)
	for {
		next := -1
		for i := range w.to {
			if next < 0 || w.to[i].at.Before(w.to[next].at) {
				next = i
			}
		}
		due := !w.s.Due.IsZero() && !w.s.Due.After(end) && (next < 0 || w.s.Due.Before(w.to[next].at))
		switch {
		case due:
			w.reach(w.s.Due)
			w.tell(policy.Tick{})
		case next >= 0 && !w.to[next].at.After(end):
			d := w.to[next]
			w.to = append(w.to[:next], w.to[next+1:]...)
			w.reach(d.at)
			w.arrive(d)
		default:
			w.now = end
			return
		}
	}
}

func (w *world) reach(t time.Time) {
	if t.After(w.now) {
		w.now = t
	}
}
