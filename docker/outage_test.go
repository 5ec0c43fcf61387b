package docker_test

import (
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/healing-bot/healbot/docker"
	"github.com/healing-bot/healbot/internal/healtest"
)

// An outlet is a socket that leads to the engine until it is pulled.
type outlet struct {
	t      *testing.T
	path   string
	engine string

	mu     sync.Mutex // guards what follows
	listen net.Listener
	open   []net.Conn
}

func newOutlet(t *testing.T, engine string) *outlet {
	t.Helper()
	path, ok := strings.CutPrefix(engine, "unix://")
	if !ok {
		healtest.Lacks(t, "the engine at %s has no socket here", engine)
	}
	o := &outlet{t: t, path: filepath.Join(t.TempDir(), "s"), engine: path}
	o.plug()
	t.Cleanup(o.pull)
	return o
}

func (o *outlet) plug() {
	o.t.Helper()
	l, err := net.Listen("unix", o.path)
	if err != nil {
		o.t.Fatal(err)
	}
	o.mu.Lock()
	o.listen = l
	o.mu.Unlock()
	healtest.Accept(l, o.join)
}

func (o *outlet) join(c net.Conn) {
	e, err := net.Dial("unix", o.engine)
	if err != nil {
		return
	}
	o.mu.Lock()
	o.open = append(o.open, c, e)
	o.mu.Unlock()
	go func() { io.Copy(e, c); e.Close() }()
	io.Copy(c, e)
}

// cut ends all connections; new ones can be made.
func (o *outlet) cut() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range o.open {
		c.Close()
	}
	o.open = nil
}

// pull ends all connections and takes no new ones.
func (o *outlet) pull() {
	o.mu.Lock()
	o.listen.Close()
	o.mu.Unlock()
	o.cut()
}

func newWorldBehindProxy(t *testing.T, p *healtest.Proxy) *world {
	t.Helper()
	w := newWorld(t)
	p.Serve(t, w.engine)
	w.backend = docker.New(docker.Options{Host: "unix://" + p.Path})
	t.Cleanup(func() { w.backend.Close() })
	return w
}

func newWorldBehind(t *testing.T) (*world, *outlet) {
	w := newWorld(t)
	o := newOutlet(t, w.engine.DaemonHost())
	w.backend = docker.New(docker.Options{Host: "unix://" + o.path})
	t.Cleanup(func() {
		o.cut()
		w.backend.Close()
	})
	return w, o
}

func TestEventsAreFoundAgainAfterACut(t *testing.T) {
	w, o := newWorldBehind(t)
	i := w.start(w.service("web", "sleep"), 1)
	for range 3 {
		o.cut()
	}
	w.must(w.engine.ContainerKill(w.within(), i.About().ID, "SIGKILL"))
	if e := w.wait(i); e.Code != 137 || e.ByUser {
		t.Errorf("killed around a cut, it ended as %+v", e)
	}
}

func TestEndDuringAnOutageIsTheEngines(t *testing.T) {
	w, o := newWorldBehind(t)
	i := w.start(w.service("web", "term", "5"), 1)
	healtest.Ready(t, i.About().PID)
	o.pull()
	w.must(w.engine.ContainerKill(w.within(), i.About().ID, "SIGTERM"))
	healtest.Eventually(t, "it ended", func() bool { return !w.inspect(i.About().ID).State.Running })
	o.plug()
	if e := w.wait(i); !e.Engine || e.Code != 5 || e.OK() || !strings.Contains(e.String(), "the Docker engine restarted") {
		t.Errorf("ended while the engine was away: %+v", e)
	}
}

func TestStopJustBeforeTheEngineGoesIsNotAUsers(t *testing.T) {
	w, o := newWorldBehind(t)
	i := w.start(w.service("web", "term", "0"), 1)
	healtest.Ready(t, i.About().PID)
	// An engine that is told to stop takes no new connections, then stops its
	// containers, and only then ends its old connections.
	o.mu.Lock()
	o.listen.Close()
	o.mu.Unlock()
	w.must(w.engine.ContainerStop(w.within(), i.About().ID, container.StopOptions{}))
	e := w.wait(i)
	if !e.Engine || e.ByUser || e.OK() {
		t.Errorf("stopped by the engine's own end: %+v", e)
	}
}

func TestLostConnectionIsNoticedInSeconds(t *testing.T) {
	w, o := newWorldBehind(t)
	svc := w.service("web", "sleep")
	w.start(svc, 1)
	o.pull()
	began := time.Now()
	if err := w.backend.Prepare(w.within(), svc, func(string) {}); err == nil {
		t.Error("Prepare works without an engine")
	}
	if took := time.Since(began); took > promptly {
		t.Errorf("it took %s", took)
	}
	o.plug()
	healtest.Eventually(t, "the engine is found again", func() bool {
		return w.backend.Prepare(w.within(), svc, func(string) {}) == nil
	})
}
