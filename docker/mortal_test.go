package docker_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/healing-bot/healbot/docker"
	"github.com/healing-bot/healbot/internal/healtest"
	"github.com/healing-bot/healbot/service"
)

// promptly bounds what takes a second or two on an idle machine, and half a minute and more
// where nothing but an audit or the next try notices that the engine is back.
const promptly = 20 * time.Second

// TestEngineKilled: an engine that is killed and comes back took its containers along;
// that is nobody's crash, and all is known and can be started within seconds.
func TestEngineKilled(t *testing.T) {
	w, p := newPrivateWorld(t, "{}")
	web, db := w.service("web", "sleep"), w.networked("db", "term", "3")
	running := []*docker.Instance{w.start(web, 1), w.start(db, 1)}
	for _, i := range running {
		healtest.Ready(t, i.About().PID)
	}
	p.end(syscall.SIGKILL)
	if err := w.backend.Prepare(w.within(), web, func(string) {}); !errors.Is(err, service.ErrOutside) {
		t.Errorf("without an engine: %v", err)
	}
	p.start(w.engine)
	back := time.Now()
	for _, i := range running {
		if e := w.wait(i); !e.Engine || e.ByUser || e.OK() {
			t.Errorf("%s ended as %+v", i.About().Key, e)
		}
	}
	again := []*docker.Instance{w.start(web, 2), w.start(db, 2)}
	t.Logf("all is up %s after the engine answered again", time.Since(back).Round(time.Millisecond))
	if took := time.Since(back); took > promptly {
		t.Errorf("it took %s", took)
	}
	for n, i := range again {
		if i.About().ID != running[n].About().ID {
			t.Errorf("%s has another container", i.About().Key)
		}
		w.must(i.Kill(w.within()))
		if e := w.wait(i); e.Signal != "SIGKILL" || e.Engine {
			t.Errorf("later %s ended as %+v", i.About().Key, e)
		}
	}
}

// TestEngineEndsGracefully: it stops its containers as a user would, which is not taken
// for one's stop, nor for a clean end.
func TestEngineEndsGracefully(t *testing.T) {
	w, p := newPrivateWorld(t, "{}")
	clean, stubborn := w.start(w.service("clean", "sleep"), 1), w.start(w.service("stubborn", "term", "7"), 1)
	for _, i := range []*docker.Instance{clean, stubborn} {
		healtest.Ready(t, i.About().PID)
	}
	p.end(syscall.SIGTERM)
	for _, i := range []*docker.Instance{clean, stubborn} {
		if e := w.wait(i); !e.Engine || e.ByUser || e.OK() {
			t.Errorf("%s ended as %+v", i.About().Key, e)
		}
	}
	p.start(w.engine)
	healtest.Eventually(t, "it starts again", func() bool {
		i, err := w.tryStart(w.service("clean", "sleep"), 2)
		return err == nil && i.About().ID == clean.About().ID
	})
}

// TestEndWhileTheEngineIsAway: with live-restore a container outlives its engine, and one
// that does not gets no event.
func TestEndWhileTheEngineIsAway(t *testing.T) {
	w, p := newPrivateWorld(t, "{}", "--live-restore")
	survivor, victim := w.start(w.service("survivor", "sleep"), 1), w.start(w.service("victim", "sleep"), 1)
	p.end(syscall.SIGKILL)
	w.must(syscall.Kill(victim.About().PID, syscall.SIGKILL))
	healtest.Eventually(t, "it is dead", func() bool { return !healtest.Alive(victim.About().PID) })
	p.start(w.engine)
	if e := w.wait(victim); e.ByUser || e.OK() || e.Code != 137 {
		t.Errorf("the victim ended as %+v", e)
	}
	if i := w.start(w.service("survivor", "sleep"), 2); i.About().PID != survivor.About().PID {
		t.Errorf("the survivor was %+v and is %+v", survivor.About(), i.About())
	}
	w.must(survivor.Kill(w.within()))
	if e := w.wait(survivor); e.Signal != "SIGKILL" || e.Engine {
		t.Errorf("the survivor ended as %+v", e)
	}
}

// TestEngineHangs: every call to an engine that does not answer ends, and nothing is
// taken for an end that was none.
func TestEngineHangs(t *testing.T) {
	w, p := newPrivateWorld(t, "{}")
	svc := w.service("web", "sleep")
	i := w.start(svc, 1)
	w.must(p.run.Process.Signal(syscall.SIGSTOP))
	healtest.Eventually(t, "the engine is stopped", func() bool {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.run.Process.Pid))
		return err == nil && strings.Contains(string(text), "State:\tT")
	})
	began := time.Now()
	fresh := docker.New(docker.Options{Host: socketOf(p.dir)})
	defer fresh.Close()
	if _, err := fresh.Adopt(w.within(), w.project); !errors.Is(err, service.ErrOutside) || !strings.Contains(err.Error(), "no answer in time") {
		t.Errorf("asked for the first time: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := i.Signal(ctx, "SIGTERM"); err == nil {
		t.Error("a hanging engine took a signal")
	}
	if took := time.Since(began); took > 25*time.Second {
		t.Errorf("it took %s", took)
	}
	short, stop := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer stop()
	if e, err := i.Wait(short); err == nil {
		t.Errorf("nothing ended, but %+v", e)
	}
	w.must(p.run.Process.Signal(syscall.SIGCONT))
	healtest.Eventually(t, "it starts again", func() bool { _, err := w.tryStart(svc, 2); return err == nil })
	if t.Failed() {
		t.Log(p.logged())
	}
}
