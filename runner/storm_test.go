package runner

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/healing-bot/healbot/runner/policy"
	"github.com/healing-bot/healbot/service"
)

// A counter counts how many are at something at once.
type counter struct {
	mu             sync.Mutex // guards what follows
	now, most, all int
}

func (c *counter) enter() (leave func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now++
	c.all++
	c.most = max(c.most, c.now)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.now--
	}
}

func (c *counter) read() (now, most, all int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now, c.most, c.all
}

// A hundred services that crash at once are restarted a few at a time.
func TestRestartStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bound := 4 * runtime.NumCPU()
		many := 10 * bound
		var services []service.Service
		for i := range many {
			services = append(services, svc(fmt.Sprintf("s%04d", i)))
		}
		p := project(t, t.TempDir(), services...)
		for _, s := range services {
			p.restart(s.Name, func(p *policy.Policy) { p.Jitter = 0 })
		}
		b := newFakes()
		s := run(t, b, p)
		s.up()
		var c counter
		b.start = func(service.Key, int) error {
			defer c.enter()()
			time.Sleep(time.Second)
			return nil
		}
		for _, svc := range services {
			b.instance(svc.Name).end(service.Exit{Code: 1})
		}
		time.Sleep(always.Delay + 15*time.Second)
		if _, most, all := c.read(); most != bound || all != many {
			t.Errorf("%d starts, up to %d at once; want %d, up to %d", all, most, many, bound)
		}
		for _, svc := range services {
			if b.instance(svc.Name) == nil {
				t.Errorf("%s is not up", svc.Name)
			}
		}
		s.end()
	})
}

// What comes in late of an instance that was replaced changes nothing.
func TestLateResultsOfOlderInstancesAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakes()
		web, _ := checked(b, svc("web"))
		verdicts := map[int]chan service.Verdict{}
		b.born = func(f *fake) {
			f.verdicts = make(chan service.Verdict, 8)
			verdicts[f.about.Run] = f.verdicts
		}
		s := run(t, b, project(t, t.TempDir(), web))
		s.up()
		verdicts[1] <- service.Verdict{Healthy: true}
		first := b.instance("web")
		s.Do(s.ctx, service.Command{Verb: service.VerbRestart})
		verdicts[2] <- service.Verdict{Healthy: true}
		s.want("web", service.Running, "")
		before := s.status("web")
		u := s.units[service.Key{Service: "web", Replica: 1}]
		verdicts[1] <- service.Verdict{Why: "no answer"}
		s.post(func() { s.Runner.ended(u, first, 1, service.Exit{Code: 9}) })
		s.post(func() { s.answered(u, 1, nil, context.DeadlineExceeded) })
		s.post(func() { s.apply(u, policy.Noted{Run: 1, Why: "pulling"}) })
		time.Sleep(time.Hour)
		if after := s.status("web"); after.Seq != before.Seq || after.State != service.Running || after.ExitCode != nil && *after.ExitCode == 9 {
			t.Errorf("was %+v\nis  %+v", before, after)
		}
		s.end()
	})
}

// memory is a folder that no disk is behind, where there is one: a year has many files
// to write.
func memory(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "healbot-test")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// A year in the life of two services, through the real loop: one that crashes every six
// hours and is healed each time, and one that always crashes and is given up and armed
// again twice a day.
func TestAYearInTheLoop(t *testing.T) {
	const year = 365 * 24 * time.Hour
	began := time.Now()
	synctest.Test(t, func(t *testing.T) {
		p := project(t, memory(t), svc("steady"), svc("flappy"))
		p.restart("flappy", func(p *policy.Policy) { p.RetryAfter = 12 * time.Hour })
		b := newFakes()
		starts := map[string]int{}
		b.born = func(f *fake) {
			starts[f.about.Service]++
			lives := map[string]time.Duration{"steady": 6 * time.Hour, "flappy": 3 * time.Second}[f.about.Service]
			time.AfterFunc(lives, func() { f.end(service.Exit{Code: 1}) })
		}
		s := run(t, b, p)
		s.up()
		time.Sleep(year)
		steady, flappy := s.status("steady"), s.status("flappy")
		// 6h and the first delay; 12h and what max_attempts restarts take.
		if want := 1460; starts["steady"] != want || steady.Restarts > 1 {
			t.Errorf("steady was started %d times, want %d: %+v", starts["steady"], want, steady)
		}
		if want := 4 * 730; starts["flappy"] < want-4 || starts["flappy"] > want || flappy.MaxRestarts != 3 {
			t.Errorf("flappy was started %d times, want %d: %+v", starts["flappy"], want, flappy)
		}
		s.end()
	})
	t.Logf("a year took %s", time.Since(began).Round(time.Millisecond))
}
