package runner

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/healing-bot/healbot/service"
)

func TestUpStartsInOrderAndDownEndsInReverse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakes()
		s := run(t, b, project(t, t.TempDir(), svc("web", "api"), svc("api", "db"), svc("db")))
		s.up()
		synctest.Wait()
		if diff := cmp.Diff([]string{"start db", "start api", "start web"}, b.take()); diff != "" {
			t.Error("starts:", diff)
		}
		s.end()
		if diff := cmp.Diff([]string{"SIGTERM web", "SIGTERM api", "SIGTERM db"}, b.take()); diff != "" {
			t.Error("stops:", diff)
		}
	})
}

func TestWhatNobodyWaitsForStartsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakes()
		slow := make(chan struct{})
		b.prepare = func(s service.Service) error {
			if s.Name == "slow" {
				<-slow
			}
			return nil
		}
		s := run(t, b, project(t, t.TempDir(), svc("slow"), svc("quick"), svc("user", "slow")))
		go s.Apply(s.ctx, Plan{Project: s.project})
		synctest.Wait()
		if diff := cmp.Diff([]string{"start quick"}, b.take()); diff != "" {
			t.Error("starts while slow is being prepared:", diff)
		}
		s.want("user", service.Pending, "waiting for slow: pending")
		close(slow)
		synctest.Wait()
		if diff := cmp.Diff([]string{"start slow", "start user"}, b.take()); diff != "" {
			t.Error("starts then:", diff)
		}
		s.end()
	})
}

func TestCrashesHealUntilTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakes()
		s := run(t, b, project(t, t.TempDir(), svc("web")))
		s.up()
		for n := range always.MaxAttempts {
			b.instance("web").end(service.Exit{Code: 1})
			if st := s.status("web"); st.State != service.Crashed || !strings.Contains(st.Reason, "exit code 1") {
				t.Fatalf("after crash %d: %s (%s)", n+1, st.State, st.Reason)
			}
			time.Sleep(time.Minute)
			if st := s.status("web"); st.State != service.Running || st.Restarts != n+1 {
				t.Fatalf("a minute after crash %d: %s, %d restarts", n+1, st.State, st.Restarts)
			}
		}
		b.instance("web").end(service.Exit{Code: 1})
		time.Sleep(time.Hour)
		if st := s.status("web"); st.State != service.MaxRestarts || !strings.Contains(st.Reason, "restarts used up") {
			t.Errorf("an hour after crash 4: %s (%s)", st.State, st.Reason)
		}
		s.end()
	})
}

func TestARestartWaitsForTheDependencyAndIsFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakes()
		s := run(t, b, project(t, t.TempDir(), svc("web", "db"), svc("db")))
		s.up()
		var free atomic.Bool
		b.start = func(k service.Key, _ int) error {
			if k.Service == "db" && !free.Load() {
				return service.Outside(errors.New("port 5432 is held by pid 1 (init)"))
			}
			return nil
		}
		b.instance("db").end(service.Exit{Code: 1})
		b.instance("web").end(service.Exit{Code: 1})
		time.Sleep(30 * time.Second)
		if st := s.status("web"); st.State != service.Pending || !strings.Contains(st.Reason, "waiting for db: pending, port 5432") {
			t.Errorf("web is %s (%s)", st.State, st.Reason)
		}
		free.Store(true)
		time.Sleep(time.Minute)
		if st := s.status("web"); st.State != service.Running || st.Restarts != 0 || st.RestartsTotal != 1 {
			t.Errorf("web is %s with %d counted of %d restarts", st.State, st.Restarts, st.RestartsTotal)
		}
		s.end()
	})
}

// An up in the foreground does not wait for ever for what can't come.
func TestNothingIsLeftWhereAllElseWaitsInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakes()
		b.start = func(service.Key, int) error { return errors.New("no such command") }
		s := runWith(t, b, project(t, t.TempDir(), svc("job"), svc("api", "job"), svc("web", "api")), Config{EndWhenIdle: true})
		if _, err := s.Apply(s.ctx, Plan{Project: s.project}); err != nil && !errors.Is(err, ErrEnded) {
			t.Fatal(err)
		}
		select {
		case err := <-s.ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(time.Hour):
			t.Error("it goes on")
			s.end()
		}
	})
}

func TestANewSupervisorGoesOnWhereTheLastOneDied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, dir := newFakes(), t.TempDir()
		p := project(t, dir, svc("web"), svc("db"), svc("idle"), svc("flappy"))
		s := run(t, b, p)
		s.up()
		s.Do(s.ctx, service.Command{Verb: service.VerbStop, Services: []string{"idle"}})
		b.instance("flappy").end(service.Exit{Code: 1})
		synctest.Wait()
		time.Sleep(time.Second) // the journal is written
		web, db := b.instance("web"), b.instance("db")
		journal, err := os.ReadFile(filepath.Join(StateDir(dir), "state.json"))
		if err != nil {
			t.Fatal(err)
		}
		s.end()
		b.take()

		// What a supervisor leaves that is killed: its journal, and what runs.
		os.WriteFile(filepath.Join(StateDir(dir), "state.json"), journal, 0o600)
		again := newFakes()
		web2, db2 := newFake(again, p.Services[0], web.about.Key, web.about.Run), newFake(again, p.Services[1], db.about.Key, db.about.Run)
		web2.about.Started = web.about.Started
		db2.about.Ended = true
		db2.end(service.Exit{Code: 3})
		again.left = []Instance{web2, db2}
		again.live[web2.about.Key] = web2
		s = run(t, again, p)
		go s.Apply(s.ctx, Plan{Project: p, Adopting: true})
		if st := s.status("web"); st.State != service.Running || st.PID != web.about.PID || st.Restarts != 0 {
			t.Errorf("web: %+v", st)
		}
		if st := s.status("db"); st.State != service.Crashed || !strings.Contains(st.Reason, "exit code 3") || *st.ExitCode != 3 {
			t.Errorf("db: %+v", st)
		}
		s.want("idle", service.Stopped, "stopped by a user")
		if st := s.status("flappy"); st.State != service.Crashed || !strings.Contains(st.Reason, "restart 1/3 in") {
			t.Errorf("flappy: %+v", st)
		}
		time.Sleep(time.Minute)
		if diff := cmp.Diff([]string{"start flappy", "start db"}, again.take()); diff != "" {
			t.Error("starts:", diff)
		}
		s.end()
	})
}

