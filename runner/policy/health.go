package policy

import "time"

// firstProbe bounds the time to an instance's first probe. Until it is healthy for
// the first time, the time between two probes is half its age, so that a quick
// starter is seen at once and a slow one costs little; StartInterval bounds it.
const firstProbe = 100 * time.Millisecond

// plan sets the deadline of a live instance: the next probe, or the end of the
// streak, whichever comes first.
func (m *machine) plan() {
	m.Due = time.Time{}
	if !m.Probe.IsZero() && !m.Probing {
		m.Due = m.Probe
	}
	if end := m.streakEnd(); !end.IsZero() && (m.Due.IsZero() || end.Before(m.Due)) {
		m.Due = end
	}
}

// streakEnd is when the streak ends if nothing fails until then. While probes fail,
// that is open: an instance that hangs is still running until its retries are used up.
func (m *machine) streakEnd() time.Time {
	if m.Streak == 0 || m.Well.IsZero() || m.p.Window <= 0 || m.Misses > 0 {
		return time.Time{}
	}
	return m.Well.Add(m.p.Window)
}

// settle ends the streak of an instance that stayed well for a whole window.
func (m *machine) settle() {
	if end := m.streakEnd(); !end.IsZero() && !m.now.Before(end) {
		m.fresh()
	}
}

func (m *machine) tickLive() Action {
	act := Action{}
	m.settle()
	if !m.Probing && !m.Probe.IsZero() && !m.now.Before(m.Probe) {
		if m.p.Probe == LineProbe {
			return m.judged(Judged{Why: "no line of its output matched x-log within " + Age(m.p.silence())})
		}
		m.Probing, m.Probe = true, m.now
		act = m.do(Probe)
	}
	m.plan()
	return act
}

// run makes a live instance running.
func (m *machine) run(why string) {
	m.enter(Live, Running, time.Time{}, why)
	if m.Well.IsZero() {
		m.Well = m.now
	}
}

func (m *machine) probed(e Probed) Action {
	began, first := m.Probe, m.Health == Unproven || m.Health == Unknown
	m.Probing, m.Probe = false, m.now.Add(m.p.Interval)
	switch {
	case e.Unable:
		m.unable(e.Why)
	case e.Healthy:
		m.healthy(first)
	case m.now.Sub(began) > m.p.Timeout+m.p.Interval:
		// The machine slept, or this process did: the answer says nothing.
	case first && m.now.Before(m.patience()):
		m.Why = e.Why
		m.Probe = m.nextEager()
	default:
		m.Misses++
		m.Why = e.Why
		if m.Misses >= m.p.Retries {
			return m.sick(e.Why)
		}
	}
	m.plan()
	return Action{}
}

func (m *machine) judged(e Judged) Action {
	m.settle()
	m.Probe = time.Time{}
	switch {
	case e.Unable:
		m.unable(e.Why)
	case e.Healthy:
		m.healthy(false)
	default:
		return m.sick(e.Why)
	}
	m.plan()
	return Action{}
}

// unable notes that the check can't run, which says nothing about the instance.
func (m *machine) unable(why string) {
	m.Health, m.Misses = Unknown, 0
	m.run(why)
}

// healthy notes a good verdict. The first one also moves the following probes apart
// from those of other instances, which may all have started at the same time.
func (m *machine) healthy(first bool) {
	m.Health, m.Misses = Healthy, 0
	if first {
		m.Probe = m.now.Add(time.Duration(float64(m.p.Interval) * (1 + spread(m.p.Name, 0)) / 2))
	}
	m.run("")
	m.settle()
}

// sick acts on an instance that used up its retries.
func (m *machine) sick(why string) Action {
	m.Health, m.Misses = Sick, 0
	if m.p.IgnoreUnhealthy || m.p.Condition == Never {
		m.enter(Live, Unhealthy, time.Time{}, why)
		m.Well = time.Time{}
		m.plan()
		return Action{}
	}
	m.Last, m.Lived, m.Ill = why, m.now.Sub(m.Born), true
	return m.terminate(Heal, Unhealthy, why)
}

// reprobe makes a live instance's probes those of the policy, beginning now.
func (m *machine) reprobe() {
	m.Probe = time.Time{}
	switch m.p.Probe {
	case NoProbe:
		m.Health, m.Misses, m.Probing = Unchecked, 0, false
		m.run("")
	case OwnProbe:
		m.Probe = m.now
	case EngineProbe:
		m.Misses, m.Probing = 0, false
	case LineProbe:
		m.Misses, m.Probing = 0, false
		if m.Health != Healthy {
			m.Probe = m.now.Add(m.p.silence())
		}
	}
	if m.Health == Unchecked && m.p.Probe != NoProbe {
		m.Health = Unproven
	}
	m.plan()
}

// patience is until when an instance that was never healthy may fail its probes. It
// is at least one interval, because an engine makes its first probe only then.
func (m *machine) patience() time.Time {
	return m.Born.Add(max(m.p.StartPeriod, m.p.Interval))
}

// silence is how long an instance may take to write the line that is waited for: as long
// as other checks may fail.
func (p *Policy) silence() time.Duration {
	return p.StartPeriod + time.Duration(p.Retries)*p.Interval
}

// nextEager is when to look again at an instance that may still be starting.
func (m *machine) nextEager() time.Time {
	gap := max(m.now.Sub(m.Born)/2, firstProbe)
	if m.p.StartInterval > 0 {
		gap = min(gap, m.p.StartInterval)
	}
	next := m.now.Add(gap)
	if end := m.patience(); end.Before(next) {
		return end
	}
	return next
}
