package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"

	"github.com/healing-bot/healbot/internal/healtest"
	"github.com/healing-bot/healbot/service"
)

// A shared is one project that both healbot and the real docker compose are called on.
type shared struct {
	*stack
	engine  *client.Client
	project string
	compose []string // the command line of docker compose
}

// newShared makes a project from a file in which PROJECT, IMAGE and FIXTURE stand for the
// test's own. Without docker compose v2, as HEALBOT_TEST_COMPOSE or as the docker
// command's plugin, the test is skipped; `make interop` builds one.
func newShared(t *testing.T, file string, args ...any) *shared {
	t.Helper()
	p := &shared{stack: &stack{TB: t, dir: t.TempDir()}, engine: healtest.NeedEngine(t), project: healtest.Unique("interop")}
	p.compose = []string{"docker", "compose"}
	if path := os.Getenv("HEALBOT_TEST_COMPOSE"); path != "" {
		p.compose = []string{path}
	}
	if out, err := exec.Command(p.compose[0], append(p.compose[1:], "version")...).CombinedOutput(); err != nil {
		why := fmt.Sprintf("this test needs docker compose v2, see make interop: %v\n%s", err, out)
		if os.Getenv("HEALBOT_TEST_COMPOSE") != "" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	text := strings.NewReplacer("PROJECT", p.project, "IMAGE", healtest.Image(t), "FIXTURE", healtest.Fixture(t)).Replace(file)
	if err := os.WriteFile(filepath.Join(p.dir, "compose.yml"), fmt.Appendf(nil, text, args...), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		endProject(t, p.dir)
		p.docker("down", "-v", "-t", "1")
	})
	return p
}

// docker calls docker compose in the project's folder.
func (p *shared) docker(args ...string) string {
	p.Helper()
	return p.call(p.dir, args...)
}

// outside calls docker compose where no file is, so that labels are all it has.
func (p *shared) outside(args ...string) string {
	p.Helper()
	return p.call(os.TempDir(), append([]string{"-p", p.project}, args...)...)
}

func (p *shared) call(dir string, args ...string) string {
	p.Helper()
	cmd := exec.Command(p.compose[0], slices.Concat(p.compose[1:], args)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(program)+string(os.PathListSeparator)+os.Getenv("PATH"))
	var errOut strings.Builder
	cmd.Stderr = &errOut
	out, err := cmd.Output()
	if err != nil {
		p.Fatalf("docker compose %s: %v\n%s%s", strings.Join(args, " "), err, out, errOut.String())
	}
	return string(out)
}

// TestDockerComposeSeesOurContainers: its commands work on what healbot brought up, from
// the labels alone.
func TestDockerComposeSeesOurContainers(t *testing.T) {
	p := newShared(t, `
name: PROJECT
services:
  db: {image: IMAGE, command: [lines, "3", sleep], networks: [back], volumes: ["data:/data"]}
  web: {image: IMAGE, command: [sleep], ports: ["127.0.0.1:%d:80"], networks: [back], depends_on: [db, job]}
  job: {provider: {type: healbot}, command: [FIXTURE, sleep]}
networks: {back: {}}
volumes: {data: {}}
`, healtest.Port(t))
	p.healbot("up", "-d", "--wait")
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"ps", "--format", "{{.Service}} {{.State}} {{.Name}}"}, []string{"db running " + p.project + "-db-1", "web running " + p.project + "-web-1"}},
		{[]string{"images", "--format", "json"}, []string{`"ContainerName":"` + p.project + `-db-1"`}},
		{[]string{"port", "web", "80"}, []string{"127.0.0.1:"}},
		{[]string{"top"}, []string{"/fixture lines 3 sleep"}},
		{[]string{"logs", "db"}, []string{"line 1", "line 3"}},
		{[]string{"ls", "--format", "json", "--filter", "name=" + p.project}, []string{`"Status":"running(2)"`, p.dir + "/compose.yml"}},
	} {
		out := p.outside(c.args...)
		for _, want := range c.want {
			if !strings.Contains(out, want) {
				t.Errorf("docker compose %v lacks %q:\n%s", c.args, want, out)
			}
		}
	}

	first := p.status("db")
	p.outside("restart", "-t", "1", "db")
	if err := eventually(func() bool {
		now := p.status("db")
		return now.State == service.Running && now.StartedAt.After(*first.StartedAt) && now.RestartsTotal == 0
	}); err != nil {
		t.Errorf("db after docker compose restart: %+v", p.status("db"))
	}
	p.outside("stop", "-t", "1", "web")
	p.await("web", service.Stopped)
	p.outside("start", "web")
	p.await("web", service.Running)

	p.outside("down", "-v", "-t", "1")
	p.nothingOfCompose()
	p.healbot("down")
}

// nothingOfCompose checks that no container, network or volume of the project is left.
func (p *shared) nothingOfCompose() {
	p.Helper()
	ctx := p.Context()
	mine := filters.NewArgs(filters.Arg("label", "com.docker.compose.project="+p.project))
	nets, err := p.engine.NetworkList(ctx, network.ListOptions{Filters: mine})
	vols, verr := p.engine.VolumeList(ctx, volume.ListOptions{Filters: mine})
	if err != nil || verr != nil || len(nets)+len(vols.Volumes) > 0 {
		p.Errorf("left: networks %v (%v), volumes %v (%v)", nets, err, vols.Volumes, verr)
	}
	if left := p.outside("ps", "-aq"); left != "" {
		p.Errorf("left: containers %s", left)
	}
}

