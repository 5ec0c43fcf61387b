package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/healing-bot/healbot/service"
)

// secondsFlag is a flag that takes whole seconds; it sets nothing unless it is given.
type secondsFlag struct{ to **time.Duration }

// Set implements pflag.Value.
func (s secondsFlag) Set(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return fmt.Errorf("%q is no number of seconds", text)
	}
	d := time.Duration(n) * time.Second
	*s.to = &d
	return nil
}

// String implements pflag.Value.
func (s secondsFlag) String() string {
	if s.to == nil || *s.to == nil {
		return ""
	}
	return strconv.Itoa(int(**s.to / time.Second))
}

// Type implements pflag.Value.
func (s secondsFlag) Type() string { return "int" }

// aborts waits for the first end of a service that all the others are to be stopped for;
// ok is false if the changes end before.
func (o *upOptions) aborts(changes <-chan service.Change) (first service.Status, ok bool) {
	active := map[string]bool{} // else it shows how it ended before this up
	for ch := range changes {
		s := ch.Status
		ended := active[s.Name] && s.State.Settled() && s.StartedAt == nil
		active[s.Name] = !s.State.Settled()
		if ended && (exitCode(s) != 0 || !o.abortOnFailure) {
			return s, true
		}
	}
	return first, false
}

// exitCode is what healbot's own exit code becomes for a service's.
func exitCode(s service.Status) int {
	switch {
	case s.ExitCode != nil && *s.ExitCode != 0:
		return *s.ExitCode & 0xff
	case s.State == service.Failed || s.State == service.MaxRestarts:
		return exitFailed
	}
	return 0
}

// outcome is the end of an up that was to abort: the exit code of the service that it
// takes it from, else of the one that ended first.
func (o *upOptions) outcome(first service.Status, all []service.Status) error {
	if o.exitCodeFrom != "" {
		for _, s := range all {
			if s.Service == o.exitCodeFrom {
				first = s
				break
			}
		}
	}
	if code := exitCode(first); code != 0 {
		return &exitError{code, fmt.Errorf("%s: %s", first.Name, first.Reason)}
	}
	return nil
}
