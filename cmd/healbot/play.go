package main

import (
	"time"

	"github.com/healing-bot/healbot/runner/policy"
)

// A play is a service in a made-up world in which starts and stops take no time, a
// failed probe takes its whole timeout, and instances fare as a rhythm says. What
// decides is the engine itself.
type play struct {
	policy policy.Policy
	rhythm rhythm
	line   bool // its health check waits for a line of output, which comes at once

	now      time.Time
	state    policy.State
	todo     policy.Action
	verdicts []verdict                        // of the engine's own check of the live instance
	saw      func(before, after policy.State) // hears of every decision
}

// A verdict is one that comes by itself.
type verdict struct {
	at      time.Time
	healthy bool
}

// tell gives the engine an event.
func (p *play) tell(e policy.Event) {
	before := p.state
	p.state, p.todo = policy.Decide(p.policy, p.state, e, p.now)
	p.saw(before, p.state)
}

// until plays until end, or until nothing is left to happen; goesOn tells which.
func (p *play) until(end time.Time) (goesOn bool) {
	for {
		p.obey()
		at, e := p.next()
		switch {
		case e == nil:
			return false
		case at.After(end):
			p.now = end
			return true
		case at.After(p.now):
			p.now = at
		}
		p.tell(e)
	}
}

// obey does what the engine asks for.
func (p *play) obey() {
	for p.todo.Verb != policy.Nothing {
		run := p.todo.Run
		switch p.todo.Verb {
		case policy.Begin:
			p.tell(policy.Started{Run: run})
			p.schedule()
		case policy.Terminate, policy.Kill:
			p.tell(policy.Exited{Run: run, Why: "ended on request"})
		case policy.Probe:
			healthy := !p.hangs()
			if !healthy {
				p.now = p.now.Add(p.policy.Timeout)
			}
			p.tell(policy.Probed{Run: run, Healthy: healthy, Why: "no answer"})
		default:
			return
		}
	}
}

// hangs reports whether the live instance does by now.
func (p *play) hangs() bool {
	f := p.rhythm.of(p.state.Run)
	return f.hangs > 0 && !p.now.Before(p.state.Born.Add(f.hangs))
}

// next is what happens next, and when; nil if nothing does any more.
func (p *play) next() (at time.Time, e policy.Event) {
	if due := p.state.Due; !due.IsZero() {
		at, e = due, policy.Tick{}
	}
	if p.state.Phase != policy.Live {
		return at, e
	}
	run := p.state.Run
	f := p.rhythm.of(run)
	if ends := p.state.Born.Add(f.ends); f.ends > 0 && (e == nil || !ends.After(at)) {
		at, e = ends, policy.Exited{Run: run, OK: f.code == 0, Why: f.end()}
	}
	if len(p.verdicts) > 0 && (e == nil || p.verdicts[0].at.Before(at)) {
		v := p.verdicts[0]
		p.verdicts = p.verdicts[1:]
		return v.at, policy.Judged{Run: run, Healthy: v.healthy, Why: "no answer"}
	}
	return at, e
}

// schedule foresees what the engine's own check will say of the new instance: good
// after an interval, and bad once retries checks in a row got no answer.
func (p *play) schedule() {
	p.verdicts = nil
	if p.policy.Probe != policy.EngineProbe && p.policy.Probe != policy.LineProbe || p.state.Phase != policy.Live {
		return
	}
	say := func(after time.Duration, healthy bool) {
		p.verdicts = append(p.verdicts, verdict{p.state.Born.Add(after), healthy})
	}
	hangs, every := p.rhythm.of(p.state.Run).hangs, p.policy.Interval
	switch {
	case p.line:
		say(0, true)
		return
	case hangs == 0:
		say(every, true)
		return
	case hangs > every:
		say(every, true)
	}
	at := max(every, (hangs+every-1)/every*every)
	for misses := 0; misses < p.policy.Retries; at += every {
		at += p.policy.Timeout
		if hangs > every || at > p.policy.StartPeriod {
			misses++
		}
	}
	say(at-every, false)
}
