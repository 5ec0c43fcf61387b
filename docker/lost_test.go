package docker_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/healing-bot/healbot/internal/healtest"
	"github.com/healing-bot/healbot/service"
)

// TestReplyLost: what the engine did although its answer got lost is found, not done
// again.
func TestReplyLost(t *testing.T) {
	for name, suffix := range map[string]string{"create": "/containers/create", "start": "/start"} {
		t.Run(name, func(t *testing.T) {
			p := &healtest.Proxy{}
			w := newWorldBehindProxy(t, p)
			svc := w.networked("web", "sleep")
			p.Expect(http.MethodPost, suffix, 0, 1)
			if _, err := w.tryStart(svc, 1); !errors.Is(err, service.ErrOutside) {
				t.Fatalf("without an answer: %v", err)
			}
			left := w.containers()
			i := w.start(svc, 1)
			if n := len(w.containers()); n != 1 {
				t.Errorf("%d containers", n)
			}
			if len(left) != 1 || left[0].ID != i.About().ID {
				t.Errorf("%d containers were left, and another one runs", len(left))
			}
			w.must(i.Kill(w.within()))
			if e := w.wait(i); e.Signal != "SIGKILL" {
				t.Errorf("it ended as %+v", e)
			}
		})
	}
}

func TestReplyToStopLost(t *testing.T) {
	p := &healtest.Proxy{}
	w := newWorldBehindProxy(t, p)
	i := w.start(w.service("web", "term", "4"), 1)
	healtest.Ready(t, i.About().PID)
	p.Expect(http.MethodPost, "/kill", 0, 1)
	if err := i.Signal(w.within(), "SIGTERM"); err != nil && !errors.Is(err, service.ErrOutside) {
		t.Errorf("without an answer: %v", err)
	}
	if e := w.wait(i); e.Code != 4 || e.ByUser || e.Engine {
		t.Errorf("it ended as %+v", e)
	}
	w.must(i.Signal(w.within(), "SIGTERM"))
}

// TestStopRefused: an engine that can't stop a container says so, and the container is
// not given up.
func TestStopRefused(t *testing.T) {
	p := &healtest.Proxy{}
	w := newWorldBehindProxy(t, p)
	svc := w.service("web", "sleep")
	i := w.start(svc, 1)
	p.Expect(http.MethodPost, "/kill", http.StatusInternalServerError, 2)
	for range 2 {
		if err := i.Kill(w.within()); err == nil || !strings.Contains(err.Error(), "out of order") {
			t.Errorf("refused: %v", err)
		}
	}
	if again := w.start(svc, 2); again.About().ID != i.About().ID || len(w.containers()) != 1 {
		t.Error("a second container was made")
	}
	w.must(i.Kill(w.within()))
	w.wait(i)
}

// TestAnotherAge: an engine that takes no version before 1.44, and whose events lack what
// later versions left out.
func TestAnotherAge(t *testing.T) {
	w := newWorldBehindProxy(t, &healtest.Proxy{From: "1.44", To: "1.52"})
	svc := w.networked("web", "term", "5")
	i := w.start(withHealth(svc, []string{"CMD", "/fixture", "exit", "0"}), 1)
	healtest.Ready(t, i.About().PID)
	if v := w.verdict(i); !v.Healthy {
		t.Errorf("the verdict is %+v", v)
	}
	w.must(i.Signal(w.within(), "SIGTERM"))
	if e := w.wait(i); e.Code != 5 {
		t.Errorf("it ended as %+v", e)
	}
}

// TestOldestAge: an engine that knows nothing after 1.41.
func TestOldestAge(t *testing.T) {
	w := newWorldBehindProxy(t, &healtest.Proxy{From: "1.12", To: "1.41"})
	i := w.start(w.networked("web", "sleep"), 1)
	w.must(i.Kill(w.within()))
	if e := w.wait(i); e.Signal != "SIGKILL" {
		t.Errorf("it ended as %+v", e)
	}
}
