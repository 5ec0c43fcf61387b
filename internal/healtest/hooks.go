package healtest

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/healing-bot/healbot/service"
)

// hooked gives a service with hooks that run the fixture with args.
func (s *suite) hooked(t *testing.T, svc service.Service, postStart, preStop [][]string) service.Service {
	t.Helper()
	if svc.Image != nil {
		hooks := func(all [][]string) (hooks []types.ServiceHook) {
			for _, args := range all {
				hooks = append(hooks, types.ServiceHook{Command: append([]string{"/fixture"}, args...)})
			}
			return hooks
		}
		svc.Image.Config.PostStart, svc.Image.Config.PreStop = hooks(postStart), hooks(preStop)
		return svc
	}
	hooks := func(all [][]string) (hooks []service.Hook) {
		for _, args := range all {
			hooks = append(hooks, service.Hook{Argv: append([]string{svc.Process.Argv[0]}, args...), Dir: svc.Process.Dir, Env: svc.Process.Env})
		}
		return hooks
	}
	svc.Process.PostStart, svc.Process.PreStop = hooks(postStart), hooks(preStop)
	return svc
}

// counting gives a service that ends with the number of lines its hooks wrote: two after
// its start, and one before it is stopped.
func (s *suite) counting(t *testing.T, name string) service.Service {
	file := "/scratch"
	if s.make(t, name).Image == nil {
		file = filepath.Join(t.TempDir(), "scratch")
	}
	svc := s.make(t, name, "count", file, "2")
	return s.hooked(t, svc, [][]string{{"put", file, "first"}, {"put", file, "second"}}, [][]string{{"put", file, "last"}})
}

// hooks: post_start runs once the instance has started, pre_stop before its stop signal.
func (s *suite) hooks(t *testing.T) {
	svc := s.counting(t, "hooked")
	i := s.start(t, svc, 1, 1)
	if said := hear(t, i, 1); said != "there" {
		t.Errorf("it said %q", said)
	}
	if err := i.Signal(within(t), "SIGHUP"); err != nil { // another signal stops nothing
		t.Fatal(err)
	}
	s.term(t, i)
	if e := wait(t, i); e.Code != 3 {
		t.Errorf("ended as %+v, so %d hooks ran before", e, e.Code)
	}
}

func (s *suite) postStartFails(t *testing.T) {
	svc := s.hooked(t, s.make(t, "unready", "sleep"), [][]string{{"unknown"}, {"exit", "0"}}, nil)
	e := wait(t, s.start(t, svc, 1, 1))
	command := "/fixture"
	if svc.Process != nil {
		command = svc.Process.Argv[0]
	}
	want := "killed by SIGKILL (post_start failed: " + command + ": exit code 64"
	if !strings.HasPrefix(e.String(), want) {
		t.Errorf("ended: %s\nwant %s…", e, want)
	}
}

// preStopHangs: whoever has no patience left can still end the instance.
func (s *suite) preStopHangs(t *testing.T) {
	svc := s.hooked(t, s.make(t, "held", "sleep"), nil, [][]string{{"ignore-term"}})
	i := s.start(t, svc, 1, 1)
	s.term(t, i)
	if err := i.Kill(within(t)); err != nil {
		t.Fatal(err)
	}
	if e := wait(t, i); e.Signal != "SIGKILL" {
		t.Errorf("ended as %+v", e)
	}
}

// hooksAdopted: a later supervisor, which the services are declared to, runs pre_stop and
// does not run post_start again.
func (s *suite) hooksAdopted(t *testing.T) {
	svc := s.counting(t, "heir")
	i := s.start(t, svc, 1, 1)
	if said := hear(t, i, 1); said != "there" {
		t.Errorf("it said %q", said)
	}
	b := s.again(t)
	b.Declare([]service.Service{svc})
	heir := s.adopt(t, b, svc)
	s.term(t, heir)
	if e := wait(t, heir); e.Code != 3 {
		t.Errorf("ended as %+v", e)
	}
}
