package healtest

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/healing-bot/healbot/runner"
	"github.com/healing-bot/healbot/service"
)

// hook gives a hook of svc that runs the fixture with args.
func hook(svc service.Service, args ...string) service.Hook {
	if svc.Process != nil {
		return service.Hook{Argv: append([]string{svc.Process.Argv[0]}, args...), Dir: svc.Process.Dir, Env: svc.Process.Env}
	}
	return service.Hook{Argv: append([]string{"/fixture"}, args...)}
}

// counting gives a service that ends with the number of lines in a file, and a function
// that adds one by a hook. It says something once there are two.
func (s *suite) counting(t *testing.T, name string) (svc service.Service, add func(runner.Instance)) {
	file := "/scratch"
	if s.make(t, name).Process != nil {
		file = filepath.Join(t.TempDir(), "scratch")
	}
	svc = s.make(t, name, "count", file, "2")
	return svc, func(i runner.Instance) {
		t.Helper()
		if err := i.Hook(within(t), "post_start-1", hook(svc, "put", file, "a line")); err != nil {
			t.Error(err)
		}
	}
}

// hooks run where their instance does, before Hook returns.
func (s *suite) hooks(t *testing.T) {
	svc, add := s.counting(t, "hooked")
	i := s.start(t, svc, 1, 1)
	add(i)
	add(i)
	if said := hear(t, i, 1); said != "there" {
		t.Errorf("it said %q", said)
	}
	add(i)
	s.term(t, i)
	if e := wait(t, i); e.Code != 3 {
		t.Errorf("ended as %+v, so %d hooks ran before", e, e.Code)
	}
}

func (s *suite) hookFails(t *testing.T) {
	svc := s.make(t, "unready", "sleep")
	i := s.start(t, svc, 1, 1)
	h := hook(svc, "unknown")
	want := h.Argv[0] + ": exit code 64"
	if err := i.Hook(within(t), "post_start-1", h); err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("failed with %v\nwant %s…", err, want)
	}
	h.Argv = []string{"/no/such/command"}
	if err := i.Hook(within(t), "post_start-1", h); err == nil || !strings.Contains(err.Error(), h.Argv[0]) {
		t.Errorf("a command that does not exist: %v", err)
	}
	if !Alive(i.About().PID) {
		t.Error("a hook that failed ended its instance")
	}
}

// hookHangs: whoever has no patience left leaves it, and can still end the instance.
func (s *suite) hookHangs(t *testing.T) {
	svc := s.make(t, "held", "sleep")
	i := s.start(t, svc, 1, 1)
	ctx, cancel := context.WithCancel(within(t))
	gone := make(chan error)
	go func() { gone <- i.Hook(ctx, "pre_stop-1", hook(svc, "ignore-term")) }()
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("a hook that was given up: %v", err)
	}
	if err := i.Kill(within(t)); err != nil {
		t.Fatal(err)
	}
	if e := wait(t, i); e.Signal != "SIGKILL" {
		t.Errorf("ended as %+v", e)
	}
}

func (s *suite) hooksAdopted(t *testing.T) {
	svc, add := s.counting(t, "heir")
	s.start(t, svc, 1, 1)
	heir := s.adopt(t, s.again(t), svc)
	add(heir)
	add(heir)
	if said := hear(t, heir, 1); said != "there" {
		t.Errorf("it said %q", said)
	}
	s.term(t, heir)
	if e := wait(t, heir); e.Code != 2 {
		t.Errorf("ended as %+v", e)
	}
}
