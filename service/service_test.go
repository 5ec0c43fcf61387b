package service

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestExitSaysHowItEnded(t *testing.T) {
	for _, c := range []struct {
		exit Exit
		want string
		ok   bool
	}{
		{Exit{}, "exit code 0", true},
		{Exit{Code: 3}, "exit code 3", false},
		{Exit{Code: -1, Signal: "SIGSEGV"}, "killed by SIGSEGV", false},
		{Exit{Code: 137, Signal: "SIGKILL", OOM: true}, "killed for using too much memory", false},
		{Exit{Removed: true}, "container removed by hand", false},
		{Unknown(time.Time{}), "ended, exit code unknown", false},
		{Exit{Code: -1, Engine: true, Reason: "the Docker engine restarted"}, "ended with its engine (the Docker engine restarted)", false},
		{Exit{Code: 1, Left: 2}, "exit code 1, left 2 processes behind, killed", false},
		{Exit{Left: 1}, "exit code 0, left 1 process behind, killed", true},
	} {
		if got := c.exit.String(); got != c.want || c.exit.OK() != c.ok {
			t.Errorf("%+v says %q, OK %v; want %q, %v", c.exit, got, c.exit.OK(), c.want, c.ok)
		}
	}
}

func TestReady(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		status Status
		ready  bool
		in     time.Duration
	}{
		{Status{State: Running, Health: HealthHealthy, Since: now}, true, 0},
		{Status{State: Running, Since: now.Add(-400 * time.Millisecond)}, false, 600 * time.Millisecond},
		{Status{State: Running, Since: now.Add(-SettleTime)}, true, 0},
		{Status{State: Running, Health: HealthHealthy, Stopping: true}, false, 0},
		{Status{State: Starting}, false, 0},
		{Status{State: Done}, true, 0},
		{Status{State: Failed}, false, 0},
	} {
		if ready, in := c.status.Ready(now); ready != c.ready || in != c.in {
			t.Errorf("%+v: ready %v in %v, want %v in %v", c.status, ready, in, c.ready, c.in)
		}
	}
}

func TestOutsideKeepsTheError(t *testing.T) {
	cause := errors.New("port 80 is in use")
	err := fmt.Errorf("web: %w", Outside(cause))
	if !errors.Is(err, ErrOutside) || !errors.Is(err, cause) || err.Error() != "web: port 80 is in use" {
		t.Errorf("%v, outside %v, cause %v", err, errors.Is(err, ErrOutside), errors.Is(err, cause))
	}
	if errors.Is(cause, ErrOutside) {
		t.Error("every error is from outside")
	}
}

func TestNames(t *testing.T) {
	s := Service{Title: "Web", Dir: "/p", Process: &Process{}}
	for got, want := range map[string]string{
		Key{"web", 1}.String(): "web", Key{"web", 2}.String(): "web-2",
		s.LogPath(1): "/p/logs/Web.log", s.LogPath(2): "/p/logs/Web-2.log",
		Port{Target: 80, Protocol: "tcp"}.String():                             "80/tcp",
		Port{Target: 80, Published: 8080, Protocol: "tcp"}.String():            "0.0.0.0:8080->80/tcp",
		Port{HostIP: "::1", Target: 1, Published: 1, Protocol: "udp"}.String(): "::1:1->1/udp",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
