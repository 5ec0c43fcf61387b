package policy_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/healing-bot/healbot/runner/policy"
)

// faulty checks what must hold after every event, whatever it was.
func faulty(before, after policy.State, e policy.Event, act policy.Action, now time.Time) error {
	if _, tick := e.(policy.Tick); tick && !after.Due.IsZero() && after.Due.Before(now) {
		return fmt.Errorf("Due is %s in the past after a Tick", now.Sub(after.Due))
	}
	if after.Since != before.Since && after.Status == before.Status && before.Run == after.Run {
		return fmt.Errorf("Since moved, but the status is %s still", after.Status)
	}
	if after.Status != before.Status && after.Since != now {
		return fmt.Errorf("%s became %s, but Since stayed", before.Status, after.Status)
	}
	if after.Streak > before.Streak+1 || after.Total > before.Total+1 || after.Total < before.Total && before.Status != "" {
		return fmt.Errorf("streak %d → %d, total %d → %d", before.Streak, after.Streak, before.Total, after.Total)
	}
	if !slices.Contains(legalVerbs[after.Phase], act.Verb) {
		return fmt.Errorf("%s in %s", act.Verb, after.Phase)
	}
	if act.Verb == policy.Begin && after.Held != "" {
		return fmt.Errorf("began while waiting for %s", after.Held)
	}
	if act.Verb != policy.Nothing && act.Run != after.Run {
		return fmt.Errorf("%s of run %d, but run %d is the latest", act.Verb, act.Run, after.Run)
	}
	if err := misshapen(after); err != nil {
		return fmt.Errorf("%w: %+v", err, after)
	}
	return nil
}

var legalVerbs = map[policy.Phase][]policy.Verb{
	policy.Resting:   {policy.Nothing},
	policy.Waiting:   {policy.Nothing},
	policy.Launching: {policy.Nothing, policy.Begin, policy.Abandon},
	policy.Live:      {policy.Nothing, policy.Probe},
	policy.Ending:    {policy.Nothing, policy.Terminate},
	policy.Killing:   {policy.Nothing, policy.Kill},
	policy.Backoff:   {policy.Nothing},
}

// misshapen checks what must hold in every state.
func misshapen(s policy.State) error {
	live := s.Phase == policy.Live
	ending := s.Phase == policy.Ending || s.Phase == policy.Killing
	timed := ending || s.Phase == policy.Backoff
	switch {
	case s.Due.IsZero() && timed:
		return fmt.Errorf("%s has no deadline", s.Phase)
	case !s.Due.IsZero() && !timed && !live && s.Status != policy.MaxRestarts:
		return fmt.Errorf("%s has a deadline", s.Phase)
	case !live && (s.Probing || !s.Probe.IsZero() || !s.Well.IsZero() || s.Misses != 0):
		return fmt.Errorf("%s, but it remembers probes of an instance", s.Phase)
	case s.Phase == policy.Waiting && s.Held == "":
		return fmt.Errorf("waits for nothing")
	case s.Phase == policy.Resting && s.Then != policy.Judge:
		return fmt.Errorf("rests, and still something is to follow")
	}
	return nil
}

var legalStatus = map[policy.Phase][]policy.Status{
	policy.Resting:   {policy.Stopped, policy.Completed, policy.Failed, policy.MaxRestarts},
	policy.Waiting:   {policy.Pending},
	policy.Launching: {policy.Pending},
	policy.Live:      {policy.Starting, policy.Running, policy.Unhealthy},
	policy.Ending:    {policy.Starting, policy.Running, policy.Unhealthy},
	policy.Killing:   {policy.Starting, policy.Running, policy.Unhealthy, policy.Failed},
	policy.Backoff:   {policy.Pending, policy.Crashed, policy.Unhealthy},
}

// impossible checks what must hold in every state that can be reached.
func impossible(s policy.State) error {
	switch {
	case !slices.Contains(legalStatus[s.Phase], s.Status):
		return fmt.Errorf("%s in phase %s", s.Status, s.Phase)
	case s.Phase == policy.Live && s.Then != policy.Judge:
		return fmt.Errorf("lives, but its end was asked for")
	case !s.Well.IsZero() && s.Status != policy.Running:
		return fmt.Errorf("well, but %s", s.Status)
	case s.Status == policy.Stopped && s.Wanted:
		return fmt.Errorf("stopped, but wanted")
	}
	return nil
}
