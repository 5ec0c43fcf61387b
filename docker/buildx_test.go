package docker_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/healing-bot/healbot/docker"
	"github.com/healing-bot/healbot/internal/healtest"
	"github.com/healing-bot/healbot/service"
)

// fakeDocker puts a docker command in front of PATH that answers `buildx version`, and
// does for a build what script says.
func fakeDocker(t *testing.T, script string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	text := "#!/bin/sh\ncd " + dir + "\n[ \"$2\" = version ] && exit 0\n" + script + "\n"
	if err := os.WriteFile(filepath.Join(dir, "docker"), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return dir
}

// secretBuild is a build that needs docker buildx in every way there is.
func secretBuild(w *world) service.Service {
	svc := w.built("web", fromScratch)
	token := filepath.Join(svc.Image.Config.Build.Context, "token, it is")
	w.must(os.WriteFile(token, []byte("hunter1"), 0o600))
	plain, hidden := "plain", "hunter3"
	svc.Image.BuildSecrets = types.Secrets{"token": {File: token}, "key": {Content: "hunter2"}}
	b := svc.Image.Config.Build
	b.Secrets = []types.ServiceSecretConfig{{Source: "token"}, {Source: "key", Target: "other"}}
	b.SSH = types.SSHConfig{{ID: "default"}, {ID: "git", Path: "/key"}}
	b.Args = types.MappingWithEquals{"WHAT": &hidden, "DOCKER_HOST": &plain, "HOME": nil}
	b.AdditionalContexts = types.Mapping{"lib": "/lib", "base": "docker-image://base:1"}
	b.CacheFrom, b.CacheTo = types.StringList{"type=local,src=/c"}, types.StringList{"type=inline"}
	b.NoCacheFilter, b.Entitlements, b.Privileged = types.StringList{"one"}, []string{"network.host"}, true
	b.Provenance, b.SBOM, b.Target = "mode=max", "true", "last"
	b.Labels = types.Labels{"own": "yes"}
	return svc
}

func TestBuildxCommand(t *testing.T) {
	w := newWorld(t)
	svc := secretBuild(w)
	dir := fakeDocker(t, `printf '%s\n' "$@" >argv; env >env; echo '#1 [1/2] FROM scratch'; echo '#1 DONE 0.1s'; echo '#2 0.5 from a command'`)
	var said []string
	o := docker.BuildOptions{NoCache: true, Pull: true, SSH: []string{"deploy"}, Builder: "mine"}
	w.must(w.backend.Build(w.within(), svc, o, func(line string) { said = append(said, line) }))
	if diff := cmp.Diff([]string{"[1/2] FROM scratch", "from a command"}, said); diff != "" {
		t.Errorf("said (-want +got):\n%s", diff)
	}
	argv, err := os.ReadFile(filepath.Join(dir, "argv"))
	w.must(err)
	b := svc.Image.Config.Build
	want := []string{
		"buildx", "build", "--load", "--progress=plain", "--builder", "mine", "--tag", svc.Image.Config.Image,
		"--target", "last", "--network", "none", "--cache-from", "type=local,src=/c", "--cache-to", "type=inline", "--no-cache",
		"--no-cache-filter", "one", "--pull", "--allow", "network.host", "--allow", "security.insecure",
		"--provenance=mode=max", "--sbom=true",
		"--label", "com.docker.compose.project=" + w.project, "--label", "com.docker.compose.service=web",
		"--label", "healbot.project=" + w.project, "--label", "own=yes",
		"--build-context", "base=docker-image://base:1", "--build-context", "lib=/lib",
		"--ssh", "default", "--ssh", "git=/key", "--ssh", "deploy",
		"--secret", `id=token,"src=` + b.Context + `/token, it is"`, "--secret", "id=other,env=HEALBOT_BUILD_SECRET_2",
		"--build-arg", "DOCKER_HOST=plain", "--build-arg", "HOME", "--build-arg", "WHAT",
		"--file", b.Context + "/Dockerfile", "--", b.Context,
	}
	if diff := cmp.Diff(want, strings.Split(strings.TrimSpace(string(argv)), "\n")); diff != "" {
		t.Errorf("arguments (-want +got):\n%s", diff)
	}
	env, err := os.ReadFile(filepath.Join(dir, "env"))
	w.must(err)
	for _, line := range []string{"WHAT=hunter3", "HEALBOT_BUILD_SECRET_2=hunter2"} {
		if !slices.Contains(strings.Split(string(env), "\n"), line) {
			t.Errorf("not in the environment: %s", line)
		}
	}
}

// TestBuildFromAnotherService: the other service's image is built first.
func TestBuildFromAnotherService(t *testing.T) {
	w := newWorld(t)
	base, svc := w.built("base", fromScratch), w.built("web", fromScratch)
	base.Image.Config.Build.NoCacheFilter = types.StringList{"x"} // so that the fake builds it too
	svc.Image.Config.Build.AdditionalContexts = types.Mapping{"from": "service:base"}
	w.backend.Declare([]service.Service{base, svc})
	dir := fakeDocker(t, `echo "$@" >>argv`)
	w.must(w.backend.Build(w.within(), svc, docker.BuildOptions{}, func(string) {}))
	argv, err := os.ReadFile(filepath.Join(dir, "argv"))
	w.must(err)
	lines := strings.Split(strings.TrimSpace(string(argv)), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], "--tag "+base.Image.Config.Image+" ") ||
		!strings.Contains(lines[1], "--build-context from=docker-image://"+base.Image.Config.Image+" ") {
		t.Errorf("it built %q", lines)
	}
	if svc.Image.Config.Build.AdditionalContexts["from"] != "service:base" {
		t.Error("the service was changed")
	}
	stray := svc
	stray.Image.Config.Build.AdditionalContexts["from"] = "service:gone"
	if err := w.backend.Build(w.within(), stray, docker.BuildOptions{}, func(string) {}); err == nil || !strings.Contains(err.Error(), "no such service: gone") {
		t.Errorf("from a service that is not there: %v", err)
	}
}

