package docker_test

import (
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/healing-bot/healbot/docker"
	"github.com/healing-bot/healbot/internal/healtest"
)

// audited makes the backend of w ask the engine for the truth every 5 ms, so that it is
// asked in the middle of everything.
func (w *world) audited(p *healtest.Proxy) {
	w.backend.Close()
	w.backend = docker.New(docker.Options{Host: "unix://" + p.Path})
	w.backend.AuditEvery(5 * time.Millisecond)
	w.t.Cleanup(func() { w.backend.Close() })
}

// TestSilentEvents: the stream of events stays open and carries nothing. What happened is
// learnt from the list.
func TestSilentEvents(t *testing.T) {
	p := &healtest.Proxy{Pass: func(string) int { return 0 }}
	w := newWorldBehindProxy(t, p)
	w.audited(p)
	i := w.start(w.service("web", "sleep"), 1)
	gone := w.start(w.service("db", "sleep"), 1)
	w.must(w.engine.ContainerKill(w.within(), i.About().ID, "SIGKILL"))
	if e := w.wait(i); e.Code != 137 || e.ByUser || e.Engine {
		t.Errorf("killed in silence, it ended as %+v", e)
	}
	w.must(w.engine.ContainerRemove(w.within(), gone.About().ID, container.RemoveOptions{Force: true}))
	if e := w.wait(gone); !e.Removed {
		t.Errorf("removed in silence, it ended as %+v", e)
	}
	if again := w.start(w.service("web", "sleep"), 2); again.About().ID != i.About().ID {
		t.Error("another container runs")
	}
}

// TestEventsLostAndDoubled: ends get lost, and all else comes twice.
func TestEventsLostAndDoubled(t *testing.T) {
	p := &healtest.Proxy{Pass: func(event string) int {
		if event == "die" {
			return 0
		}
		return 2
	}}
	w := newWorldBehindProxy(t, p)
	w.audited(p)
	svc := w.service("web", "term", "5")
	for run := 1; run <= 5; run++ {
		i := w.start(svc, run)
		healtest.Ready(t, i.About().PID)
		w.must(i.Signal(w.within(), "SIGTERM"))
		if e := w.wait(i); e.Code != 5 || e.ByUser || e.Engine {
			t.Errorf("run %d ended as %+v", run, e)
		}
	}
	select {
	case i := <-w.backend.ByHand():
		t.Errorf("%+v is taken for a start by hand", i.About())
	default:
	}
}
