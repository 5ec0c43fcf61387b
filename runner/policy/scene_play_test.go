package policy_test

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/healing-bot/healbot/runner/policy"
)

// words cuts a command at blanks outside of quotes.
func words(line string) []string {
	quoted := false
	return strings.FieldsFunc(line, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return r == '"' || r == ' ' && !quoted
	})
}

// args are the words after a command: bare ones, then key=value.
type args struct {
	bare []string
	set  map[string]string
}

func parse(w []string) args {
	a := args{set: map[string]string{}}
	for _, word := range w {
		if k, v, ok := strings.Cut(word, "="); ok && !strings.Contains(k, " ") {
			a.set[k] = v
		} else {
			a.bare = append(a.bare, word)
		}
	}
	return a
}

func (a args) has(word string) bool {
	for _, b := range a.bare {
		if b == word {
			return true
		}
	}
	return false
}

// last is the last bare word, which is the reason where there is one.
func (a args) last() string {
	if len(a.bare) == 0 {
		return ""
	}
	return a.bare[len(a.bare)-1]
}

func (sc *scene) run(a args) int {
	if v, ok := a.set["run"]; ok {
		return sc.number(v)
	}
	return sc.s.Run
}

func (sc *scene) number(v string) int {
	n, err := strconv.Atoi(v)
	if err != nil {
		sc.t.Fatal(err)
	}
	return n
}

func (sc *scene) span(v string) time.Duration {
	d, err := time.ParseDuration(v)
	if err != nil {
		sc.t.Fatal(err)
	}
	return d
}

// play plays one command.
func (sc *scene) play(w []string) {
	a := parse(w[1:])
	switch w[0] {
	case "policy":
		sc.p, sc.s = sc.policy(policy.Policy{Name: "web", Retries: 3, Grace: 10 * time.Second}, a), policy.State{}
	case "change": // the policy alone, then Changed
		sc.p = sc.policy(sc.p, a)
		sc.tell(policy.Changed{})
	case "advance":
		sc.advance(sc.span(a.last()))
	case "jump": // time passes unseen
		sc.now = sc.now.Add(sc.span(a.last()))
	case "well":
		sc.well(sc.span(a.last()))
	case "show":
		fmt.Fprintf(&sc.out, "  run=%d total=%d tries=%d misses=%d wanted=%t since=%s\n", sc.s.Run, sc.s.Total,
			sc.s.Tries, sc.s.Misses, sc.s.Wanted, policy.Age(sc.s.Since.Sub(sc.start)))
	default:
		sc.tell(sc.event(w[0], a))
	}
}

func (sc *scene) event(name string, a args) policy.Event {
	switch name {
	case "up":
		return policy.Up{}
	case "stop":
		return policy.Stop{Now: a.has("now")}
	case "restart":
		return policy.Restart{Why: a.last()}
	case "follow":
		return policy.Follow{Why: a.last()}
	case "ready":
		return policy.Ready{}
	case "notready":
		return policy.NotReady{Why: a.last()}
	case "resume":
		return policy.Resume{}
	case "eased":
		return policy.Eased{}
	case "tick":
		return policy.Tick{}
	case "found":
		return policy.Found{Run: sc.run(a), Born: sc.now.Add(-sc.span(a.last()))}
	}
	return sc.instanceEvent(name, a)
}

func (sc *scene) instanceEvent(name string, a args) policy.Event {
	run := sc.run(a)
	switch name {
	case "noted":
		return policy.Noted{Run: run, Why: a.last()}
	case "started":
		return policy.Started{Run: run}
	case "startfail":
		return policy.StartFailed{Run: run, Why: a.last(), Outside: a.has("outside")}
	case "exit":
		why := a.last()
		if code, ok := a.set["code"]; ok {
			why = "exit code " + code
		}
		return policy.Exited{Run: run, OK: a.set["code"] == "0", ByUser: a.has("byuser"), Outside: a.has("outside"), Why: why}
	case "answered":
		return policy.Answered{Run: run, Fault: a.last()}
	case "probe":
		return policy.Probed{Run: run, Healthy: a.has("ok"), Unable: a.has("unable"), Why: a.last()}
	case "judged":
		return policy.Judged{Run: run, Healthy: a.has("ok"), Unable: a.has("unable"), Why: a.last()}
	}
	sc.t.Fatalf("%s is no command", name)
	return nil
}

func (sc *scene) policy(p policy.Policy, a args) policy.Policy {
	for k, v := range a.set {
		switch k {
		case "condition":
			p.Condition = map[string]policy.Condition{"any": policy.Always, "on-failure": policy.OnFailure, "none": policy.Never}[v]
		case "factor", "jitter":
			f, err := strconv.ParseFloat(v, 64)
			if err != nil {
				sc.t.Fatal(err)
			}
			*map[string]*float64{"factor": &p.Factor, "jitter": &p.Jitter}[k] = f
		case "max_attempts":
			p.MaxAttempts = sc.number(v)
		case "retries":
			p.Retries = sc.number(v)
		case "probe":
			p.Probe = map[string]policy.ProbeKind{"none": policy.NoProbe, "own": policy.OwnProbe, "engine": policy.EngineProbe, "line": policy.LineProbe}[v]
		default:
			*sc.duration(&p, k) = sc.span(v)
		}
	}
	p.Dependent = p.Dependent || a.has("dependent")
	p.IgnoreUnhealthy = (p.IgnoreUnhealthy || a.has("ignore")) && !a.has("heal")
	return p
}

func (sc *scene) duration(p *policy.Policy, key string) *time.Duration {
	d := map[string]*time.Duration{
		"delay": &p.Delay, "max_delay": &p.MaxDelay, "window": &p.Window, "retry_after": &p.RetryAfter,
		"grace": &p.Grace, "interval": &p.Interval, "timeout": &p.Timeout, "start_period": &p.StartPeriod,
		"start_interval": &p.StartInterval,
	}[key]
	if d == nil {
		sc.t.Fatalf("%s is no part of a policy", key)
	}
	return d
}

// well lets time pass while every probe is answered well, and prints the end of it.
func (sc *scene) well(d time.Duration) {
	out, end := sc.out.String(), sc.now.Add(d)
	act := policy.Action{}
	for !sc.s.Due.IsZero() && !sc.s.Due.After(end) {
		sc.now = sc.s.Due
		if act = sc.tell(policy.Tick{}); act.Verb == policy.Probe {
			act = sc.tell(policy.Probed{Run: act.Run, Healthy: true})
		}
	}
	sc.now = end
	sc.out.Reset()
	sc.out.WriteString(out)
	sc.print(act)
}
