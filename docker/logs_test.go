package docker_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/container"
	"github.com/google/go-cmp/cmp"

	"github.com/healing-bot/healbot/docker"
	"github.com/healing-bot/healbot/internal/healtest"
	"github.com/healing-bot/healbot/service"
)

// A transcript collects lines that come from another goroutine.
type transcript struct {
	mu    sync.Mutex // guards lines
	lines []string
}

func (l *transcript) timed(_ time.Time, line []byte) { l.add(line) }

func (l *transcript) add(line []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, string(line))
}

func (l *transcript) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.lines...)
}

func (w *world) logs(o service.LogOptions, name string) ([]string, error) {
	var got transcript
	err := w.backend.Logs(w.within(), w.project, service.Key{Service: name, Replica: 1}, o, got.timed)
	return got.all(), err
}

func TestLogs(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		name string
		args []string
		tty  bool
		tail int
		want []string
	}{
		{"all", []string{"lines", "3"}, false, -1, []string{"line 1", "line 2", "line 3"}},
		{"tail", []string{"lines", "9"}, false, 2, []string{"line 8", "line 9"}},
		{"none", []string{"lines", "9"}, false, 0, nil},
		{"partial", []string{"partial"}, false, -1, []string{"first", "last without newline"}},
		{"long", []string{"long", "70000"}, false, -1, []string{strings.Repeat("x", 65536), strings.Repeat("x", 70000-65536)}},
		{"terminal", []string{"lines", "2"}, true, -1, []string{"line 1", "line 2"}},
		{"long-terminal", []string{"long", "65536"}, true, -1, []string{strings.Repeat("x", 65536), ""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			svc := w.service(c.name, c.args...)
			svc.Image.Config.Tty = c.tty
			w.wait(w.start(svc, 1))
			got, err := w.logs(service.LogOptions{Tail: c.tail}, c.name)
			w.must(err)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%.600s", diff)
			}
		})
	}
}

func TestLogsThatCannotBeRead(t *testing.T) {
	w := newWorld(t)
	svc := w.service("silent", "lines", "3")
	svc.Image.Config.Logging = &types.LoggingConfig{Driver: "none"}
	w.wait(w.start(svc, 1))
	if _, err := w.logs(service.LogOptions{Tail: -1}, "silent"); err == nil || !strings.Contains(err.Error(), "logging driver none keeps nothing") {
		t.Errorf("logs of the driver none: %v", err)
	}
	if got, err := w.logs(service.LogOptions{Tail: -1}, "nobody"); err != nil || got != nil {
		t.Errorf("logs of a service without container: %v, %v", got, err)
	}
}

func TestLogsFollow(t *testing.T) {
	w := newWorld(t)
	svc := w.service("web", "lines", "3", "sleep")
	first := w.start(svc, 1)
	ctx, cancel := context.WithCancel(context.Background())
	var got transcript
	ended := make(chan error, 1)
	go func() {
		ended <- w.backend.Logs(ctx, w.project, service.Key{Service: "web", Replica: 1}, service.LogOptions{Tail: -1, Follow: true}, got.timed)
	}()
	var want []string
	expect := func(when string) {
		t.Helper()
		want = append(want, "line 1", "line 2", "line 3")
		healtest.Eventually(t, fmt.Sprintf("%s: %d lines, got %q", when, len(want), got.all()), func() bool { return len(got.all()) >= len(want) })
		if diff := cmp.Diff(want, got.all()); diff != "" {
			t.Fatalf("%s (-want +got):\n%s", when, diff)
		}
	}
	expect("first run")
	end := func(i *docker.Instance) {
		w.must(i.Kill(w.within()))
		w.wait(i)
	}
	end(first)
	second := w.start(svc, 2)
	expect("restarted")
	end(second)
	svc.Hash = "other"
	third := w.start(svc, 3)
	expect("replaced")
	w.must(w.engine.ContainerRemove(w.within(), third.About().ID, container.RemoveOptions{Force: true}))
	w.wait(third)
	w.start(svc, 4)
	expect("removed by hand")
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the end of following: %v", err)
	}
}

// What a hook writes is nowhere but with those who follow just then.
func TestHookIsHeard(t *testing.T) {
	w := newWorld(t)
	i := w.start(w.service("web", "sleep"), 1)
	ctx, cancel := context.WithCancel(w.within())
	var web, other transcript
	ended := make(chan error, 2)
	follow := func(name string, to *transcript) {
		ended <- w.backend.Logs(ctx, w.project, service.Key{Service: name, Replica: 1}, service.LogOptions{Follow: true}, to.timed)
	}
	go follow("web", &web)
	go follow("other", &other)
	run := func(args ...string) {
		w.must(i.Hook(w.within(), "post_start-1", service.Hook{Argv: append([]string{"/fixture"}, args...)}))
	}
	healtest.Eventually(t, "the follower", func() bool { run("lines", "1"); return len(web.all()) > 0 })
	run("partial")
	cancel()
	_, _ = <-ended, <-ended
	run("partial")
	if diff := cmp.Diff([]string{"line 1", "first", "last without newline"}, web.all()); diff != "" {
		t.Errorf("heard (-want +got):\n%s", diff)
	}
	if got := other.all(); got != nil {
		t.Errorf("who follows another service heard %q", got)
	}
}
