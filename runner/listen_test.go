package runner

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/healing-bot/healbot/runner/policy"
	"github.com/healing-bot/healbot/service"
)

// listening is a project of one service that is healthy once it says that it is ready.
func listening(t *testing.T) Project {
	web := svc("web")
	web.Check = &service.Check{Log: `^ready( |$)`}
	p := project(t, t.TempDir(), web)
	pol := p.Policies["web"]
	pol.StartPeriod = time.Minute
	p.Policies["web"] = pol
	return p
}

func TestXLogIsHealthyOnceALineMatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := run(t, newFakes(), listening(t))
		s.up()
		first := s.backend.instance("web")
		first.lines <- "not ready yet"
		s.want("web", service.Starting, "")
		first.lines <- "ready to serve"
		s.want("web", service.Running, "")
		time.Sleep(time.Hour)
		if st := s.status("web"); st.Health != service.HealthHealthy || st.State != service.Running {
			t.Errorf("an hour later: %s, %s", st.State, st.Health)
		}

		// Each instance has to say so itself.
		first.end(service.Exit{Code: 1})
		time.Sleep(10 * time.Second)
		if st := s.status("web"); st.State != service.Starting {
			t.Errorf("the next instance is %s without having said a word", st.State)
		}
		first.lines <- "ready"
		if st := s.status("web"); st.State != service.Starting {
			t.Errorf("a line of the instance before made it %s", st.State)
		}
		s.backend.instance("web").lines <- "ready"
		if st := s.status("web"); st.State != service.Running {
			t.Errorf("then it is %s", st.State)
		}
		s.end()
	})
}

func TestXLogWithoutALineIsUnhealthyInTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := run(t, newFakes(), listening(t))
		s.up()
		time.Sleep(time.Minute + 3*10*time.Second - time.Millisecond) // start_period, retries · interval
		s.want("web", service.Starting, "")
		time.Sleep(2 * time.Millisecond)
		if st := s.status("web"); st.State != service.Unhealthy || !strings.Contains(st.Reason, "no line of its output matched x-log within 1m30s, restart 1/3 in 5s") {
			t.Errorf("web is %s (%s)", st.State, st.Reason)
		}
		s.end()
	})
}

func TestXLogThatIsNotHealedIsHealthyAfterALateLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := listening(t)
		pol := p.Policies["web"]
		pol.IgnoreUnhealthy = true
		p.Policies["web"] = pol
		s := run(t, newFakes(), p)
		s.up()
		time.Sleep(time.Hour)
		s.want("web", service.Unhealthy, "unhealthy: no line of its output matched x-log within 1m30s")
		s.backend.instance("web").lines <- "ready"
		s.want("web", service.Running, "")
		s.end()
	})
}

func TestXLogOfOutputThatCanNotBeReadIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakes()
		b.born = func(f *fake) { close(f.lines) }
		s := run(t, b, listening(t))
		s.up()
		time.Sleep(time.Hour)
		s.want("web", service.Running, "health unknown: "+errMute.Error())
		s.end()
	})
}

func TestXLogOfAnAdoptedInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := listening(t)
		s := run(t, newFakes(), p)
		s.up()
		s.backend.instance("web").lines <- "ready"
		s.want("web", service.Running, "")
		s = run(t, s.die(), p)
		go s.Apply(s.ctx, Plan{Project: p, Adopting: true})
		time.Sleep(time.Hour)
		if st := s.status("web"); st.State != service.Running || st.Health != service.HealthHealthy {
			t.Errorf("what was ready is %s, %s (%s) under the next supervisor", st.State, st.Health, st.Reason)
		}
		s.end()
	})
}

func TestXLogTakesTheFileAsItIsNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := listening(t)
		s := run(t, newFakes(), p)
		s.up()
		web := p.Services[0]
		web.Check = &service.Check{Log: "listening"}
		s.project.Services = []service.Service{web}
		s.project.Policies = map[string]policy.Policy{"web": p.Policies["web"]}
		s.up()
		s.backend.instance("web").lines <- "ready"
		s.want("web", service.Starting, "")
		s.backend.instance("web").lines <- "listening on 80"
		s.want("web", service.Running, "")
		s.end()
	})
}
