package docker_test

import (
	"context"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/healing-bot/healbot/docker"
	"github.com/healing-bot/healbot/internal/healtest"
	"github.com/healing-bot/healbot/runner"
	"github.com/healing-bot/healbot/runner/policy"
	"github.com/healing-bot/healbot/service"
)

// TestSupervisedOverAnEnginesReturn: whatever an engine did to its containers when it
// went away, all run again within seconds of its return. An end with it is not counted.
func TestSupervisedOverAnEnginesReturn(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		sig  syscall.Signal
		long bool // away, until the next try is most of a minute off
	}{
		"killed":       {nil, syscall.SIGKILL, false},
		"long away":    {nil, syscall.SIGTERM, true},
		"live-restore": {[]string{"--live-restore"}, syscall.SIGKILL, false},
	} {
		t.Run(name, func(t *testing.T) {
			w, p := newPrivateWorld(t, "{}", c.args...)
			s := w.supervise(w.service("web", "sleep"), w.service("db", "term", "3"))
			s.awaitAll(service.Running)
			p.end(c.sig)
			if c.args != nil { // else they went with the engine
				w.must(syscall.Kill(s.Statuses()[0].PID, syscall.SIGKILL))
			}
			if c.long {
				healtest.Eventually(t, "they pause", func() bool {
					return !slices.ContainsFunc(s.Statuses(), func(st service.Status) bool {
						if st.State == service.Running { // it was started again while the engine was ending
							return false
						}
						return st.NextRestartAt == nil || time.Until(*st.NextRestartAt) < 40*time.Second
					})
				})
			}
			p.start(w.engine)
			back := time.Now()
			s.awaitAll(service.Running)
			took := time.Since(back)
			t.Logf("all runs %s after the engine's return", took.Round(time.Millisecond))
			if took > promptly {
				t.Errorf("it took %s", took)
			}
			for _, st := range s.Statuses() {
				if st.Restarts != 0 && c.args == nil {
					t.Errorf("%s counts %d restarts", st.Name, st.Restarts)
				}
			}
		})
	}
}

// A supervised world has its services run by a Runner.
type supervised struct {
	*world
	*runner.Runner
}

func (w *world) supervise(services ...service.Service) *supervised {
	w.t.Helper()
	project := runner.Project{Name: w.project, Dir: w.t.TempDir(), Services: services, Policies: map[string]policy.Policy{}}
	for _, svc := range services {
		project.Policies[svc.Name] = policy.Policy{
			Name: svc.Name, Condition: policy.Always, Delay: time.Second, Factor: 60, MaxDelay: time.Minute,
			MaxAttempts: 5, Window: 5 * time.Minute, Grace: svc.Grace,
		}
	}
	r, _, err := runner.New(project, runner.Config{Backends: map[service.Kind]runner.Backend{service.Container: runner.Of(w.backend)}})
	w.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = r.Run(ctx)
	}()
	go eased(ctx, r, w.backend)
	w.t.Cleanup(func() {
		if w.t.Failed() {
			w.t.Logf("%+v", r.Statuses())
		}
		cancel()
		select {
		case <-ended:
		case <-time.After(healtest.Deadline):
			w.t.Error("the runner does not end: what it should end is out of its reach")
		}
	})
	_, err = r.Apply(w.within(), runner.Plan{Project: project})
	w.must(err)
	return &supervised{w, r}
}

func eased(ctx context.Context, r *runner.Runner, b *docker.Backend) {
	for {
		select {
		case <-b.Back():
			r.Eased(service.Container)
		case <-ctx.Done():
			return
		}
	}
}

// awaitAll waits until every service is in a state, and what the engine says agrees.
func (s *supervised) awaitAll(state service.State) {
	s.t.Helper()
	healtest.Eventually(s.t, "all are "+string(state), func() bool {
		for _, st := range s.Statuses() {
			if st.State != state {
				return false
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			c, err := s.engine.ContainerInspect(ctx, st.ID)
			cancel()
			if err != nil || !c.State.Running {
				return false
			}
		}
		return true
	})
}
