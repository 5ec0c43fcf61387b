package runner

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/healing-bot/healbot/runner/policy"
	"github.com/healing-bot/healbot/service"
)

// The promises of the Compose Specification's section depends_on, each by its name.
// Those about one instance alone are scenes of package policy.

// needing declares a service with one need.
func needing(name string, n service.Need) service.Service {
	s := svc(name)
	s.Needs = []service.Need{n}
	return s
}

// wantLog compares what the backend was asked since the last time.
func (s *scene) wantLog(when string, want ...string) {
	s.Helper()
	synctest.Wait()
	if diff := cmp.Diff(want, s.backend.take()); diff != "" {
		s.Errorf("%s: %s", when, diff)
	}
}

// begin is up for a project that need not come up at once.
func (s *scene) begin() {
	go s.Apply(s.ctx, Plan{Project: s.project, Adopting: true})
	synctest.Wait()
}

// restart gives a service of p another policy.
func (p Project) restart(name string, change func(*policy.Policy)) {
	pol := p.Policies[name]
	change(&pol)
	p.Policies[name] = pol
}

// checked gives web a check whose verdicts come through the channel.
func checked(b *fakes, s service.Service) (service.Service, chan service.Verdict) {
	s.Check = &service.Check{Engine: true}
	verdicts := make(chan service.Verdict)
	earlier := b.born
	b.born = func(f *fake) {
		if earlier != nil {
			earlier(f)
		}
		if f.about.Service == s.Name {
			f.verdicts = verdicts
		}
	}
	return s, verdicts
}

func TestDependsOnServiceStarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakes()
		db, verdicts := checked(b, svc("db"))
		s := run(t, b, project(t, t.TempDir(), db, needing("web", service.Need{Service: "db", Condition: service.Started})))
		s.begin()
		s.wantLog("before db is healthy", "start db", "start web")
		s.want("db", service.Starting, "")
		s.want("web", service.Running, "")
		verdicts <- service.Verdict{Healthy: true}
		s.end()
	})
}

func TestDependsOnServiceHealthy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakes()
		db, verdicts := checked(b, svc("db"))
		s := run(t, b, project(t, t.TempDir(), db, svc("web", "db")))
		s.begin()
		s.wantLog("before db is healthy", "start db")
		s.want("web", service.Pending, "waiting for db: not healthy yet")
		verdicts <- service.Verdict{Healthy: true}
		s.wantLog("once it is", "start web")
		s.end()
	})
}

func TestDependsOnServiceCompletedSuccessfully(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakes()
		p := project(t, t.TempDir(), svc("migrate"), needing("web", service.Need{Service: "migrate", Condition: service.Completed}))
		p.restart("migrate", func(p *policy.Policy) { p.Condition = policy.Never })
		s := run(t, b, p)
		s.begin()
		s.wantLog("while the job runs", "start migrate")
		s.want("web", service.Pending, "waiting for migrate: running")
		b.instance("migrate").end(service.Exit{})
		s.wantLog("once it ended well", "start web")
		time.Sleep(time.Hour)
		s.want("migrate", service.Done, "exit code 0")
		s.want("web", service.Running, "")
		if ready, _ := s.status("migrate").Ready(time.Now()); !ready {
			t.Error("a job that ended well does not satisfy --wait")
		}
		s.end()
	})
}

// A dependency that can't ever become ready makes its waiters say so at once, and
// `up` returns; they go on by themselves when it recovers.
func TestDependsOnWhatCanNotBecomeReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakes()
		p := project(t, t.TempDir(), svc("migrate"), needing("api", service.Need{Service: "migrate", Condition: service.Completed}), svc("web", "api"))
		p.restart("migrate", func(p *policy.Policy) { p.Condition = policy.Never })
		s := run(t, b, p)
		b.born = func(f *fake) {
			if f.about.Service == "migrate" && f.about.Run == 1 {
				f.end(service.Exit{Code: 3})
			}
		}
		began := time.Now()
		s.up()
		if took := time.Since(began); took > 0 {
			t.Errorf("up took %s to see that it is in vain", took)
		}
		s.want("api", service.Pending, "waiting for migrate: failed, exit code 3")
		if st := s.status("web"); !strings.HasPrefix(st.Reason, "waiting for api: pending") {
			t.Errorf("web says %q", st.Reason)
		}
		b.take()
		go s.Do(s.ctx, service.Command{Verb: service.VerbStart, Services: []string{"migrate"}})
		s.wantLog("when the job is started again", "start migrate")
		b.instance("migrate").end(service.Exit{})
		s.wantLog("when it ended well", "start api", "start web")
		s.end()
	})
}

