package healtest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/healing-bot/healbot/runner"
	"github.com/healing-bot/healbot/service"
)

// A Make gives a service called name that runs the fixture with args. All services
// of one test belong to one project that nobody else uses.
type Make = func(t *testing.T, name string, args ...string) service.Service

// TestBackend proves that b keeps what runner.Backend and runner.Instance promise.
// make gives it services to run, all of one project. reopen, where given, gives
// another backend for the same project, as a later supervisor has one; without it,
// b itself adopts.
func TestBackend(t *testing.T, b runner.Backend, make Make, reopen ...func(*testing.T) runner.Backend) {
	again := func(*testing.T) runner.Backend { return b }
	if len(reopen) > 0 {
		again = reopen[0]
	}
	s := &suite{backend: b, again: again, make: make}
	for _, c := range []struct {
		name string
		test func(*testing.T)
	}{
		{"start is live", s.startIsLive},
		{"exit code", s.exitCode},
		{"kill", s.kill},
		{"wait again", s.waitAgain},
		{"wait cancelled", s.waitCancelled},
		{"signal stops", s.signalStops},
		{"term ignored", s.termIgnored},
		{"signal after the end", s.signalAfterEnd},
		{"start that can't work", s.startThatCannotWork},
		{"start cancelled", s.startCancelled},
		{"second run", s.secondRun},
		{"two replicas", s.twoReplicas},
		{"output", s.output},
		{"output of an adopted instance", s.outputAdopted},
		{"adopt the living", s.adoptLiving},
		{"adopt the ended", s.adoptEnded},
		{"hooks", s.hooks},
		{"hook that fails", s.hookFails},
		{"hook that hangs", s.hookHangs},
		{"hooks of an adopted instance", s.hooksAdopted},
		{"tree", s.tree},
		{"remove", s.remove},
	} {
		t.Run(c.name, c.test)
	}
}

type suite struct {
	backend runner.Backend
	again   func(*testing.T) runner.Backend
	make    Make
}

func (s *suite) startIsLive(t *testing.T) {
	svc := s.make(t, "live", "sleep")
	before := time.Now()
	about := s.start(t, svc, 1, 41).About()
	after := time.Now()

	want := service.Instance{Key: service.Key{Service: "live", Replica: 1}, Run: 41, Hash: svc.Hash, Stop: "SIGTERM"}
	got := about
	got.ID, got.PID, got.Started = "", 0, time.Time{}
	got.Address = "" // where the kind has one
	if got.Stop == "" {
		got.Stop = "SIGTERM"
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("About (-want +got):\n%s", diff)
	}
	if about.ID == "" {
		t.Error("the instance has no id")
	}
	if !Alive(about.PID) {
		t.Errorf("process %d does not live after Start", about.PID)
	}
	const slack = time.Second // the kernel counts start times in ticks
	if about.Started.Before(before.Add(-slack)) || about.Started.After(after.Add(slack)) {
		t.Errorf("Started is %s, not between %s and %s", about.Started, before, after)
	}
}

func (s *suite) exitCode(t *testing.T) {
	for name, want := range map[string]int{"zero": 0, "seven": 7} {
		arg := map[int]string{0: "0", 7: "7"}[want]
		e := wait(t, s.start(t, s.make(t, name, "exit", arg), 1, 1))
		if e.Code != want || e.Signal != "" || e.Removed || e.OOM || e.ByUser {
			t.Errorf("exit %s ended as %+v", arg, e)
		}
		if e.At.IsZero() {
			t.Errorf("exit %s ended at no time", arg)
		}
	}
}

func (s *suite) kill(t *testing.T) {
	i := s.start(t, s.make(t, "killed", "sleep"), 1, 1)
	if err := i.Kill(within(t)); err != nil {
		t.Fatal(err)
	}
	if e := wait(t, i); e.Signal != "SIGKILL" {
		t.Errorf("a killed instance ended as %+v", e)
	}
	if pid := i.About().PID; Alive(pid) {
		t.Errorf("process %d outlived its Kill", pid)
	}
}

func (s *suite) waitAgain(t *testing.T) {
	i := s.start(t, s.make(t, "twice", "exit", "5"), 1, 1)
	first, second := wait(t, i), wait(t, i)
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("second Wait (-first +second):\n%s", diff)
	}
}

func (s *suite) waitCancelled(t *testing.T) {
	i := s.start(t, s.make(t, "patient", "term", "9"), 1, 1)
	ctx, cancel := context.WithCancel(within(t))
	gone := make(chan error)
	go func() { _, err := i.Wait(ctx); gone <- err }()
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled Wait: %v", err)
	}
	if pid := i.About().PID; !Alive(pid) {
		t.Errorf("process %d ended with a cancelled Wait", pid)
	}
	s.term(t, i)
	if e := wait(t, i); e.Code != 9 {
		t.Errorf("ended as %+v after a cancelled Wait", e)
	}
}

func (s *suite) signalStops(t *testing.T) {
	i := s.start(t, s.make(t, "polite", "term", "4"), 1, 1)
	s.term(t, i)
	if e := wait(t, i); e.Code != 4 || e.Signal != "" || e.ByUser {
		t.Errorf("ended as %+v", e)
	}
}

func (s *suite) termIgnored(t *testing.T) {
	i := s.start(t, s.make(t, "stubborn", "ignore-term"), 1, 1)
	s.term(t, i)
	ctx, cancel := context.WithTimeout(within(t), 100*time.Millisecond)
	defer cancel()
	if e, err := i.Wait(ctx); err == nil {
		t.Fatalf("it does not ignore SIGTERM: %+v", e)
	}
	if err := i.Kill(within(t)); err != nil {
		t.Fatal(err)
	}
	if e := wait(t, i); e.Signal != "SIGKILL" {
		t.Errorf("ended as %+v", e)
	}
}

func (s *suite) signalAfterEnd(t *testing.T) {
	i := s.start(t, s.make(t, "ended", "exit", "0"), 1, 1)
	wait(t, i)
	if err := i.Signal(within(t), "SIGTERM"); err != nil {
		t.Errorf("Signal after the end: %v", err)
	}
	if err := i.Kill(within(t)); err != nil {
		t.Errorf("Kill after the end: %v", err)
	}
}

func (s *suite) startThatCannotWork(t *testing.T) {
	svc := s.make(t, "broken", "sleep")
	const missing = "/no/such/command"
	if svc.Process != nil {
		svc.Process.Argv = []string{missing}
	}
	if svc.Image != nil {
		svc.Image.Config.Entrypoint = []string{missing}
	}
	if err := s.backend.Prepare(within(t), svc, func(string) {}); err != nil {
		t.Fatal(err)
	}
	i, err := s.backend.Start(within(t), svc, 1, 1)
	if err == nil {
		end(t, i)
		t.Fatal("a command that does not exist was started")
	}
	if errors.Is(err, service.ErrOutside) {
		t.Errorf("not a reason outside the project: %v", err)
	}
}

func (s *suite) startCancelled(t *testing.T) {
	svc := s.make(t, "early", "sleep")
	if err := s.backend.Prepare(within(t), svc, func(string) {}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if i, err := s.backend.Start(ctx, svc, 1, 1); err == nil {
		end(t, i)
		return
	}
	i := s.start(t, svc, 1, 2)
	if pid := i.About().PID; !Alive(pid) {
		t.Errorf("process %d does not live after a start that follows an abandoned one", pid)
	}
}
