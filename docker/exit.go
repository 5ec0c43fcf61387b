package docker

import (
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/docker/docker/api/types/container"
	"golang.org/x/sys/unix"

	"github.com/healing-bot/healbot/service"
)

// evidence is what was seen of a run's end before it is judged.
type evidence struct {
	asked   map[string]int // signals that we sent and whose event has not come yet
	foreign bool           // somebody else sent a signal
	signal  string         // the latest signal sent, by anybody
	signals int            // how many were sent, by anybody
	oom     bool
	died    time.Time // when the engine said that it ended; zero: not yet
	code    int       // exit code that came with that
	stopped bool      // the engine's own stop command has finished
	due     time.Time // when the end is judged at the latest; zero: at once
}

const engineAway = "the Docker engine restarted"

// judge makes the Exit of a run from what was seen and from what the engine knows of
// the container, which is nil if the engine does not have it, or has another run of it.
func judge(seen evidence, state *container.State, at time.Time) service.Exit {
	e := service.Exit{Code: -1, OOM: seen.oom, At: at}
	switch {
	case state != nil:
		e.Code = state.ExitCode
		e.OOM = e.OOM || state.OOMKilled
		if t := engineTime(state.FinishedAt); !t.IsZero() {
			e.At = t
		}
	case !seen.died.IsZero():
		e.Code, e.At = seen.code, seen.died
	}
	if sig := signalOf(e.Code); sig != "" {
		if sig == seen.signal {
			e.Signal = sig
		} else if !e.OOM {
			e.Reason = sig
		}
	}
	return e
}

// engineWent makes an Exit that of a container that ended since its engine did. The
// engine then reports code 0, which is not the container's.
func engineWent(e service.Exit) service.Exit {
	e.Engine, e.Reason = true, engineAway
	if e.Code == 0 {
		e.Code = -1
	}
	return e
}

// signalOf gives the signal that an exit code above 128 stands for, else "".
func signalOf(code int) string {
	if code <= 128 || code > 128+64 {
		return ""
	}
	return unix.SignalName(syscall.Signal(code - 128))
}

// signalName gives the name of a signal as the engine's events say it: a number, or a
// name with or without SIG.
func signalName(s string) string {
	if n, err := strconv.Atoi(s); err == nil {
		return unix.SignalName(syscall.Signal(n))
	}
	s = strings.ToUpper(s)
	if !strings.HasPrefix(s, "SIG") {
		s = "SIG" + s
	}
	return s
}
