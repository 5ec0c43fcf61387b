package policy

import "time"

// found takes on a live instance. One older than what is known to be up, or on its
// way up, is not ours any more.
func (m *machine) found(e Found) Action {
	if e.Born.After(m.now) {
		e.Born = m.now
	}
	busy := m.hasInstance() || m.Phase == Launching
	switch {
	case busy && e.Run < m.Run:
		return Action{}
	case m.hasInstance() && e.Run == m.Run:
		return m.refound()
	case busy:
		m.replaced(e.Run)
	default:
		if m.Phase == Resting {
			m.fresh()
		}
		if e.Run != m.Run {
			m.Next = Asked
		}
		m.Wanted = true
	}
	m.Run = e.Run
	return m.arrived(e.Born)
}

// refound goes on with the instance that was known already. No probe is under way,
// and no deadline lies further off than it would if it began now.
func (m *machine) refound() Action {
	due := m.Due
	switch m.Phase {
	case Live:
		m.Probing = false
		if m.Well.After(m.now) {
			m.Well = m.now
		}
		m.settle()
		m.reprobe()
		return Action{}
	case Killing:
		return m.kill(m.Why)
	}
	act := m.terminate(m.Then, m.Status, m.Why)
	if due.Before(m.Due) {
		m.Due = due
	}
	return act
}

// replaced forgets an instance, or a start, in favour of a run that came after it.
// What was asked for still holds.
func (m *machine) replaced(run int) {
	if run == m.Run {
		return
	}
	m.Next = Asked
	if m.Then == Heal {
		m.Then = Judge
	}
	m.enter(Launching, Pending, time.Time{}, m.Why)
}

// resume goes on after adoption, where no instance was found. Deadlines come from
// another life of the clock, so none may lie further off than a delay can be.
func (m *machine) resume() Action {
	switch {
	case m.Phase == Launching:
		return m.abandoned()
	case m.Phase == Resting && m.Status == Failed && m.Wanted:
		return m.launch(Asked, "starting")
	case m.Phase == Resting:
		m.rearm()
	case m.Phase == Backoff:
		m.sooner()
	}
	return Action{}
}

// sooner brings Due in back-off to what the policy allows now.
func (m *machine) sooner() {
	delay := m.p.delay(m.Streak+1, m.Run)
	if m.Tries > 0 {
		delay = m.p.retry(m.Tries, m.Run)
	}
	if most := m.now.Add(delay); m.Due.After(most) {
		m.Due = most
	}
}

// rearm brings Due at max_restarts to what the policy allows now.
func (m *machine) rearm() {
	if m.Status != MaxRestarts {
		return
	}
	m.Due = time.Time{}
	if m.p.RetryAfter > 0 {
		m.Due = m.now.Add(m.p.RetryAfter)
		if due := m.Since.Add(m.p.RetryAfter); due.Before(m.Due) {
			m.Due = due
		}
	}
}
