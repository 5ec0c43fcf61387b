package healtest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/healing-bot/healbot/runner"
	"github.com/healing-bot/healbot/service"
)

func (s *suite) secondRun(t *testing.T) {
	svc := s.make(t, "crashing", "term", "3")
	first := s.start(t, svc, 1, 1)
	s.term(t, first)
	crash := wait(t, first)

	second := s.start(t, svc, 1, 2)
	a, b := first.About(), second.About()
	if !b.Started.After(a.Started) {
		t.Errorf("the second run started at %s, the first at %s", b.Started, a.Started)
	}
	if a.Run != 1 || b.Run != 2 {
		t.Errorf("the runs are %d and %d", a.Run, b.Run)
	}
	if diff := cmp.Diff(crash, wait(t, first)); diff != "" {
		t.Errorf("the first run's end changed (-before +after):\n%s", diff)
	}
	if err := first.Kill(within(t)); err != nil {
		t.Errorf("Kill of an earlier run: %v", err)
	}
	if !Alive(b.PID) {
		t.Error("Kill of an earlier run ended the later one")
	}
}

func (s *suite) twoReplicas(t *testing.T) {
	svc := s.make(t, "pair", "sleep")
	svc.Replicas = 2
	one, two := s.start(t, svc, 1, 1).About(), s.start(t, svc, 2, 2).About()
	if one.ID == two.ID {
		t.Errorf("both replicas are %s", one.ID)
	}
	if one.Replica != 1 || two.Replica != 2 {
		t.Errorf("the replicas are %d and %d", one.Replica, two.Replica)
	}
}

func (s *suite) adoptLiving(t *testing.T) {
	svc := s.make(t, "orphan", "term", "6")
	i := s.start(t, svc, 1, 1)
	adopted := s.adopt(t, s.again(t), svc)
	a, b := i.About(), adopted.About()
	if a.ID != b.ID || a.PID != b.PID || a.Key != b.Key || a.Hash != b.Hash || !a.Started.Equal(b.Started) {
		t.Errorf("started %+v, adopted %+v", a, b)
	}
	Ready(t, b.PID)
	if err := adopted.Signal(within(t), "SIGTERM"); err != nil {
		t.Fatal(err)
	}
	for who, i := range map[string]runner.Instance{"adopted": adopted, "started": i} {
		if e := wait(t, i); e.Code != 6 {
			t.Errorf("the %s instance ended as %+v", who, e)
		}
	}
}

func (s *suite) adoptEnded(t *testing.T) {
	svc := s.make(t, "unseen", "term", "8")
	i := s.start(t, svc, 1, 1)
	s.term(t, i)
	Eventually(t, "it ended", func() bool { return !Alive(i.About().PID) })
	adopted := s.adopt(t, s.again(t), svc)
	if a, b := i.About(), adopted.About(); a.ID != b.ID || !a.Started.Equal(b.Started) {
		t.Errorf("started %+v, adopted %+v", a, b)
	}
	if e := wait(t, adopted); e.Code != 8 {
		t.Errorf("ended unseen with code 8, adopted as %+v", e)
	}
}

func (s *suite) tree(t *testing.T) {
	i := s.start(t, s.make(t, "family", "tree"), 1, 1)
	Ready(t, i.About().PID)
	family := relatives(t, i.About().PID)
	if err := i.Kill(within(t)); err != nil {
		t.Fatal(err)
	}
	wait(t, i)
	for _, pid := range family {
		if Alive(pid) {
			t.Errorf("process %d outlived Kill and Wait", pid)
		}
	}
}

// relatives gives the grandchildren that "fixture tree", running as pid, has left.
func relatives(t *testing.T, pid int) []int {
	t.Helper()
	tree, err := os.Stat(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		Lacks(t, "cannot look at process %d: %v", pid, err)
	}
	var found []int
	Eventually(t, "the grandchild lives", func() bool {
		lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, path := range lines {
			line, _ := os.ReadFile(path)
			exe, err := os.Stat(filepath.Join(filepath.Dir(path), "exe"))
			if err != nil || !os.SameFile(tree, exe) || !bytes.Contains(line, []byte("ignore-term")) {
				continue
			}
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
				found = append(found, pid)
			}
		}
		return len(found) > 0
	})
	return found
}

func (s *suite) remove(t *testing.T) {
	svc := s.make(t, "leftover", "exit", "0")
	wait(t, s.start(t, svc, 1, 1))
	if err := s.backend.Remove(within(t), svc.Project); err != nil {
		t.Fatal(err)
	}
	left, err := s.again(t).Adopt(within(t), svc.Project)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range left {
		t.Errorf("left after Remove: %+v", i.About())
	}
	if err := s.backend.Remove(within(t), svc.Project); err != nil {
		t.Errorf("second Remove: %v", err)
	}
}

// start prepares and starts one replica of svc; it is ended with t.
func (s *suite) start(t *testing.T, svc service.Service, replica, run int) runner.Instance {
	t.Helper()
	if err := s.backend.Prepare(within(t), svc, func(string) {}); err != nil {
		t.Fatal(err)
	}
	i, err := s.backend.Start(within(t), svc, replica, run)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end(t, i) })
	return i
}

func (s *suite) adopt(t *testing.T, b runner.Backend, svc service.Service) runner.Instance {
	t.Helper()
	found, err := b.Adopt(within(t), svc.Project)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range found {
		if i.About().Service == svc.Name {
			return i
		}
	}
	t.Fatalf("%s was not adopted, but %d others were", svc.Name, len(found))
	return nil
}

// term sends SIGTERM once the instance is ready for it.
func (s *suite) term(t *testing.T, i runner.Instance) {
	t.Helper()
	Ready(t, i.About().PID)
	if err := i.Signal(within(t), "SIGTERM"); err != nil {
		t.Fatal(err)
	}
}

func wait(t *testing.T, i runner.Instance) service.Exit {
	t.Helper()
	e, err := i.Wait(within(t))
	if err != nil {
		t.Fatalf("Wait: %v", err)
	}
	return e
}

// end kills an instance and waits for its end.
func end(t *testing.T, i runner.Instance) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Deadline)
	defer cancel()
	if err := i.Kill(ctx); err != nil {
		t.Errorf("cannot end an instance: %v", err)
		return
	}
	if _, err := i.Wait(ctx); err != nil {
		t.Errorf("cannot end an instance: %v", err)
	}
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Deadline)
	t.Cleanup(cancel)
	return ctx
}
