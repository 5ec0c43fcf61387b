package compose

import (
	"fmt"
	"strconv"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
)

// overrides are the environment variables that win over the file, for the whole
// project.
type overrides struct {
	restart restart
	health  health
	debug   bool
}

// overridesFrom reads RESTART_DELAY, MAX_RESTARTS, MONITOR_INTERVAL,
// HEALTH_CHECK_TIMEOUT and DEBUG. An empty variable counts as unset. DEBUG belongs
// to many programs: what is no yes in it is no, and never an error.
func overridesFrom(env map[string]string) (overrides, error) {
	var o overrides
	for _, d := range []struct {
		name string
		to   **time.Duration
		zero bool
	}{
		{"RESTART_DELAY", &o.restart.delay, true},
		{"MONITOR_INTERVAL", &o.health.interval, false},
		{"HEALTH_CHECK_TIMEOUT", &o.health.timeout, false},
	} {
		if env[d.name] == "" {
			continue
		}
		v, ok := seconds(env[d.name])
		if ok && v == 0 && !d.zero {
			return o, fmt.Errorf("environment variable %s=%q must be longer than 0", d.name, env[d.name])
		}
		if !ok || v < 0 {
			return o, fmt.Errorf("environment variable %s=%q is not a duration: give seconds, as 30, or a number with its unit, as 1m30s", d.name, env[d.name])
		}
		*d.to = &v
	}
	if v := env["MAX_RESTARTS"]; v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 0 {
			return o, fmt.Errorf("environment variable MAX_RESTARTS=%q is not a number of restarts: give a whole number, or 0 for no limit", v)
		}
		o.restart.attempts = &n
	}
	o.debug, _ = strconv.ParseBool(env["DEBUG"])
	return o, nil
}

// seconds reads a bare number of seconds, or a duration with its unit.
func seconds(text string) (time.Duration, bool) {
	if n, err := strconv.ParseFloat(text, 64); err == nil {
		const most = 100 * 365 * 24 * 3600
		return time.Duration(n * float64(time.Second)), n >= 0 && n <= most
	}
	var d types.Duration
	err := d.DecodeMapstructure(text)
	return time.Duration(d), err == nil
}