func TestABackendThatIsAwayHoldsOnlyItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, engine := newFakes(), newFakes()
		engine.refuse = errEngine
		box := svc("box")
		box.Kind = service.Container
		p := project(t, t.TempDir(), svc("web"), box)
		s := runWith(t, b, p, Config{Backends: map[service.Kind]Backend{service.Native: b, service.Container: engine}})
		s.up()
		s.want("web", service.Running, "")
		s.want("box", service.Pending, "waiting for an answer: "+errEngine.Error())
		engine.mu.Lock()
		engine.refuse = nil
		engine.mu.Unlock()
		time.Sleep(5 * time.Second)
		s.want("box", service.Running, "")
		s.must(service.Command{Verb: service.VerbDown})
		<-s.ended
	})
}

func TestABackendIsAskedForNothingBeforeItIsNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, engine := newFakes(), newFakes()
		p := project(t, t.TempDir(), svc("web"))
		backends := map[service.Kind]Backend{service.Native: b, service.Container: engine}
		s := runWith(t, b, p, Config{Backends: backends})
		s.up()
		synctest.Wait()
		if engine.asked > 0 {
			t.Error("the engine was asked, though no service is a container")
		}
		box := svc("box")
		box.Kind = service.Container
		s.project = project(t, s.dir, svc("web"), box)
		s.up()
		s.want("box", service.Running, "")
		s.end()
	})
}

func TestApplyReplacesOnlyWhatChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakes()
		s := run(t, b, project(t, t.TempDir(), svc("web"), svc("db"), svc("old")))
		s.up()
		b.take()
		changed := svc("web")
		changed.Hash = "2"
		s.project = project(t, s.dir, changed, svc("db"), svc("new"))
		report := s.up()
		want := []string{"SIGTERM web", "start new", "start web"}
		got := b.take()
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if len(report.Notes) != 2 || !strings.HasPrefix(report.Notes[0], "web: replaced") || !strings.HasPrefix(report.Notes[1], "old is an orphan") {
			t.Errorf("notes: %q", report.Notes)
		}
		if !s.status("old").Orphan || s.status("web").Orphan {
			t.Error("the orphan's status does not say so, or another one's does")
		}
		if _, err := s.Apply(s.ctx, Plan{Project: s.project, Orphans: true}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if diff := cmp.Diff([]string{"SIGTERM old"}, b.take()); diff != "" {
			t.Error(diff)
		}
		if got := len(s.Statuses()); got != 3 {
			t.Errorf("%d services are left, want 3", got)
		}
		s.up()
		if log := b.take(); log != nil {
			t.Errorf("an up without changes did %q", log)
		}
		s.end()
	})
}

func TestKillRemovesOrphans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakes()
		s := run(t, b, project(t, t.TempDir(), svc("web"), svc("db"), svc("old")))
		s.up()
		s.project = project(t, s.dir, svc("web"), svc("db"))
		s.up()
		b.take()
		s.must(service.Command{Verb: service.VerbKill, Services: []string{"web"}, Orphans: true})
		got := b.take()
		slices.Sort(got)
		if diff := cmp.Diff([]string{"kill old", "kill web"}, got); diff != "" {
			t.Error(diff)
		}
		if got := len(s.Statuses()); got != 2 {
			t.Errorf("%d services are left, want 2", got)
		}
		s.end()
	})
}

// As with docker compose, --force-recreate is for the services named, and what they need
// is replaced where it changed, or with --always-recreate-deps.
func TestReplacedOnRequest(t *testing.T) {
	for name, test := range map[string]struct {
		plan Plan
		want []string
	}{
		"all":        {Plan{Recreate: true}, []string{"SIGTERM db", "SIGTERM web", "start db", "start web"}},
		"named":      {Plan{Recreate: true, Names: []string{"web"}}, []string{"SIGTERM web", "start web"}},
		"what needs": {Plan{Deep: true, Names: []string{"web"}}, []string{"SIGTERM db", "start db"}},
		"both":       {Plan{Recreate: true, Deep: true, Names: []string{"web"}}, []string{"SIGTERM db", "SIGTERM web", "start db", "start web"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newFakes()
				s := run(t, b, project(t, t.TempDir(), needing("web", service.Need{Service: "db", Condition: service.Started}), svc("db")))
				s.up()
				b.take()
				test.plan.Project = s.project
				if _, err := s.Apply(s.ctx, test.plan); err != nil {
					t.Fatal(err)
				}
				got := b.take()
				slices.Sort(got)
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Error(diff)
				}
				s.end()
			})
		})
	}
}
