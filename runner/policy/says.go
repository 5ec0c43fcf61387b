package policy

import (
	"fmt"
	"time"
)

// Says gives the reason for the state as a sentence a person can act on, as it
// reads at now: "exit code 1 after 2.1s, restart 2/5 in 9.6s". It is empty where
// nothing is to be said.
func (s State) Says(p Policy, now time.Time) string {
	switch s.Phase {
	case Waiting:
		return s.after("waiting for " + s.Held)
	case Launching:
		return s.saysLaunching(&p)
	case Live:
		return s.saysLive(&p)
	case Ending:
		return s.saysEnding() + "stopping, killed in " + until(s.Due, now) + s.saysFault()
	case Killing:
		return s.saysKilling(now)
	case Backoff:
		return s.saysBackoff(&p, now)
	}
	return s.saysResting(&p, now)
}

func (s State) saysLaunching(p *Policy) string {
	switch {
	case s.Then == Hold && s.Held != "":
		return s.after("waiting for " + s.Held + ", the start under way is given up")
	case s.Then == Hold:
		return s.after("starting again")
	case s.Then != Judge:
		return s.Why + ", the start under way is given up"
	case s.Tries > 0:
		return s.Why + ", trying again"
	case s.Next == Counted:
		return s.Why + ", " + s.restart(p, s.Streak+1)
	}
	return s.Why
}

func (s State) saysLive(p *Policy) string {
	switch {
	case s.Health == Sick:
		return "unhealthy: " + s.Why
	case s.Misses > 0:
		return fmt.Sprintf("health check failed %d/%d: %s", s.Misses, p.Retries, s.Why)
	case s.Health == Unknown:
		return "health unknown: " + s.Why
	case s.Health == Unproven && s.Why != "":
		return "not healthy yet: " + s.Why
	case s.Streak > 0:
		return s.restart(p, s.Streak)
	}
	return s.Why
}

func (s State) saysEnding() string {
	switch s.Then {
	case Heal:
		return s.failure() + ", "
	case Again:
		return s.Why + ", "
	}
	return ""
}

// saysFault says why the backend can't end the instance.
func (s State) saysFault() string {
	if s.Fault == "" {
		return ""
	}
	return ": " + s.Fault
}

func (s State) saysKilling(now time.Time) string {
	why := s.killed()
	switch {
	case s.Fault != "" && s.Then == Heal:
		why = s.failure()
	case s.Fault != "":
		why = s.Why
	case s.Then == Heal:
		why = s.failure() + ", killed"
	}
	if s.Status != Failed {
		return why + ", not gone yet" + s.saysFault()
	}
	if s.Fault != "" {
		return why + ", but still there" + s.saysFault()
	}
	return why + ", but still there after " + Age(now.Sub(s.Since)+KillPatience)
}

func (s State) saysBackoff(p *Policy, now time.Time) string {
	left := until(s.Due, now)
	switch {
	case s.Tries > 0:
		return s.Why + ", tried again in " + left
	case s.Next == Free:
		return s.failure() + ", restart in " + left + ", not counted"
	case s.Held != "":
		return s.failure() + ", restart in " + left + ", not counted while it waits for " + s.Held
	case p.usedUp(s.Streak):
		return fmt.Sprintf("%s, restarts used up (%d): given up in %s, unless a dependency turns out to be down",
			s.failure(), s.Streak, left)
	}
	return fmt.Sprintf("%s, restart %s in %s", s.failure(), p.outOf(s.Streak+1), left)
}

func (s State) saysResting(p *Policy, now time.Time) string {
	switch s.Status {
	case MaxRestarts:
		text := fmt.Sprintf("%s, restarts used up (%d)", s.failure(), s.Streak)
		if !s.Due.IsZero() {
			return text + ", tried again in " + until(s.Due, now)
		}
		return text
	case Completed, Failed:
		if s.Last != "" {
			return s.failure()
		}
	case Stopped:
		return s.killed()
	}
	return s.Why
}

// after puts the failure that is being healed before text, if there is one.
func (s State) after(text string) string {
	if s.Next == Asked || s.Last == "" {
		return text
	}
	return s.failure() + ", " + text
}

// failure says how the latest instance that failed did so.
func (s State) failure() string {
	switch {
	case s.Ill:
		return "unhealthy after " + Age(s.Lived) + ": " + s.Last
	case s.Lived > 0:
		return s.Last + " after " + Age(s.Lived)
	}
	return s.Last
}

// killed says why an instance is to rest, and whether it had to be forced to.
func (s State) killed() string {
	if s.Killed {
		return s.Why + ", killed after " + Age(s.Grace)
	}
	return s.Why
}

// restart names restart number n and its cause.
func (s State) restart(p *Policy, n int) string {
	if s.Last == "" {
		return "restart " + p.outOf(n)
	}
	return "restart " + p.outOf(n) + " (" + s.failure() + ")"
}

func (p *Policy) outOf(n int) string {
	if p.MaxAttempts == 0 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d/%d", n, p.MaxAttempts)
}

func until(due, now time.Time) string { return Age(due.Sub(now)) }

// Age writes a duration as people read it: "0.3s", "9.6s", "10s", "4m10s", "3h20m",
// "5d2h". A negative one is "0s".
func Age(d time.Duration) string {
	d = max(d, 0).Round(100 * time.Millisecond)
	switch {
	case d < time.Minute && d%time.Second != 0:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}
