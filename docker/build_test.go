package docker_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"

	"github.com/healing-bot/healbot/docker"
	"github.com/healing-bot/healbot/internal/healtest"
	"github.com/healing-bot/healbot/service"
)

// built gives a service whose image is built from a Dockerfile beside the fixture.
func (w *world) built(name, dockerfile string, args ...string) service.Service {
	w.t.Helper()
	svc := w.service(name, args...)
	dir := w.t.TempDir()
	program, err := os.ReadFile(healtest.Fixture(w.t))
	w.must(err)
	w.must(os.WriteFile(filepath.Join(dir, "fixture"), program, 0o755))
	dockerfile = strings.Replace(dockerfile, "FROM scratch\n", "FROM scratch\nLABEL healbot.project="+w.project+"\n", 1)
	w.must(os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o644))
	s := &svc.Image.Config
	s.Image, s.PullPolicy = w.project+"-"+name, ""
	s.Build = &types.BuildConfig{Context: dir, Dockerfile: "Dockerfile", Network: "none"}
	w.t.Cleanup(func() {
		w.must(w.backend.Remove(w.within(), w.project))
		made, err := w.engine.ImageList(w.within(), image.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("label", "healbot.project="+w.project))})
		w.must(err)
		for _, i := range made {
			w.engine.ImageRemove(w.within(), i.ID, image.RemoveOptions{Force: true, PruneChildren: true})
		}
	})
	return svc
}

const fromScratch = "FROM scratch\nARG WHAT=nothing\nLABEL what=$WHAT\nCOPY fixture /\nENTRYPOINT [\"/fixture\"]\n"

func TestBuildOnceAndAgainOnRequest(t *testing.T) {
	w := newWorld(t)
	svc := w.built("web", fromScratch, "sleep")
	what := "args"
	svc.Image.Config.Build.Args = types.MappingWithEquals{"WHAT": &what}
	svc.Image.Config.Build.Labels = types.Labels{"own": "yes"}
	svc.Image.Config.Build.Tags = types.StringList{w.project + "-extra:1"}
	var notes []string
	note := func(s string) { notes = append(notes, s) }
	w.must(w.backend.Prepare(w.within(), svc, note))
	if !slices.ContainsFunc(notes, func(s string) bool { return strings.Contains(s, "Step 4/") || strings.Contains(s, "4/4]") }) {
		t.Errorf("notes of a build: %q", notes)
	}
	found, err := w.engine.ImageInspect(w.within(), w.project+"-extra:1")
	w.must(err)
	for label, want := range map[string]string{"what": "args", "own": "yes", "com.docker.compose.service": "web", "healbot.project": w.project} {
		if got := found.Config.Labels[label]; got != want {
			t.Errorf("label %s is %q, not %q", label, got, want)
		}
	}
	notes = nil
	w.must(w.backend.Prepare(w.within(), svc, note))
	if len(notes) > 0 {
		t.Errorf("what is there was built again: %q", notes)
	}
	first := w.start(svc, 1)
	w.must(first.Kill(w.within()))
	w.wait(first)
	var lines []string
	w.must(w.backend.Build(w.within(), svc, docker.BuildOptions{NoCache: true, Args: map[string]string{"WHAT": "more"}}, func(s string) { lines = append(lines, s) }))
	if len(lines) == 0 {
		t.Error("a build said nothing")
	}
	if second := w.start(svc, 2); second.About().ID == first.About().ID || w.inspect(second.About().ID).Config.Labels["what"] != "more" {
		t.Error("the container of an older image was started again")
	}
}

func TestBuildContext(t *testing.T) {
	w := newWorld(t)
	svc := w.built("web", "", "exit", "0")
	b := svc.Image.Config.Build
	b.DockerfileInline = "FROM scratch AS files\nCOPY . /all\nFROM files AS wanted\nCOPY fixture /\nENTRYPOINT [\"/fixture\"]\nFROM files AS unused\nCOPY missing /\n"
	b.Target = "wanted"
	for name, text := range map[string]string{
		".dockerignore": "# comment\n*.log\nsecret\n**/deep\n!keep.log\n", "a.log": "x", "keep.log": "x", "secret": "x", "sub/deep/file": "x", "sub/kept": "x",
	} {
		path := filepath.Join(b.Context, name)
		w.must(os.MkdirAll(filepath.Dir(path), 0o755))
		w.must(os.WriteFile(path, []byte(text), 0o644))
	}
	w.must(os.Symlink("kept", filepath.Join(b.Context, "sub/link")))
	if e := w.wait(w.start(svc, 1)); e.Code != 0 {
		t.Fatalf("ended as %+v", e)
	}
	c := w.containers()[0]
	for name, want := range map[string]bool{
		"keep.log": true, "sub/kept": true, "sub/link": true, "fixture": true,
		"a.log": false, "secret": false, "sub/deep": false, ".dockerfile.healbot": false,
	} {
		_, err := w.engine.ContainerStatPath(w.within(), c.ID, "/all/"+name)
		if (err == nil) != want {
			t.Errorf("%s in the image: %v", name, err)
		}
	}
}

func TestBuildThatFails(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		name, dockerfile, want string
		outside                bool
	}{
		{"command", "FROM scratch\nCOPY fixture /\nRUN [\"/fixture\", \"unknown\"]\n", "non-zero code: 64; it said last: fixture: unknown verb unknown", false},
		{"word", "FROM scratch\nCOPPY fixture /\n", "COPPY", false},
		{"file", "FROM scratch\nCOPY missing /\n", "missing", false},
		{"base", "FROM 127.0.0.1:1/missing\n", "connection refused", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			svc := w.built(c.name, c.dockerfile)
			err := w.backend.Prepare(w.within(), svc, func(string) {})
			if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, service.ErrOutside) != c.outside {
				t.Errorf("outside %v: %v", errors.Is(err, service.ErrOutside), err)
			}
		})
	}
	svc := w.built("nowhere", "")
	svc.Image.Config.Build.Dockerfile = "Nowhere"
	if err := w.backend.Prepare(w.within(), svc, func(string) {}); err == nil || !strings.Contains(err.Error(), "check build.dockerfile") {
		t.Errorf("without a Dockerfile: %v", err)
	}
}

// TestBuildWithBuildKit: an engine that prefers BuildKit builds with it, without a session.
func TestBuildWithBuildKit(t *testing.T) {
	w, p := newPrivateWorld(t, `{"features": {"buildkit": true}}`)
	svc := w.built("web", fromScratch, "exit", "0")
	var lines []string
	say := func(s string) { lines = append(lines, s) }
	if err := w.backend.Build(w.within(), svc, docker.BuildOptions{}, say); err != nil {
		t.Fatalf("%v\n%s", err, p.logged())
	}
	if !slices.ContainsFunc(lines, func(s string) bool { return strings.HasPrefix(s, "[1/1] COPY fixture /") }) {
		t.Errorf("it said %q", lines)
	}
	if e := w.wait(w.start(svc, 1)); e.Code != 0 {
		t.Errorf("ended as %+v", e)
	}
	bad := w.built("bad", "FROM scratch\nCOPY missing /\n")
	if err := w.backend.Build(w.within(), bad, docker.BuildOptions{}, say); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("a build that fails: %v", err)
	}
}
