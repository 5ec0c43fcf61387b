package policy

// What people, files and dependencies ask for.

const byUser = "stopped by a user"

func (m *machine) up() Action {
	m.Wanted = true
	switch m.Phase {
	case Resting:
		m.fresh()
		return m.launch(Asked, "starting")
	case Launching, Ending, Killing:
		if m.Then == Rest {
			m.fresh()
			m.Then, m.Why, m.Hurry = Again, "started again by a user", false
		}
	}
	return m.retry()
}

func (m *machine) stop(e Stop) Action {
	m.Wanted = false
	m.fresh()
	why := byUser
	if e.Now {
		why = "killed by a user"
	}
	switch m.Phase {
	case Waiting, Backoff, Resting:
		if m.Status != Stopped {
			return m.rest(Stopped, byUser)
		}
	case Launching:
		m.Then, m.Next, m.Why, m.Hurry = Rest, Asked, why, m.Hurry || e.Now
		return m.do(Abandon)
	case Live:
		if !e.Now {
			return m.terminate(Rest, m.Status, why)
		}
		m.Then, m.Killed = Rest, false
		return m.kill(why)
	case Ending, Killing:
		m.Then = Rest
		if e.Now && m.Phase == Ending {
			m.Killed = false
			return m.kill(why)
		}
		m.Why = why
	}
	return m.retry()
}

func (m *machine) restart(e Restart) Action {
	m.Wanted = true
	m.fresh()
	switch m.Phase {
	case Resting, Waiting, Backoff:
		return m.launch(Asked, e.Why)
	case Launching:
		m.Then, m.Next, m.Why, m.Hurry = Again, Asked, e.Why, false
		return m.do(Abandon)
	case Live:
		return m.terminate(Again, m.Status, e.Why)
	case Ending, Killing:
		m.Then, m.Why = Again, e.Why
	}
	return m.retry()
}

// retry kills what could not be killed so far: what was in the way may be gone.
func (m *machine) retry() Action {
	if m.Phase != Killing || m.Status != Failed {
		return Action{}
	}
	m.Fault = ""
	return m.kill(m.Why)
}

func (m *machine) follow(e Follow) Action {
	if m.Phase == Live {
		return m.terminate(Again, m.Status, e.Why)
	}
	return Action{}
}

func (m *machine) ready() Action {
	m.Held = ""
	if m.Phase == Waiting {
		return m.launch(m.Next, m.Why)
	}
	return Action{}
}

func (m *machine) notReady(e NotReady) Action {
	m.Held = e.Why
	if m.Held == "" {
		m.Held = "its dependencies"
	}
	if m.Phase == Launching && m.Then == Judge {
		m.Then = Hold
		return m.do(Abandon)
	}
	return Action{}
}

// changed begins a new streak, of which a restart that is already planned is the
// first; what went wrong before is still worth saying.
func (m *machine) changed() Action {
	if m.Phase == Resting {
		m.rearm()
		return Action{}
	}
	m.Streak, m.Tries = 0, min(m.Tries, 1)
	switch m.Phase {
	case Live:
		m.reprobe()
	case Backoff:
		m.sooner()
	}
	return Action{}
}
