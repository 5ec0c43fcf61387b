package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/client"

	"github.com/healing-bot/healbot/internal/healtest"
	"github.com/healing-bot/healbot/service"
)

// H1: the engine's socket belongs to others. What is native starts, the container waits
// and says why, and comes up once the socket may be used.
func TestFaultH1(t *testing.T) {
	if os.Geteuid() != 0 {
		healtest.Lacks(t, "only root can run healbot as somebody else")
	}
	engine := healtest.NeedEngine(t)
	// For another user, all has to lie where that user may go.
	dir, err := os.MkdirTemp("", "hb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	const nobody = 65534
	s := &stack{TB: t, dir: filepath.Join(dir, "p"), env: []string{"DOCKER_HOST=unix://" + dir + "/s", "HOME=" + dir}}
	s.file(healtest.Unique("h1"), `
  web: {provider: {type: healbot}, command: [%s, sleep]}
  box: {image: %s, command: [sleep], network_mode: none, deploy: {restart_policy: {delay: 200ms, x-max-delay: 1s}}}
`, copied(t, healtest.Fixture(t), dir), healtest.Image(t))
	outlet(t, engine, dir+"/s")
	for path, mode := range map[string]os.FileMode{dir: 0o755, dir + "/s": 0o600} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(s.dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	as := func(args ...string) {
		t.Helper()
		cmd := exec.Command(copied(t, program, dir), args...)
		cmd.Dir, cmd.Env = s.dir, append(os.Environ(), s.env...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("healbot %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	t.Cleanup(func() { as("down", "-t", "1") })
	as("up", "-d")
	s.await("web", service.Running)
	if box := s.await("box", service.Pending); !strings.Contains(box.Reason, "permission denied") || !strings.Contains(box.Reason, dir+"/s") {
		t.Errorf("box waits, and says %q", box.Reason)
	}
	if err := os.Chmod(dir+"/s", 0o666); err != nil {
		t.Fatal(err)
	}
	if box := s.await("box", service.Running); box.RestartsTotal != 0 {
		t.Errorf("with leave, box is %+v", box)
	}
}

// file makes the project from its services.
func (s *stack) file(project, services string, args ...any) {
	s.Helper()
	text := "name: " + project + "\nservices:" + fmt.Sprintf(services, args...)
	err := os.MkdirAll(s.dir, 0o755)
	if err == nil {
		err = os.WriteFile(filepath.Join(s.dir, "healbot-compose.yml"), []byte(text), 0o644)
	}
	if err != nil {
		s.Fatal(err)
	}
}

// copied gives a copy of a program in dir that everybody may run.
func copied(t *testing.T, from, dir string) string {
	t.Helper()
	to := filepath.Join(dir, filepath.Base(from))
	if _, err := os.Stat(to); err == nil {
		return to
	}
	if out, err := exec.Command("install", "-m", "755", from, to).CombinedOutput(); err != nil {
		t.Fatalf("cannot copy %s: %v\n%s", from, err, out)
	}
	return to
}

// outlet listens on a socket that leads to the engine.
func outlet(t *testing.T, engine *client.Client, path string) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	healtest.Accept(l, func(c net.Conn) {
		e, err := engine.Dialer()(context.Background())
		if err != nil {
			return
		}
		defer e.Close()
		go func() { _, _ = io.Copy(e, c) }()
		_, _ = io.Copy(c, e)
	})
}

// H10: the supervisor is killed at the moment when the engine has obeyed and nobody has
// heard. The next up makes nothing twice, and down leaves nothing.
func TestFaultH10(t *testing.T) {
	engine := healtest.NeedEngine(t)
	image := healtest.Image(t)
	for name, c := range map[string]struct {
		method, suffix string
		replace        bool // there is a container already, and the file changed
	}{
		"network":           {http.MethodPost, "/networks/create", false},
		"create":            {http.MethodPost, "/containers/create", false},
		"start":             {http.MethodPost, "/start", false},
		"replacing, remove": {http.MethodDelete, "", true},
		"replacing, create": {http.MethodPost, "/containers/create", true},
		"replacing, start":  {http.MethodPost, "/start", true},
	} {
		t.Run(name, func(t *testing.T) {
			p := &healtest.Proxy{}
			p.Serve(t, engine)
			project := healtest.Unique("h10")
			s := &stack{TB: t, dir: t.TempDir(), env: []string{"DOCKER_HOST=unix://" + p.Path}}
			services := `
  box: {image: %s, command: [sleep], environment: {A: "%d"}, networks: [net]}
networks: {net: {}}
`
			s.file(project, services, image, 1)
			t.Cleanup(func() { endProject(t, s.dir) })
			if c.replace {
				s.healbot("up", "-d")
				s.file(project, services, image, 2)
			}
			held, release := p.Hold(c.method, c.suffix)
			s.cutShort(held)
			release()
			s.healbot("up", "-d")
			box := s.await("box", service.Running)
			if all := containersOf(t, engine, project); len(all) != 1 || !strings.HasPrefix(all[0].ID, box.ID) {
				t.Errorf("box is %s of %d containers: %+v", box.ID, len(all), all)
			}
			if box.RestartsTotal > 0 {
				t.Errorf("%d restarts", box.RestartsTotal)
			}

			s.file(project, services, image, 3)
			held, release = p.Hold(http.MethodPost, "/containers/create")
			s.cutShort(held)
			release()
			s.healbot("down")
			s.nothingLeft(engine, project)
		})
	}
}

// cutShort brings the project up and kills the supervisor once the engine's answer is held.
func (s *stack) cutShort(held <-chan struct{}) {
	s.Helper()
	cmd := exec.Command(program, "up", "-d")
	cmd.Dir, cmd.Env = s.dir, append(os.Environ(), s.env...)
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }()
	if err := eventually(func() bool {
		select {
		case <-held:
			return true
		default:
			return false
		}
	}); err != nil {
		s.Fatal("the engine was not asked")
	}
	s.killSupervisor()
}

func containersOf(t *testing.T, engine *client.Client, project string) []container.Summary {
	t.Helper()
	all, err := engine.ContainerList(t.Context(), container.ListOptions{
		All: true, Filters: filters.NewArgs(filters.Arg("label", "com.docker.compose.project="+project)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// What could not be ended is tried again when somebody asks again, who hears how it is
// now, not how it was.
func TestEndIsTriedAgain(t *testing.T) {
	engine := healtest.NeedEngine(t)
	p := &healtest.Proxy{}
	p.Serve(t, engine)
	s := &stack{TB: t, dir: t.TempDir(), env: []string{"DOCKER_HOST=unix://" + p.Path}}
	s.file(healtest.Unique("again"), "\n  box: {image: %s, command: [sleep], network_mode: none}\n", healtest.Image(t))
	t.Cleanup(func() { endProject(t, s.dir) })
	for _, verb := range []string{"stop", "restart", "down"} {
		s.healbot("up", "-d")
		p.Expect(http.MethodPost, "/kill", http.StatusInternalServerError, 1<<30)
		cmd := exec.Command(program, verb, "-t", "0")
		cmd.Dir, cmd.Env = s.dir, append(os.Environ(), s.env...)
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "out of order") {
			t.Errorf("%s, with an engine out of order: %v\n%s", verb, err, out)
		}
		p.Expect(http.MethodPost, "/kill", 0, 0)
		s.healbot(verb, "-t", "0")
	}
}

// A port that a container publishes is held by that container, and not by the engine's proxy.
func TestPortHeldByAContainer(t *testing.T) {
	healtest.NeedEngine(t)
	port, project := healtest.Port(t), healtest.Unique("holder")
	holder := &stack{TB: t, dir: t.TempDir()}
	holder.file(project, "\n  box: {image: %s, command: [sleep], ports: [\"%d:80\"]}\n", healtest.Image(t), port)
	t.Cleanup(func() { endProject(t, holder.dir) })
	holder.healbot("up", "-d")
	s := &stack{TB: t, dir: t.TempDir()}
	s.file(healtest.Unique("held"), "\n  web: {provider: {type: healbot}, command: [%s, sleep], ports: [\"%d:%[2]d\"]}\n", healtest.Fixture(t), port)
	t.Cleanup(func() { endProject(t, s.dir) })
	s.healbot("up", "-d")
	want := fmt.Sprintf("port %d is held by ", port)
	box := fmt.Sprintf("container %s-box-1, service box of project %[1]s)", project)
	if web := s.await("web", service.Pending); !strings.HasPrefix(web.Reason, want) || !strings.Contains(web.Reason, box) {
		t.Errorf("web waits, and says %q", web.Reason)
	}
}
