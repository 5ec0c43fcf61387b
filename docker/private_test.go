package docker_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
	"golang.org/x/sys/unix"

	"github.com/healing-bot/healbot/docker"
	"github.com/healing-bot/healbot/internal/healtest"
)

// A private engine is a dockerd of the test's own, which it may kill.
type private struct {
	t    *testing.T
	dir  string
	args []string
	run  *exec.Cmd
	over chan struct{} // closed when run has ended
}

// newPrivateWorld gives a world on an engine of its own, with config as daemon.json. Without dockerd, or the right to
// run it, the test is skipped, or fails where the environment has CI=true.
func newPrivateWorld(t *testing.T, config string, args ...string) (*world, *private) {
	t.Helper()
	program, err := exec.LookPath("dockerd")
	if err == nil && os.Geteuid() != 0 {
		err = errors.New("only root can run it")
	}
	if err != nil {
		healtest.Lacks(t, "it needs a dockerd of its own: %v", err)
	}
	dir, err := os.MkdirTemp("", "hb") // a short name, for the sockets in it
	if err != nil {
		t.Fatal(err)
	}
	p := &private{t: t, dir: dir, args: append([]string{
		program, "--data-root", dir + "/d", "--exec-root", dir + "/e", "-p", dir + "/p", "-H", socketOf(dir), "--config-file", dir + "/c",
		"--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--storage-driver=vfs",
	}, args...)}
	t.Cleanup(p.clear)
	if err := os.WriteFile(dir+"/c", []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, project: healtest.Unique("private"), image: "fixture:1"}
	if w.engine, err = client.NewClientWithOpts(client.WithHost(socketOf(dir)), client.WithAPIVersionNegotiation()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.engine.Close() })
	p.start(w.engine)
	w.importFixture()
	w.backend = docker.New(docker.Options{Host: socketOf(dir)})
	t.Cleanup(func() { w.backend.Close() })
	return w, p
}

func socketOf(dir string) string { return "unix://" + dir + "/s" }

// start runs the engine and waits until it answers.
func (p *private) start(engine *client.Client) {
	p.t.Helper()
	// A killed engine leaves the files of its own pid and of its containerd's, which dies
	// with it and may stay a zombie.
	containerd := p.dir + "/e/containerd/containerd.pid"
	if text, err := os.ReadFile(containerd); err == nil {
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		healtest.Eventually(p.t, "containerd is gone", func() bool { return err != nil || !healtest.Alive(pid) })
		os.Remove(containerd)
	}
	os.Remove(p.dir + "/p")
	log, err := os.OpenFile(p.dir+"/log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		p.t.Fatal(err)
	}
	defer log.Close()
	p.run, p.over = exec.Command(p.args[0], p.args[1:]...), make(chan struct{})
	p.run.Stdout, p.run.Stderr = log, log
	if err := p.run.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func(run *exec.Cmd, over chan struct{}) {
		_ = run.Wait()
		close(over)
	}(p.run, p.over)
	healtest.Eventually(p.t, "the engine answers", func() bool {
		select {
		case <-p.over:
			text, _ := os.ReadFile(p.dir + "/log")
			p.t.Fatalf("the engine ended: %s", text)
		default:
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := engine.ContainerList(ctx, container.ListOptions{})
		return err == nil
	})
}

// end sends the engine a signal and waits until it is gone.
func (p *private) end(sig syscall.Signal) {
	p.t.Helper()
	if err := p.run.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
	select {
	case <-p.over:
	case <-time.After(healtest.Deadline):
		p.t.Fatalf("the engine lives on after %s", sig)
	}
}

// clear ends the engine, with its containers and its containerd, and removes its files.
func (p *private) clear() {
	if p.run != nil {
		_ = p.run.Process.Signal(syscall.SIGCONT)
		_ = p.run.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.over:
		case <-time.After(healtest.Deadline):
			p.t.Error("the engine does not end")
			_ = p.run.Process.Kill()
		}
	}
	p.sweep()
	mounts, _ := os.ReadFile("/proc/self/mounts")
	for line := range strings.Lines(string(mounts)) {
		if at := strings.Fields(line)[1]; strings.HasPrefix(at, p.dir+"/") {
			_ = unix.Unmount(at, unix.MNT_DETACH)
		}
	}
	if err := os.RemoveAll(p.dir); err != nil {
		p.t.Errorf("the engine's files stay: %v", err)
	}
}

// sweep ends the containers that an engine left which was killed and did not come back.
func (p *private) sweep() {
	parents := make(map[string]int) // parents that are ours, by pid
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, proc := range all {
		line, _ := os.ReadFile(proc + "/cmdline")
		if pid, err := strconv.Atoi(filepath.Base(proc)); err == nil && strings.Contains(string(line), "shim") && strings.Contains(string(line), p.dir+"/e/") {
			parents[filepath.Base(proc)] = pid
		}
	}
	for _, proc := range all {
		stat, _ := os.ReadFile(proc + "/stat")
		_, rest, _ := strings.Cut(string(stat), ") ")
		fields := strings.Fields(rest)
		pid, err := strconv.Atoi(filepath.Base(proc))
		if err == nil && len(fields) > 1 && parents[fields[1]] != 0 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	for _, pid := range parents {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// importFixture makes the image of the fixture on the world's engine.
func (w *world) importFixture() {
	w.t.Helper()
	program, err := os.ReadFile(healtest.Fixture(w.t))
	w.must(err)
	var archive bytes.Buffer
	files := tar.NewWriter(&archive)
	w.must(files.WriteHeader(&tar.Header{Name: "fixture", Mode: 0o755, Size: int64(len(program))}))
	_, err = files.Write(program)
	w.must(err)
	w.must(files.Close())
	answer, err := w.engine.ImageImport(w.within(), image.ImportSource{SourceName: "-", Source: &archive}, w.image,
		image.ImportOptions{Changes: []string{`ENTRYPOINT ["/fixture"]`}})
	w.must(err)
	defer answer.Close()
	_, err = io.Copy(io.Discard, answer)
	w.must(err)
}

// logged gives what the engine wrote, for a test that failed.
func (p *private) logged() string {
	text, _ := os.ReadFile(filepath.Join(p.dir, "log"))
	return string(text[max(0, len(text)-2000):])
}
