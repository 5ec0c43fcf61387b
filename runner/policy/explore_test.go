package policy_test

import (
	"fmt"
	"time"

	"github.com/healing-bot/healbot/runner/policy"
)

// A step is one thing that Decide did in a state that can be reached.
type step struct {
	p        policy.Policy
	from, to policy.State
	e        policy.Event
	act      policy.Action
}

// shape is what makes a state different from another one, its times and words left
// out.
type shape struct {
	phase                               policy.Phase
	status                              policy.Status
	health                              policy.Health
	then                                policy.Sequel
	next                                policy.Start
	held, wanted, probing, hurry, tried bool
	streak, misses                      int
}

func shapeOf(s policy.State) shape {
	return shape{
		s.Phase, s.Status, s.Health, s.Then, s.Next,
		s.Held != "", s.Wanted, s.Probing, s.Hurry, s.Tries > 0, s.Streak, s.Misses,
	}
}

// explore calls visit with every step from every shape of state that can be reached
// under p. Time passes from deadline to deadline.
func explore(p policy.Policy, visit func(step)) (shapes int) {
	type place struct {
		s   policy.State
		now time.Time
	}
	first, _ := policy.Decide(p, policy.State{}, policy.Tick{}, noon)
	seen := map[shape]bool{shapeOf(first): true}
	todo := []place{{first, noon}}
	for len(todo) > 0 {
		at := todo[0]
		todo = todo[1:]
		for _, e := range append(allEvents(at.s.Run), policy.Found{Run: at.s.Run + 1, Born: noon}) {
			now := at.now.Add(time.Second)
			if _, tick := e.(policy.Tick); tick && at.s.Due.After(now) {
				now = at.s.Due
			}
			to, act := policy.Decide(p, at.s, e, now)
			visit(step{p, at.s, to, e, act})
			if s := shapeOf(to); !seen[s] && to.Streak <= 3 {
				seen[s] = true
				todo = append(todo, place{to, now})
			}
		}
	}
	return len(seen)
}

// name says which event e is, in the words of the documentation.
func name(e policy.Event) string {
	text := fmt.Sprintf("%T", e)[len("policy."):]
	switch e := e.(type) {
	case policy.StartFailed:
		return pick(e.Outside, "StartFailed outside", "StartFailed for good")
	case policy.Exited:
		return pick(e.ByUser, "Exited by user", pick(e.OK, "Exited ok", "Exited in error"))
	case policy.Probed:
		return pick(e.Healthy, "Probed healthy", pick(e.Unable, "Probed unable", "Probed sick"))
	case policy.Judged:
		return pick(e.Healthy, "Judged healthy", pick(e.Unable, "Judged unable", "Judged sick"))
	}
	return text
}

// families are the variants that, all together, are simply called by their type.
var families = map[string][]string{
	"StartFailed": {"StartFailed outside", "StartFailed for good"},
	"Exited":      {"Exited by user", "Exited ok", "Exited in error"},
	"Probed":      {"Probed healthy", "Probed unable", "Probed sick"},
	"Judged":      {"Judged healthy", "Judged unable", "Judged sick"},
}

// gather replaces all members of a family, each followed by tail, by its name.
func gather(labels map[string]bool, tail string) {
	for family, members := range families {
		all := true
		for _, m := range members {
			all = all && labels[m+tail]
		}
		if !all {
			continue
		}
		for _, m := range members {
			delete(labels, m+tail)
		}
		labels[family+tail] = true
	}
}

func pick(first bool, a, b string) string {
	if first {
		return a
	}
	return b
}

// request reports whether somebody asks for e, so that what follows does not come by
// itself.
func request(e policy.Event) bool {
	switch e := e.(type) {
	case policy.Up, policy.Stop, policy.Restart, policy.Changed, policy.Follow, policy.Found, policy.Resume:
		return true
	case policy.Exited:
		return e.ByUser
	}
	return false
}
