package runner

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/healing-bot/healbot/service"
)

// ears hear messages.
type ears struct {
	mu      sync.Mutex
	heard   []string
	deliver func(ctx context.Context) error
}

func (e *ears) hear(ctx context.Context, _ service.Notice, m service.Message) error {
	e.mu.Lock()
	e.heard = append(e.heard, fmt.Sprintf("%s: %s -> %s", m.On, m.From, m.State))
	e.mu.Unlock()
	if e.deliver != nil {
		return e.deliver(ctx)
	}
	return nil
}

func (e *ears) take() []string {
	synctest.Wait()
	e.mu.Lock()
	defer e.mu.Unlock()
	heard := e.heard
	e.heard = nil
	return heard
}

// told is a service with somebody who wants to know all.
func told(name string, needs ...string) service.Service {
	s := svc(name, needs...)
	s.Notify = []service.Notice{{
		On: []service.Edge{service.EdgeMaxRestarts, service.EdgeFailed, service.EdgeRecovered}, URL: "http://example.com",
	}}
	return s
}

func TestNotifyTellsOnceAnEdge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &ears{}
		s := runWith(t, newFakes(), project(t, t.TempDir(), told("web")), Config{Notify: e.hear})
		s.up()
		crash := func() {
			s.backend.instance("web").end(service.Exit{Code: 1})
			time.Sleep(time.Minute)
		}
		want := func(when string, want ...string) {
			t.Helper()
			if diff := cmp.Diff(want, e.take()); diff != "" {
				t.Errorf("%s: %s", when, diff)
			}
		}
		want("after up")
		crash()
		want("after a crash that is healed")
		time.Sleep(always.Window)
		want("after a whole window", "recovered: crashed -> running")
		for range always.MaxAttempts + 1 {
			crash()
		}
		time.Sleep(time.Hour)
		want("at the limit", "max_restarts: running -> max_restarts")
		s.Do(s.ctx, service.Command{Verb: service.VerbStart})
		want("once it was started again", "recovered: max_restarts -> running")
		s.Do(s.ctx, service.Command{Verb: service.VerbStop})
		s.Do(s.ctx, service.Command{Verb: service.VerbStart})
		s.Do(s.ctx, service.Command{Verb: service.VerbStop})
		want("after a user's stop and start")
		s.backend.start = func(service.Key, int) error { return errors.New("no such command: web") }
		s.Do(s.ctx, service.Command{Verb: service.VerbStart})
		want("after a start that can't work", "failed: pending -> failed")
		s.end()
	})
}

// What can't be killed is tried again and again, and told of once.
func TestNotifyTellsOnceOfWhatCanNotBeKilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &ears{}
		s := runWith(t, newFakes(), project(t, t.TempDir(), told("web")), Config{Notify: e.hear})
		s.up()
		web := s.backend.instance("web")
		web.stubborn, web.immortal = true, true
		go s.Do(s.ctx, service.Command{Verb: service.VerbRestart})
		time.Sleep(time.Hour)
		s.post(func() { web.end(service.Exit{Code: -1, Signal: "SIGKILL"}) })
		if diff := cmp.Diff([]string{"failed: running -> failed", "recovered: failed -> running"}, e.take()); diff != "" {
			t.Error(diff)
		}
		s.end()
	})
}

func TestNotifyRemembersAcrossSupervisors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, p := &ears{}, project(t, t.TempDir(), told("web"))
		s := runWith(t, newFakes(), p, Config{Notify: e.hear})
		s.up()
		for range always.MaxAttempts + 1 {
			s.backend.instance("web").end(service.Exit{Code: 1})
			time.Sleep(time.Minute)
		}
		e.take()
		s = runWith(t, s.die(), p, Config{Notify: e.hear})
		go s.Apply(s.ctx, Plan{Project: p, Adopting: true})
		if heard := e.take(); heard != nil {
			t.Errorf("the next supervisor says again %q", heard)
		}
		s.Do(s.ctx, service.Command{Verb: service.VerbStart})
		if diff := cmp.Diff([]string{"recovered: max_restarts -> running"}, e.take()); diff != "" {
			t.Error(diff)
		}
		s.end()
	})
}

// A receiver that hangs delays nothing: neither the healing, nor for long the end.
func TestNotifyNeverDelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c counter
		e := &ears{deliver: func(ctx context.Context) error {
			defer c.enter()()
			<-ctx.Done()
			return ctx.Err()
		}}
		var services []service.Service
		for i := range 3 * tellMost {
			services = append(services, told(fmt.Sprintf("s%03d", i)))
		}
		b := newFakes()
		b.start = func(service.Key, int) error { return errors.New("no such command") }
		s := runWith(t, b, project(t, t.TempDir(), services...), Config{Notify: e.hear})
		began := time.Now()
		s.up()
		if took := time.Since(began); took > 0 {
			t.Errorf("with receivers that hang, up took %s", took)
		}
		time.Sleep(tellTimeout - time.Second)
		if now, most, _ := c.read(); now != tellAtOnce || most != tellAtOnce {
			t.Errorf("%d at once, %d at most; want %d", now, most, tellAtOnce)
		}
		time.Sleep(2 * tellTimeout)
		if now, most, all := c.read(); now != 0 || most != tellAtOnce || all > tellMost {
			t.Errorf("%d are still being told, of %d; there were up to %d at once", now, all, most)
		}
		s.Do(s.ctx, service.Command{Verb: service.VerbStart, Services: []string{"s000"}})
		synctest.Wait()
		began = time.Now()
		s.end()
		if took := time.Since(began); took > tellLast {
			t.Errorf("the end took %s", took)
		}
	})
}
