package docker_test

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/container"

	"github.com/healing-bot/healbot/docker"
	"github.com/healing-bot/healbot/internal/healtest"
	"github.com/healing-bot/healbot/service"
)

func TestDockerStopIsAUsersStop(t *testing.T) {
	w := newWorld(t)
	i := w.start(w.service("web", "term", "3"), 1)
	healtest.Ready(t, i.About().PID)
	w.must(w.engine.ContainerStop(w.within(), i.About().ID, container.StopOptions{}))
	if e := w.wait(i); !e.ByUser || e.Code != 3 || e.Removed || e.Engine {
		t.Errorf("after docker stop: %+v", e)
	}
}

func TestDockerKillIsACrash(t *testing.T) {
	w := newWorld(t)
	i := w.start(w.service("web", "sleep"), 1)
	w.must(w.engine.ContainerKill(w.within(), i.About().ID, "SIGKILL"))
	e := w.wait(i)
	t.Logf("known %s after it", time.Since(e.At).Round(time.Millisecond))
	if e.ByUser || e.Signal != "SIGKILL" || e.Code != 137 || e.Engine {
		t.Errorf("after docker kill: %+v", e)
	}
}

func TestStopWithSIGKILLIsAUsersStop(t *testing.T) {
	w := newWorld(t)
	svc := w.service("web", "sleep")
	svc.Image.Config.StopSignal = "SIGKILL"
	i := w.start(svc, 1)
	w.must(w.engine.ContainerStop(w.within(), i.About().ID, container.StopOptions{}))
	if e := w.wait(i); !e.ByUser || e.Engine {
		t.Errorf("after docker stop: %+v", e)
	}
}

func TestPausedByHand(t *testing.T) {
	w := newWorld(t)
	i := w.start(withHealth(w.service("web", "term", "3"), []string{"CMD", "/fixture", "exit", "0"}), 1)
	healtest.Ready(t, i.About().PID)
	if v := w.verdict(i); !v.Healthy {
		t.Errorf("the verdict is %+v", v)
	}
	w.must(w.engine.ContainerPause(w.within(), i.About().ID))
	if v := w.verdict(i); !v.Unable || !strings.Contains(v.Why, "paused by hand") || !i.Paused() {
		t.Errorf("paused, the verdict is %+v", v)
	}
	select {
	case <-i.Pauses():
	case <-w.within().Done():
		t.Error("nobody was told of the pause")
	}
	w.must(w.engine.ContainerUnpause(w.within(), i.About().ID))
	if v := w.verdict(i); !v.Healthy || i.Paused() {
		t.Errorf("going on, the verdict is %+v", v)
	}
	w.must(w.engine.ContainerPause(w.within(), i.About().ID))
	if v := w.verdict(i); !v.Unable {
		t.Errorf("paused again, the verdict is %+v", v)
	}
	w.must(i.Signal(w.within(), "SIGTERM"))
	if e := w.wait(i); e.Code != 3 || e.ByUser {
		t.Errorf("stopped while it was paused: %+v", e)
	}
}

func TestDockerRemoveIsACrash(t *testing.T) {
	w := newWorld(t)
	svc := w.service("web", "sleep")
	i := w.start(svc, 1)
	w.must(w.engine.ContainerRemove(w.within(), i.About().ID, container.RemoveOptions{Force: true}))
	if e := w.wait(i); !e.Removed || e.ByUser {
		t.Errorf("after docker rm: %+v", e)
	}
	if again := w.start(svc, 2); again.About().ID == i.About().ID {
		t.Error("the removed container runs again")
	}
}

func TestDockerRestartIsANewRun(t *testing.T) {
	w := newWorld(t)
	i := w.start(w.service("web", "sleep"), 1)
	healtest.Ready(t, i.About().PID)
	w.must(w.engine.ContainerRestart(w.within(), i.About().ID, container.StopOptions{}))
	if e := w.wait(i); !e.ByUser {
		t.Errorf("after docker restart: %+v", e)
	}
	select {
	case again := <-w.backend.ByHand():
		a, b := i.About(), again.About()
		if a.ID != b.ID || !b.Started.After(a.Started) || b.Run != 0 || b.Key != a.Key {
			t.Errorf("before %+v, after %+v", a, b)
		}
	case <-time.After(healtest.Deadline):
		t.Error("nobody told of the new run")
	}
}

func TestSecondStartTakesTheRunningContainer(t *testing.T) {
	w := newWorld(t)
	svc := w.service("web", "sleep")
	a, b := w.start(svc, 1), w.start(svc, 2)
	if a.About().ID != b.About().ID || a.About().PID != b.About().PID {
		t.Errorf("first %+v, second %+v", a.About(), b.About())
	}
	w.must(b.Kill(w.within()))
	if e, f := w.wait(a), w.wait(b); e != f {
		t.Errorf("one run ended as %+v and as %+v", e, f)
	}
}