// TestDockerComposeCallsUs: with docker compose in charge, native services are up before
// the containers that need them, tell them their address, and go down with them.
func TestDockerComposeCallsUs(t *testing.T) {
	port := healtest.Port(t)
	p := newShared(t, `
name: PROJECT
services:
  model:
    provider: {type: healbot}
    command: [FIXTURE, serve, "127.0.0.1:%[1]d"]
    ports: ["%[1]d:%[1]d"]
    healthcheck: {x-http: "http://127.0.0.1:%[1]d/health", interval: 200ms, start_period: 1m}
  watcher: {provider: {type: healbot}, command: [FIXTURE, sleep], depends_on: [model]}
  box: {image: IMAGE, command: [env, MODEL_URL], depends_on: [model]}
  other: {image: IMAGE, command: [sleep]}
`, port)
	p.docker("up", "-d")
	model, watcher := p.await("model", service.Running), p.await("watcher", service.Running)
	if resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/health", port)); err != nil {
		t.Errorf("model does not answer: %v", err)
	} else {
		resp.Body.Close()
	}
	want := fmt.Sprintf("http://host.docker.internal:%d\n", port)
	if err := eventually(func() bool { return p.docker("logs", "--no-log-prefix", "box") == want }); err != nil {
		t.Errorf("box was told %q, want %q", p.docker("logs", "--no-log-prefix", "box"), want)
	}
	p.docker("up", "-d", "model", "watcher", "other")
	if now := p.status("model"); now.PID != model.PID || p.status("watcher").PID != watcher.PID {
		t.Errorf("a second up replaced model: %+v", now)
	}
	p.docker("stop", "-t", "1")
	if now := p.status("model"); now.PID != model.PID {
		t.Errorf("docker compose stop, which asks no provider, ended model: %+v", now)
	}
	p.docker("down", "-t", "1")
	if healtest.Alive(model.PID) || healtest.Alive(watcher.PID) {
		t.Error("native services outlived docker compose down")
	}
	p.nothingOfCompose()
	p.noProcesses()
}

// TestContainersOfDockerCompose: one that it started satisfies depends_on, and healbot
// does nothing to it.
func TestContainersOfDockerCompose(t *testing.T) {
	p := newShared(t, `
name: PROJECT
services:
  db: {image: IMAGE, command: [sleep]}
  job: {provider: {type: healbot}, command: [FIXTURE, sleep], depends_on: [db]}
  late: {image: IMAGE, command: [sleep], restart: always, x-healbot: {restart: {delay: 200ms}}}
`)
	p.docker("up", "-d", "db")
	p.docker("create", "late")
	db := p.engineState("db")
	p.healbot("up", "-d")
	p.await("job", service.Running)
	if now := p.await("db", service.Running); !strings.HasPrefix(p.containerID("db"), now.ID[:12]) {
		t.Errorf("db is %+v", now)
	}
	if late := p.await("late", service.Pending); !strings.Contains(late.Reason, "docker compose start late") {
		t.Errorf("late is held, but says %q", late.Reason)
	}
	p.docker("start", "late")
	p.await("late", service.Running)

	p.healbot("restart", "db")
	p.await("db", service.Running)
	p.killSupervisor()
	p.healbot("up", "-d")
	if now := p.await("db", service.Running); now.Restarts != 0 {
		t.Errorf("after another supervisor took over db is %+v", now)
	}
	p.healbot("stop", "db")
	p.healbot("down")
	if now := p.engineState("db"); now != db {
		t.Errorf("db was %s and is %s", db, now)
	}
	p.noProcesses()
}

func (p *shared) containerID(name string) string {
	p.Helper()
	return strings.TrimSpace(p.docker("ps", "-aq", "--no-trunc", name))
}

// engineState says all that a touched container would have lost.
func (p *shared) engineState(name string) string {
	p.Helper()
	c, err := p.engine.ContainerInspect(p.Context(), p.containerID(name))
	if err != nil {
		p.Fatal(err)
	}
	text, err := json.Marshal(map[string]any{"id": c.ID, "state": c.State, "networks": c.NetworkSettings.Networks})
	if err != nil {
		p.Fatal(err)
	}
	return string(text)
}

// notTaken are docker compose's flags that healbot does not know, by command.
var notTaken = map[string][]string{
	"up":     {"menu"}, // keys to press while it is attached
	"run":    {"remove-orphans"},
	"config": {"lock-image-digests", "models", "no-consistency", "no-env-resolution", "no-normalize", "no-path-resolution", "resolve-image-digests"},
	"build":  {"check", "memory", "print"}, // of buildx and its bake files; BuildKit takes no limit of memory
}

// Every flag of docker compose's is one of healbot's too, with the same shorthand.
func TestDockerComposeFlags(t *testing.T) {
	p := newShared(t, "name: PROJECT\nservices: {box: {image: IMAGE}}\n")
	flag := regexp.MustCompile(`(?m)^ {2,6}(?:(-\w), )?--([\w-]+)`)
	global := []string{"dry-run", "help"}
	for _, name := range strings.Fields("up down ps logs start stop restart kill pause unpause exec run config events top stats port wait images pull build rm scale watch cp ls version") {
		ours := map[string]string{}
		for _, m := range flag.FindAllStringSubmatch(p.healbot(name, "--help"), -1) {
			ours[strings.ToLower(m[2])] = m[1]
		}
		for _, m := range flag.FindAllStringSubmatch(p.docker(name, "--help"), -1) {
			short, known := ours[strings.ToLower(m[2])] // it spells both --no-tty and --no-TTY
			left := slices.Contains(notTaken[name], m[2])
			switch {
			case slices.Contains(global, m[2]):
			case known == left:
				t.Errorf("%s --%s: known is %t, but it is left out on purpose: %t", name, m[2], known, left)
			case known && short != m[1]:
				t.Errorf("%s --%s is %q for short, not %q", name, m[2], short, m[1])
			}
		}
	}
}