func TestDependsOnRestartTrue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakes()
		p := project(t, t.TempDir(), svc("db"),
			needing("web", service.Need{Service: "db", Condition: service.Started, Restart: true}),
			needing("log", service.Need{Service: "db", Condition: service.Started}))
		s := run(t, b, p)
		s.up()
		b.take()
		b.instance("db").end(service.Exit{Code: 1})
		s.wantLog("while db is down")
		time.Sleep(time.Minute)
		s.wantLog("after db was restarted", "start db", "SIGTERM web", "start web")
		if st := s.status("web"); st.Restarts != 0 || st.State != service.Running {
			t.Errorf("web is %s with %d counted restarts", st.State, st.Restarts)
		}
		s.Do(s.ctx, service.Command{Verb: service.VerbRestart, Services: []string{"db"}})
		s.wantLog("after a user restarted db", "SIGTERM db", "start db", "SIGTERM web", "start web")
		_, _ = s.Do(s.ctx, service.Command{Verb: service.VerbRestart, Services: []string{"db"}, NoDeps: true})
		s.wantLog("after a user restarted db alone", "SIGTERM db", "start db")
		s.end()
	})
}

func TestDependsOnRequiredFalse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakes()
		b.start = func(k service.Key, _ int) error {
			if k.Service == "cache" {
				return errors.New("no such command: cache")
			}
			return nil
		}
		p := project(t, t.TempDir(), svc("cache"),
			needing("web", service.Need{Service: "cache", Condition: service.Healthy, Optional: true}),
			needing("api", service.Need{Service: "cache", Condition: service.Healthy}))
		p.restart("web", func(p *policy.Policy) { p.Dependent = false })
		s := run(t, b, p)
		s.up()
		s.want("web", service.Running, "")
		s.want("api", service.Pending, "waiting for cache: failed, no such command: cache")
		s.end()
	})
}

// While an optional dependency may still become ready, it is waited for like any other.
func TestDependsOnRequiredFalseStillWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakes()
		cache, verdicts := checked(b, svc("cache"))
		s := run(t, b, project(t, t.TempDir(), cache,
			needing("web", service.Need{Service: "cache", Condition: service.Healthy, Optional: true})))
		s.begin()
		s.wantLog("before cache is healthy", "start cache")
		verdicts <- service.Verdict{Healthy: true}
		s.wantLog("once it is", "start web")
		s.end()
	})
}

// All replicas of a dependency have to be ready.
func TestDependsOnEveryReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakes()
		db := svc("db")
		db.Replicas = 3
		hold := make(chan struct{})
		b.start = func(k service.Key, _ int) error {
			if k.Replica == 3 {
				<-hold
			}
			return nil
		}
		s := run(t, b, project(t, t.TempDir(), db, svc("web", "db")))
		s.begin()
		log := b.take()
		slices.Sort(log)
		if diff := cmp.Diff([]string{"start db", "start db-2"}, log); diff != "" {
			t.Error(diff)
		}
		s.want("web", service.Pending, "waiting for db-3: pending")
		close(hold)
		s.wantLog("when the third is up", "start db-3", "start web")
		s.end()
	})
}

// A dependency that goes down while its dependent starts holds the start: none comes
// about before the condition is true now.
func TestDependsOnIsJudgedAtTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakes()
		slow := make(chan struct{})
		b.prepare = func(s service.Service) error {
			if s.Name == "web" {
				<-slow
			}
			return nil
		}
		s := run(t, b, project(t, t.TempDir(), svc("db"), svc("web", "db")))
		s.begin()
		b.instance("db").end(service.Exit{Code: 1})
		synctest.Wait()
		if st := s.status("web"); !strings.Contains(st.Reason, "waiting for db: crashed, exit code 1") {
			t.Errorf("web says %q", st.Reason)
		}
		s.end0(slow)
	})
}

// end0 ends a scene in which something was held up.
func (s *scene) end0(hold chan struct{}) {
	close(hold)
	time.Sleep(time.Hour)
	s.end()
}

// Ctrl-C ends a project of which nothing runs: what waits and what is in back-off, too.
func TestEndOfWhatDoesNotRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakes()
		s := run(t, b, project(t, t.TempDir(), svc("db"), svc("web", "db")))
		s.up()
		b.instance("db").end(service.Exit{Code: 1})
		b.instance("web").end(service.Exit{Code: 1})
		synctest.Wait()
		s.end()
		for _, st := range s.Statuses() {
			if st.State != service.Stopped {
				t.Errorf("%s is %s", st.Name, st.State)
			}
		}
	})
}