func TestSameHashIsStartedAgainAndAnotherReplaced(t *testing.T) {
	w := newWorld(t)
	svc := w.service("web", "exit", "0")
	first := w.start(svc, 1)
	w.wait(first)
	second := w.start(svc, 2)
	w.wait(second)
	if first.About().ID != second.About().ID {
		t.Error("the same configuration made another container")
	}
	svc.Hash = "other"
	if third := w.start(svc, 3); third.About().ID == first.About().ID {
		t.Error("another configuration kept the container")
	}
	if n := len(w.containers()); n != 1 {
		t.Errorf("%d containers are left", n)
	}
}

func TestLeftoverIsPickedUp(t *testing.T) {
	w := newWorld(t)
	svc := w.service("web", "sleep")
	i := w.start(svc, 1)
	config, host := w.inspect(i.About().ID).Config, w.inspect(i.About().ID).HostConfig
	w.must(w.engine.ContainerRemove(w.within(), i.About().ID, container.RemoveOptions{Force: true}))
	w.wait(i)
	made, err := w.engine.ContainerCreate(w.within(), config, host, nil, nil, w.project+"-web-1")
	w.must(err)
	adopted, err := w.backend.Adopt(w.within(), w.project)
	w.must(err)
	if len(adopted) != 0 {
		t.Errorf("a container that never ran was adopted: %+v", adopted[0].About())
	}
	if again := w.start(svc, 2); again.About().ID != made.ID {
		t.Error("the leftover was not used")
	}
}

func TestNameTakenByStranger(t *testing.T) {
	w := newWorld(t)
	svc := w.service("web", "sleep")
	stranger, err := w.engine.ContainerCreate(w.within(), &container.Config{Image: w.image, Cmd: []string{"sleep"}},
		&container.HostConfig{NetworkMode: "none"}, nil, nil, w.project+"-web-1")
	w.must(err)
	t.Cleanup(func() {
		w.must(w.engine.ContainerRemove(w.within(), stranger.ID, container.RemoveOptions{Force: true}))
	})
	_, err = w.tryStart(svc, 1)
	if err == nil || errors.Is(err, service.ErrOutside) || !strings.Contains(err.Error(), "taken by a container that healbot did not make") {
		t.Errorf("start over a stranger's name: %v", err)
	}
	w.must(w.backend.Remove(w.within(), w.project))
	w.inspect(stranger.ID)
}

func TestPortInUse(t *testing.T) {
	w := newWorld(t)
	l, err := net.Listen("tcp4", "0.0.0.0:0")
	w.must(err)
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	w.must(err)
	svc := w.networked("web", "sleep")
	svc.Image.Config.Ports = []types.ServicePortConfig{{Target: 80, Published: port, Protocol: "tcp"}}
	_, err = w.tryStart(svc, 1)
	if !errors.Is(err, service.ErrOutside) || !strings.Contains(err.Error(), "port "+port+" is in use") {
		t.Fatalf("start with a port in use: %v", err)
	}
	if n := len(w.containers()); n != 0 {
		t.Errorf("%d containers were left behind", n)
	}
	l.Close()
	i := w.start(svc, 2)
	conn, err := net.Dial("tcp4", net.JoinHostPort("127.0.0.1", port))
	if err == nil {
		conn.Close()
	}
	other := w.networked("other", "sleep")
	other.Image.Config.Ports = svc.Image.Config.Ports
	_, err = w.tryStart(other, 1)
	if !errors.Is(err, service.ErrOutside) || !strings.Contains(err.Error(), "by container "+w.project+"-web-1") {
		t.Errorf("start with a port of container %.12s: %v", i.About().ID, err)
	}
}

func TestEngineAbsent(t *testing.T) {
	b := docker.New(docker.Options{Host: "unix:///nonexistent/docker.sock"})
	defer b.Close()
	w := &world{t: t, project: "nobody", backend: b}
	svc := w.service("web", "sleep")
	began := time.Now()
	for what, err := range map[string]error{
		"Prepare": b.Prepare(w.within(), svc, func(string) {}),
		"Adopt":   second(b.Adopt(w.within(), "nobody")),
		"Remove":  b.Remove(w.within(), "nobody"),
		"Logs":    b.Logs(w.within(), "nobody", service.Key{Service: "web", Replica: 1}, service.LogOptions{}, nil),
	} {
		if !errors.Is(err, service.ErrOutside) || !strings.Contains(err.Error(), "unreachable at unix:///nonexistent/docker.sock: no such file or directory") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if took := time.Since(began); took > promptly {
		t.Errorf("an absent engine is noticed after %s", took)
	}
}

func second[T any](_ T, err error) error { return err }
