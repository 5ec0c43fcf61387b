package policy

import "time"

// Decide returns the state that follows s when e happens at now, and what to do
// about it. Every state accepts every event; one that means nothing in s, or is
// about an earlier run, returns s and Nothing.
func Decide(p Policy, s State, e Event, now time.Time) (State, Action) {
	if s.Status == "" {
		s = State{Phase: Resting, Status: Stopped, Since: now, Why: notStarted}
	}
	m := machine{State: s, p: p, now: now}
	act := m.decide(e)
	return m.State, act
}

const notStarted = "not started yet"

// Fresh reports whether nobody has asked for an instance yet, nor for its end.
func (s State) Fresh() bool {
	return s.Status == "" || s.Phase == Resting && s.Run == 0 && s.Why == notStarted
}

// machine is one call of Decide.
type machine struct {
	State
	p   Policy
	now time.Time
}

func (m *machine) decide(e Event) Action {
	switch e := e.(type) {
	case Up:
		return m.up()
	case Stop:
		return m.stop(e)
	case Restart:
		return m.restart(e)
	case Follow:
		return m.follow(e)
	case Ready:
		return m.ready()
	case NotReady:
		return m.notReady(e)
	case Changed:
		return m.changed()
	case Found:
		return m.found(e)
	case Resume:
		return m.resume()
	case Eased:
		if m.Phase == Backoff && m.Tries > 0 {
			m.Due, m.Tries = m.now, 1 // and the pauses begin anew
		}
		return Action{}
	case Tick:
		return m.tick()
	}
	return m.ofRun(e)
}

// ofRun handles the events about one instance.
func (m *machine) ofRun(e Event) Action {
	switch e := e.(type) {
	case Noted:
		if m.Phase == Launching && e.Run == m.Run && (m.Then == Judge || m.Then == Hold) {
			m.Why = e.Why
		}
	case Started:
		if m.Phase == Launching && e.Run == m.Run {
			return m.arrived(m.now)
		}
	case StartFailed:
		if m.Phase == Launching && e.Run == m.Run {
			return m.startFailed(e)
		}
	case Exited:
		if m.hasInstance() && e.Run == m.Run {
			return m.exited(e)
		}
	case Answered:
		if (m.Phase == Ending || m.Phase == Killing) && e.Run == m.Run {
			m.Fault = e.Fault
		}
	case Probed:
		if m.Phase == Live && m.Probing && e.Run == m.Run {
			return m.probed(e)
		}
	case Judged:
		if m.Phase == Live && m.p.Probe != OwnProbe && e.Run == m.Run {
			return m.judged(e)
		}
	}
	return Action{}
}

// enter is the only place that writes a phase, a status or a deadline's meaning.
func (m *machine) enter(phase Phase, status Status, due time.Time, why string) {
	if status != m.Status {
		m.Since = m.now
	}
	if phase != Live {
		m.Well, m.Probe, m.Probing = time.Time{}, time.Time{}, false
		m.Misses = 0
	}
	if phase != Ending && phase != Killing {
		m.Fault = ""
	}
	m.Phase, m.Status, m.Due, m.Why = phase, status, due, why
}

func (m *machine) hasInstance() bool {
	return m.Phase == Live || m.Phase == Ending || m.Phase == Killing
}

func (m *machine) do(v Verb) Action { return Action{v, m.Run} }

// fresh begins a new streak.
func (m *machine) fresh() {
	m.Streak, m.Tries = 0, 0
	m.Last, m.Lived, m.Ill = "", 0, false
}

// launch starts the next instance, or waits until the dependencies allow it. A
// restart that has to wait is not counted.
func (m *machine) launch(next Start, why string) Action {
	m.Then, m.Next, m.Health, m.Hurry, m.Killed = Judge, next, Unchecked, false, false
	if m.Held != "" {
		if next == Counted {
			m.Next = Free
		}
		m.enter(Waiting, Pending, time.Time{}, why)
		return Action{}
	}
	m.Run++
	m.enter(Launching, Pending, time.Time{}, why)
	return m.do(Begin)
}

// rest ends all activity.
func (m *machine) rest(status Status, why string) Action {
	m.Then, m.Next, m.Health, m.Hurry = Judge, Asked, Unchecked, false
	var due time.Time
	if status == MaxRestarts && m.p.RetryAfter > 0 {
		due = m.now.Add(m.p.RetryAfter)
	}
	m.enter(Resting, status, due, why)
	return Action{}
}

// terminate asks the instance to end; it keeps its status meanwhile.
func (m *machine) terminate(then Sequel, status Status, why string) Action {
	m.Then, m.Killed = then, false
	m.enter(Ending, status, m.now.Add(m.p.Grace), why)
	return m.do(Terminate)
}

func (m *machine) kill(why string) Action {
	m.enter(Killing, m.Status, m.now.Add(KillPatience), why)
	return m.do(Kill)
}

func (m *machine) tick() Action {
	if m.Due.IsZero() || m.now.Before(m.Due) {
		return Action{}
	}
	switch m.Phase {
	case Live:
		return m.tickLive()
	case Ending:
		m.Killed, m.Grace = true, m.p.Grace
		return m.kill(m.Why)
	case Killing:
		m.enter(Killing, Failed, m.now.Add(KillPatience), m.Why)
		return m.do(Kill)
	case Resting:
		m.fresh()
		return m.launch(Asked, "starting")
	case Backoff:
		return m.due()
	}
	return Action{}
}

// due starts the next instance, now that the delay is over.
func (m *machine) due() Action {
	switch {
	case m.Tries > 0:
		return m.launch(m.Next, m.Why)
	case m.Held != "":
		return m.launch(Free, "starting")
	case m.p.Condition == Never:
		return m.rest(Failed, m.Last)
	case m.Next == Free:
		return m.launch(Free, "starting")
	case m.p.usedUp(m.Streak):
		return m.rest(MaxRestarts, m.Last)
	}
	return m.launch(Counted, "starting")
}
