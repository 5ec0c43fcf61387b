package runner

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/healing-bot/healbot/service"
)

// hooked has two hooks after its start and one before its stop.
func hooked() service.Service {
	s := svc("web")
	s.PostStart = []service.Hook{{Argv: []string{"migrate"}}, {Argv: []string{"warm"}}}
	s.PreStop = []service.Hook{{Argv: []string{"drain"}}}
	return s
}

func TestHooksRunInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakes()
		s := run(t, b, project(t, t.TempDir(), hooked()))
		s.up()
		synctest.Wait()
		s.must(service.Command{Verb: service.VerbKill, Signal: "SIGTERM"}) // which is no stop
		s.up()
		time.Sleep(always.MaxDelay)
		s.end()
		want := []string{
			"start web", "post_start-1 migrate", "post_start-2 warm", "SIGTERM web",
			"start web", "post_start-1 migrate", "post_start-2 warm", "pre_stop-1 drain", "SIGTERM web",
		}
		if diff := cmp.Diff(want, b.take()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestPostStartThatFailsIsACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakes()
		first := true
		b.hook = func(_ context.Context, h service.Hook) error {
			if !first {
				return nil
			}
			first = false
			return errors.New(h.Argv[0] + ": exit code 3")
		}
		s := run(t, b, project(t, t.TempDir(), hooked()))
		s.up()
		st := s.status("web")
		if st.State != service.Crashed || !strings.Contains(st.Reason, "killed by SIGKILL (post_start failed: migrate: exit code 3)") {
			t.Errorf("%s (%s)", st.State, st.Reason)
		}
		if diff := cmp.Diff([]string{"start web", "post_start-1 migrate", "kill web"}, b.take()); diff != "" {
			t.Error(diff)
		}
		time.Sleep(always.Delay + time.Second)
		if st := s.status("web"); st.State != service.Running {
			t.Errorf("then %s (%s)", st.State, st.Reason)
		}
		b.instance("web").end(service.Exit{Code: 1})
		if st := s.status("web"); strings.Contains(st.Reason, "post_start") {
			t.Errorf("the next instance is blamed for the last one's hook: %s", st.Reason)
		}
		s.end()
	})
}

// A pre_stop hook that fails is a warning, and stops nothing from being stopped.
func TestPreStopThatFailsIsAWarning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		b := newFakes()
		b.hook = func(_ context.Context, h service.Hook) error {
			if h.Argv[0] == "drain" {
				return errors.New("drain: exit code 1")
			}
			return nil
		}
		s := runWith(t, b, project(t, t.TempDir(), hooked()), Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
		s.up()
		synctest.Wait()
		b.take()
		changes := s.Changes(s.ctx)
		s.must(service.Command{Verb: service.VerbStop})
		for c := range changes {
			if c.Note != "" {
				if want := "pre_stop failed: drain: exit code 1"; c.Note != want {
					t.Errorf("the history says %q, not %q", c.Note, want)
				}
				break
			}
		}
		if diff := cmp.Diff([]string{"pre_stop-1 drain", "SIGTERM web"}, b.take()); diff != "" {
			t.Error(diff)
		}
		s.want("web", service.Stopped, "stopped by a user")
		s.end()
		if want := `level=WARN msg="a hook failed" service=web error="pre_stop failed: drain: exit code 1"`; !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, log.String())
		}
	})
}

// A pre_stop hook that hangs has the grace of its service, and is given up with it.
func TestPreStopThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakes()
		given := false
		b.hook = func(ctx context.Context, h service.Hook) error {
			if h.Argv[0] != "drain" {
				return nil
			}
			<-ctx.Done()
			given = true
			return ctx.Err()
		}
		s := run(t, b, project(t, t.TempDir(), hooked()))
		s.up()
		synctest.Wait()
		b.take()
		began := time.Now()
		s.must(service.Command{Verb: service.VerbStop})
		if took := time.Since(began); took != always.Grace {
			t.Errorf("the stop took %s", took)
		}
		synctest.Wait()
		if diff := cmp.Diff([]string{"pre_stop-1 drain", "kill web"}, b.take()); diff != "" || !given {
			t.Error(given, diff)
		}
		s.end()
	})
}

// What a supervisor takes over has had its post_start, and gets its pre_stop. What docker
// compose made gets neither.
func TestHooksOfWhatWasThere(t *testing.T) {
	for hash, want := range map[string][]string{"1": {"pre_stop-1 drain", "SIGTERM web"}, "": {"SIGTERM web"}} {
		synctest.Test(t, func(t *testing.T) {
			b := newFakes()
			s := run(t, b, project(t, t.TempDir(), hooked()))
			s.up()
			synctest.Wait()
			heir := s.die()
			heir.instance("web").about.Hash = hash
			heir.left[0].(*fake).about.Hash = hash
			again := run(t, heir, s.project)
			again.up()
			again.status("web")
			again.end()
			if diff := cmp.Diff(want, heir.take()); diff != "" {
				t.Error(diff)
			}
		})
	}
}
