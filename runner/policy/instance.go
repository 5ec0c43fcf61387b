package policy

import "time"

// arrived brings an instance to life, whose end may have been asked for while it
// was on its way.
func (m *machine) arrived(born time.Time) Action {
	then, why, hurry := m.Then, m.Why, m.Hurry
	m.born(born)
	switch {
	case then == Rest && hurry:
		m.Then = Rest
		return m.kill(why)
	case then == Rest || then == Again:
		return m.terminate(then, m.Status, why)
	}
	return Action{}
}

// born notes that an instance came up at that time.
func (m *machine) born(at time.Time) {
	if m.Next != Asked {
		m.Total++
	}
	if m.Next == Counted {
		m.Streak++
	}
	m.Then, m.Next, m.Hurry, m.Tries, m.Born = Judge, Asked, false, 0, at
	m.Health = Unproven
	switch m.p.Probe {
	case NoProbe:
		m.Health = Unchecked
		m.run("")
	case OwnProbe:
		m.enter(Live, Starting, time.Time{}, "")
		m.Probe = m.now.Add(time.Duration(float64(firstProbe) * (1 + spread(m.p.Name, m.Run)) / 2))
	case EngineProbe:
		m.enter(Live, Starting, time.Time{}, "")
	case LineProbe:
		m.enter(Live, Starting, time.Time{}, "")
		m.Probe = m.now.Add(m.p.silence())
	}
	m.plan()
}

func (m *machine) startFailed(e StartFailed) Action {
	if m.Then != Judge {
		return m.abandoned()
	}
	if !e.Outside {
		m.Last, m.Lived, m.Ill = "", 0, false
		return m.rest(Failed, e.Why)
	}
	m.Tries++
	m.enter(Backoff, Pending, m.now.Add(m.p.retry(m.Tries, m.Run)), e.Why)
	return Action{}
}

// abandoned goes on after a start that came to nothing and was to be given up.
func (m *machine) abandoned() Action {
	switch m.Then {
	case Rest:
		return m.rest(Stopped, byUser)
	case Again:
		return m.launch(Asked, m.Why)
	case Hold:
		if m.Next == Counted {
			m.Next = Free
		}
	}
	return m.launch(m.Next, "starting")
}

func (m *machine) exited(e Exited) Action {
	then := m.Then
	m.settle()
	m.Health, m.Then = Unchecked, Judge
	switch then {
	case Rest:
		return m.rest(Stopped, m.Why)
	case Again:
		return m.launch(Asked, m.Why)
	case Heal:
		return m.failed(Unhealthy)
	}
	m.Last, m.Lived, m.Ill, m.Killed = e.Why, m.now.Sub(m.Born), false, false
	switch {
	case e.ByUser:
		m.Wanted = false
		m.fresh()
		return m.rest(Stopped, "stopped by a user of the engine")
	case e.Outside && m.p.Condition != Never:
		m.Next = Free
		m.enter(Backoff, Crashed, m.now.Add(m.p.delay(1, m.Run)), e.Why)
		return Action{}
	case e.OK && m.p.Condition != Always:
		return m.rest(Completed, e.Why)
	case m.p.Condition == Never:
		return m.rest(Failed, e.Why)
	}
	return m.failed(Crashed)
}

// failed plans the restart after a crash or failed health checks. The limit is
// judged when the restart is due, since a dependency's end may be noticed later
// than the failure it caused; without dependencies it can be judged at once.
func (m *machine) failed(status Status) Action {
	m.Killed = false
	if m.p.usedUp(m.Streak) && !m.p.Dependent && m.Held == "" {
		return m.rest(MaxRestarts, m.Last)
	}
	m.enter(Backoff, status, m.now.Add(m.p.delay(m.Streak+1, m.Run)), m.Last)
	return Action{}
}