func TestBuildxThatFails(t *testing.T) {
	w := newWorld(t)
	svc := secretBuild(w)
	for _, c := range []struct{ name, script, want string }{
		{
			"command", "echo '#5 0.31 no such package'; echo 'ERROR: failed to solve: process \"/fixture\" did not complete successfully: exit code: 1' >&2; exit 1",
			`process "/fixture" did not complete successfully: exit code: 1; it said last: no such package`,
		},
		{"silent", "exit 3", "exit status 3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			fakeDocker(t, c.script)
			err := w.backend.Build(w.within(), svc, docker.BuildOptions{}, func(string) {})
			if want := "cannot build image " + svc.Image.Config.Image + " of web: " + c.want; err == nil || err.Error() != want {
				t.Errorf("%v\nwant %s", err, want)
			}
		})
	}
	t.Setenv("PATH", t.TempDir())
	err := w.backend.Build(w.within(), svc, docker.BuildOptions{}, func(string) {})
	if err == nil || !strings.Contains(err.Error(), "service web: build.secrets needs docker buildx: there is no docker command on PATH; install it") {
		t.Errorf("without docker: %v", err)
	}
}

// TestBuildxIsCancelled: nothing of a build goes on that nobody waits for.
func TestBuildxIsCancelled(t *testing.T) {
	w := newWorld(t)
	svc := secretBuild(w)
	dir := fakeDocker(t, "sleep 1000 & echo $! >child; echo '#1 [1/1] begun'; wait")
	ctx, cancel := context.WithCancel(w.within())
	err := w.backend.Build(ctx, svc, docker.BuildOptions{}, func(string) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("a cancelled build: %v", err)
	}
	child, err := os.ReadFile(filepath.Join(dir, "child"))
	w.must(err)
	healtest.Eventually(t, "the build's child has ended", func() bool {
		return !healtest.Alive(number(t, child))
	})
}

func number(t *testing.T, text []byte) int {
	t.Helper()
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestBuildxForReal builds with the real plugin, where there is one: a command of the
// Dockerfile sees the secrets, and the image does not.
func TestBuildxForReal(t *testing.T) {
	if out, err := exec.Command("docker", "buildx", "version").CombinedOutput(); err != nil {
		t.Skipf("this test needs docker buildx: %s", out)
	}
	w := newWorld(t)
	svc := w.built("web", "FROM scratch\nCOPY fixture /\n"+
		`RUN --mount=type=secret,id=token ["/fixture", "has", "/run/secrets/token", "hunter1"]`+"\n"+
		`RUN --mount=type=secret,id=other ["/fixture", "has", "/run/secrets/other", "hunter2"]`+"\n"+
		"ARG WHAT\nLABEL what=$WHAT\nENTRYPOINT [\"/fixture\"]\n", "exit", "0")
	token := filepath.Join(t.TempDir(), "token")
	w.must(os.WriteFile(token, []byte("hunter1"), 0o600))
	svc.Image.BuildSecrets = types.Secrets{"token": {File: token}, "key": {Content: "hunter2"}}
	dockerfile, err := os.ReadFile(filepath.Join(svc.Image.Config.Build.Context, "Dockerfile"))
	w.must(err)
	what := "args"
	b := svc.Image.Config.Build
	b.Secrets = []types.ServiceSecretConfig{{Source: "token"}, {Source: "key", Target: "other"}}
	b.Args = types.MappingWithEquals{"WHAT": &what}
	b.DockerfileInline = string(dockerfile)
	var said []string
	err = w.backend.Build(w.within(), svc, docker.BuildOptions{}, func(line string) { said = append(said, line) })
	if err != nil {
		t.Fatalf("%v\n%s", err, strings.Join(said, "\n"))
	}
	found, err := w.engine.ImageInspect(w.within(), svc.Image.Config.Image)
	w.must(err)
	if found.Config.Labels["what"] != "args" || found.Config.Labels["healbot.project"] != w.project {
		t.Errorf("labels of the image: %q", found.Config.Labels)
	}
	if e := w.wait(w.start(svc, 1)); e.Code != 0 {
		t.Errorf("ended as %+v", e)
	}
	b.DockerfileInline = strings.Replace(b.DockerfileInline, "hunter2", "other", 1)
	err = w.backend.Build(w.within(), svc, docker.BuildOptions{}, func(string) {})
	if err == nil || !strings.Contains(err.Error(), "exit code: 1") || !strings.Contains(err.Error(), "does not hold what is expected") {
		t.Errorf("a build that fails: %v", err)
	}
}
