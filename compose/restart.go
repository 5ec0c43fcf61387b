package compose

import (
	"strconv"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/healing-bot/healbot/runner/policy"
)

// restart holds the fields of a restart policy that one layer sets; nil leaves a
// field to the layers below.
type restart struct {
	condition               *policy.Condition
	delay, maxDelay, window *time.Duration
	attempts                *int
	factor, jitter          *float64
}

// over gives r with what it leaves open taken from below.
func (r restart) over(below restart) restart {
	return restart{
		condition: or(r.condition, below.condition),
		delay:     or(r.delay, below.delay), maxDelay: or(r.maxDelay, below.maxDelay), window: or(r.window, below.window),
		attempts: or(r.attempts, below.attempts),
		factor:   or(r.factor, below.factor), jitter: or(r.jitter, below.jitter),
	}
}

func or[T any](a, b *T) *T {
	if a != nil {
		return a
	}
	return b
}

// defaults is the lowest layer: Compose's own condition, and the numbers of a
// condition that comes without any.
func (r restart) defaults() restart {
	below := restart{
		condition: new(policy.Never), delay: new(5 * time.Second), window: new(5 * time.Minute),
		attempts: new(0), factor: new(2.0), jitter: new(0.1),
	}
	full := r.over(below)
	if full.maxDelay == nil {
		full.maxDelay = new(max(time.Minute, *full.delay))
	}
	return full
}

// restartOf merges all layers for one service.
func (c *converter) restartOf(path []string, s types.ServiceConfig, own extension) restart {
	deploy := c.deployRestart(path, s.Deploy)
	file := deploy.over(c.composeRestart(path, s.Restart)).over(own.restart).over(c.common.restart)
	if s.Deploy != nil && s.Deploy.RestartPolicy != nil && file.condition == nil {
		file.condition = new(policy.Always)
	}
	full := c.over.restart.over(file).defaults()
	if *full.maxDelay < *full.delay {
		if c.over.restart.delay != nil {
			full.maxDelay = full.delay
		} else {
			c.at(path, "raise max_delay, or lower delay", "max_delay %v is shorter than delay %v", *full.maxDelay, *full.delay)
		}
	}
	return full
}

// composeRestart reads the attribute restart.
func (c *converter) composeRestart(path []string, value string) restart {
	at := append(path[:len(path):len(path)], "restart")
	word, tries, counted := strings.Cut(value, ":")
	switch {
	case value == "":
		return restart{}
	case value == types.RestartPolicyNo:
		return restart{condition: new(policy.Never)}
	case value == types.RestartPolicyAlways, value == types.RestartPolicyUnlessStopped:
		return restart{condition: new(policy.Always)}
	case word == types.RestartPolicyOnFailure && !counted:
		return restart{condition: new(policy.OnFailure)}
	case word == types.RestartPolicyOnFailure:
		n, err := strconv.Atoi(tries)
		if err == nil && n >= 0 {
			return restart{condition: new(policy.OnFailure), attempts: &n}
		}
	}
	near := ""
	if !counted {
		near = suggestion(value, []string{"no", "always", "on-failure", "unless-stopped"})
	}
	c.at(at, "", "restart must be no, always, on-failure, on-failure:N or unless-stopped%s", near)
	return restart{}
}

// deployRestart reads deploy.restart_policy with its x- fields.
func (c *converter) deployRestart(path []string, d *types.DeployConfig) restart {
	if d == nil || d.RestartPolicy == nil {
		return restart{}
	}
	p := d.RestartPolicy
	at := append(path[:len(path):len(path)], "deploy", "restart_policy")
	x := field{c.report, at, map[string]any(p.Extensions)}
	c.near(at, p.Extensions, "x-factor", "x-max-delay", "x-jitter")
	r := restart{
		factor: x.get("x-factor").factor(), jitter: x.get("x-jitter").jitter(), maxDelay: x.get("x-max-delay").duration(),
		delay: c.duration(at, "delay", p.Delay), window: c.duration(at, "window", p.Window),
	}
	if p.MaxAttempts != nil {
		r.attempts = field{c.report, append(at[:len(at):len(at)], "max_attempts"), *p.MaxAttempts}.count()
	}
	if p.Condition != "" {
		r.condition = field{c.report, append(at[:len(at):len(at)], "condition"), p.Condition}.condition()
	}
	return r
}

// duration takes a duration that compose-go has read; it lets negative ones pass.
func (c *converter) duration(path []string, key string, d *types.Duration) *time.Duration {
	if d == nil {
		return nil
	}
	if *d < 0 {
		c.at(append(path[:len(path):len(path)], key), "", "%s must not be negative", key)
		return nil
	}
	return new(time.Duration(*d))
}

// restart reads x-healbot.restart.
func (f field) restart() restart {
	if !f.only(sortedKeys(restartFields)...) {
		return restart{}
	}
	return restart{
		condition: f.get("condition").condition(),
		delay:     f.get("delay").duration(), maxDelay: f.get("max_delay").duration(), window: f.get("window").duration(),
		attempts: f.get("max_attempts").count(),
		factor:   f.get("factor").factor(), jitter: f.get("jitter").jitter(),
	}
}

var conditions = map[string]policy.Condition{"none": policy.Never, "on-failure": policy.OnFailure, "any": policy.Always}

// otherWords say which condition a word of the attribute restart means.
var otherWords = map[string]string{"always": "write any", "unless-stopped": "write any", "no": "write none", "never": "write none"}

func (f field) condition() *policy.Condition {
	if f.value == nil {
		return nil
	}
	word, _ := f.value.(string)
	c, ok := conditions[word]
	if !ok {
		f.fail(otherWords[word], "must be none, on-failure or any%s", suggestion(word, sortedKeys(conditions)))
		return nil
	}
	return &c
}

func (f field) factor() *float64 {
	n := f.number()
	if n != nil && *n < 1 {
		f.fail("", "must be 1 or more: a delay never shrinks")
		return nil
	}
	return n
}

func (f field) jitter() *float64 {
	n := f.number()
	if n != nil && (*n < 0 || *n > 1) {
		f.fail("", "must be between 0 and 1: it is a fraction of the delay")
		return nil
	}
	return n
}
