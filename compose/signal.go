package compose

import (
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/healing-bot/healbot/service"
)

// realtime signals have no fixed number; the engine knows them, a process of this
// host is not sent them.
var realtime = regexp.MustCompile(`^SIGRTM(IN(\+([1-9]|1[0-5]))?|AX(-([1-9]|1[0-4]))?)$`)

// signal gives the full name of a stop signal that is written "SIGTERM", "term" or 15.
func (c *converter) signal(path []string, name string, kind service.Kind) string {
	if name == "" {
		return "SIGTERM"
	}
	full := strings.ToUpper(name)
	if n, err := strconv.Atoi(name); err == nil {
		full = unix.SignalName(syscall.Signal(n))
	} else if !strings.HasPrefix(full, "SIG") {
		full = "SIG" + full
	}
	switch {
	case unix.SignalNum(full) != 0:
		return full
	case kind == service.Container && realtime.MatchString(full):
		return full
	}
	c.at(append(path, "stop_signal"), "write SIGTERM, SIGINT or the like", "stop_signal is not a signal")
	return "SIGTERM"
}
