package runner

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/healing-bot/healbot/runner/policy"
	"github.com/healing-bot/healbot/service"
)

// The budget survives its supervisors: however often they are killed, and whenever, a
// service that always crashes is restarted max_attempts times and no more, and no
// restart comes early.
func TestBudgetAndBackoffSurviveEverySupervisor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := project(t, t.TempDir(), svc("web"))
		p.restart("web", func(p *policy.Policy) { p.MaxAttempts, p.MaxDelay = 6, 40*time.Second })
		var starts []time.Time
		b := newFakes()
		deaths := 0
		for {
			b.born = func(f *fake) {
				starts = append(starts, time.Now())
				f.end(service.Exit{Code: 1})
			}
			s := run(t, b, p)
			s.begin()
			time.Sleep(7 * time.Second) // shorter than the delays, so that most are cut
			if s.status("web").State == service.MaxRestarts {
				s.end()
				break
			}
			if deaths++; deaths > 100 {
				t.Fatalf("after %d supervisors web is %+v", deaths, s.status("web"))
			}
			b = s.die()
		}
		if len(starts) != 7 || deaths < 10 {
			t.Errorf("%d starts under %d supervisors, want 1 and 6 restarts", len(starts), deaths)
		}
		for k := 1; k < len(starts); k++ {
			want := min(always.Delay<<(k-1), 40*time.Second)
			if gap := starts[k].Sub(starts[k-1]); gap < want || gap > want+8*time.Second {
				t.Errorf("restart %d came after %s, want %s", k, gap, want)
			}
		}
	})
}

// jumps is a machine whose wall clock was set on: the uptime did not go with it.
func jumps(by time.Duration) func() clock {
	return func() clock { return clock{time.Now(), "boot", time.Since(dawn) - by} }
}

func TestABackoffIsNoShorterForAClockThatWasSet(t *testing.T) {
	for name, by := range map[string]time.Duration{"not set": 0, "set on a day": 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := project(t, t.TempDir(), svc("web"))
				p.restart("web", func(p *policy.Policy) { p.Delay, p.MaxDelay = time.Minute, time.Minute })
				s := run(t, newFakes(), p)
				s.up()
				s.backend.instance("web").end(service.Exit{Code: 1})
				b := s.die()
				time.Sleep(by) // how the wall clock shows it
				s = runWith(t, b, p, Config{clock: jumps(by)})
				s.begin()
				time.Sleep(50 * time.Second)
				if st := s.status("web"); st.State != service.Crashed {
					t.Errorf("50s after the crash web is %s (%s)", st.State, st.Reason)
				}
				time.Sleep(10 * time.Second)
				if st := s.status("web"); st.State != service.Running || st.Restarts != 1 {
					t.Errorf("60s after the crash web is %s (%s)", st.State, st.Reason)
				}
				s.end()
			})
		})
	}
}

// A streak does not end because the clock was set on while nobody supervised.
func TestAStreakIsNoShorterForAClockThatWasSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := project(t, t.TempDir(), svc("web"))
		s := run(t, newFakes(), p)
		s.up()
		s.backend.instance("web").end(service.Exit{Code: 1})
		time.Sleep(10 * time.Second)
		if st := s.status("web"); st.Restarts != 1 {
			t.Fatalf("%+v", st)
		}
		b := s.die()
		time.Sleep(24 * time.Hour)
		s = runWith(t, b, p, Config{clock: jumps(24 * time.Hour)})
		s.begin()
		if st := s.status("web"); st.State != service.Running || st.Restarts != 1 {
			t.Errorf("web is %s with %d restarts in its streak", st.State, st.Restarts)
		}
		time.Sleep(always.Window)
		if st := s.status("web"); st.Restarts != 0 {
			t.Errorf("after a whole window it has %d", st.Restarts)
		}
		s.end()
	})
}

// After a boot the uptime says nothing, and the wall clock is believed.
func TestAnotherBootIsNoClockThatWasSet(t *testing.T) {
	j := journal{Clock: clock{dawn, "one", time.Hour}, Units: map[string]saved{"web": {State: policy.State{Due: dawn}}}}
	j.adjust(clock{dawn.Add(time.Minute), "two", time.Second})
	if due := j.Units["web"].State.Due; !due.Equal(dawn) {
		t.Errorf("moved to %s", due)
	}
	for _, set := range []time.Duration{time.Hour, -time.Hour, 0} {
		j := journal{Clock: j.Clock, Units: map[string]saved{"web": {State: policy.State{Due: dawn}}}}
		j.adjust(clock{dawn.Add(time.Minute + set), "one", time.Hour + time.Minute})
		if due := j.Units["web"].State.Due; !due.Equal(dawn.Add(set)) {
			t.Errorf("in the same boot, after the clock was set by %s, it is %s", set, due)
		}
	}
}

func TestMachineClock(t *testing.T) {
	a, b := machineClock(), machineClock()
	if a.Boot == "" || a.Boot != b.Boot || a.Uptime <= 0 || b.Uptime < a.Uptime || b.Wall.Before(a.Wall) {
		t.Errorf("%+v and then %+v", a, b)
	}
}

// A supervisor that dies while it makes a start, as a long build of an environment,
// leaves a start that nobody answers; the next one makes it anew, uncounted.
func TestAStartThatItsSupervisorDidNotSurvive(t *testing.T) {
	for name, lives := range map[string]bool{"nothing came of it": false, "it came about": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := project(t, t.TempDir(), svc("web"))
				b := newFakes()
				over := make(chan struct{})
				b.prepare = func(service.Service) error { <-over; return context.Canceled }
				s := run(t, b, p)
				s.begin()
				s.want("web", service.Pending, "starting")
				path := filepath.Join(StateDir(s.dir), "state.json")
				time.Sleep(time.Second)
				synctest.Wait()
				journal, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				close(over)
				s.end()
				if err := os.WriteFile(path, journal, 0o600); err != nil {
					t.Fatal(err)
				}
				b = newFakes()
				if lives {
					f := newFake(b, p.Services[0], service.Key{Service: "web", Replica: 1}, 1)
					b.live[f.about.Key], b.left = f, []Instance{f}
				}
				s = run(t, b, p)
				s.begin()
				time.Sleep(time.Minute)
				if st := s.status("web"); st.State != service.Running || st.RestartsTotal != 0 {
					t.Errorf("%s (%s), %d restarts", st.State, st.Reason, st.RestartsTotal)
				}
				if started := len(b.take()) > 0; started == lives {
					t.Errorf("started: %v", started)
				}
				s.end()
			})
		})
	}
}

// A supervisor that died before the first up was written down leaves nothing that the
// next up could take for a user's stop.
func TestUpAfterOneThatWasNotWrittenDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := run(t, newFakes(), project(t, t.TempDir(), svc("web")))
		time.Sleep(time.Second)
		s = run(t, s.die(), s.project)
		s.up()
		s.want("web", service.Running, "")
		s.end()
	})
}

// An instance that was being replaced when its supervisor died is gone when the next one
// comes: it is started once.
func TestAReplacementThatItsSupervisorDidNotSurvive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := run(t, newFakes(), project(t, t.TempDir(), svc("web")))
		s.up()
		s.backend.instance("web").stubborn = true
		go s.Do(s.ctx, service.Command{Verb: service.VerbRestart})
		b := s.die()
		b.live, b.left = map[service.Key]*fake{}, nil
		s = run(t, b, s.project)
		s.begin()
		time.Sleep(time.Second)
		s.want("web", service.Running, "")
		if got := b.take(); len(got) != 1 {
			t.Errorf("asked for: %v", got)
		}
		s.end()
	})
}
