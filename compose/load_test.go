package compose

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/healing-bot/healbot/runner/policy"
	"github.com/healing-bot/healbot/service"
)

var update = flag.Bool("update", false, "write what Load gives into testdata")

// TestLoad runs every testdata/*.txtar: the files of a project, optionally the file
// "options" (Options in JSON; Dir is relative), and what is wanted in the file "want".
func TestLoad(t *testing.T) {
	cases, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(cases) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range cases {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { runCase(t, file) })
	}
}

func runCase(t *testing.T, file string) {
	t.Parallel()
	ar, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	dir, o, want := unpack(t, ar)
	p, err := Load(t.Context(), o)
	got := strings.ReplaceAll(describe(p, err), dir, "$DIR")
	if *update {
		ar.Files = append(slices.DeleteFunc(ar.Files, func(f txtar.File) bool { return f.Name == "want" }),
			txtar.File{Name: "want", Data: []byte(got)})
		if err := os.WriteFile(file, txtar.Format(ar), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got; go test ./compose -run TestLoad -update renews it\n%s", diff)
	}
}

// unpack writes the files of a case into a directory whose name is always the same.
func unpack(t *testing.T, ar *txtar.Archive) (dir string, o Options, want string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "shop")
	for _, f := range ar.Files {
		switch f.Name {
		case "want":
			want = string(f.Data)
			continue
		case "options":
			dec := json.NewDecoder(bytes.NewReader(f.Data))
			dec.DisallowUnknownFields()
			if err := dec.Decode(&o); err != nil {
				t.Fatalf("options: %v", err)
			}
			continue
		}
		name := filepath.Join(dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	o.Dir = filepath.Join(dir, o.Dir)
	return dir, o, want
}

// describe tells in readable text what Load gave, but for what is as everywhere.
func describe(p *Project, err error) string {
	var b strings.Builder
	if err != nil {
		return err.Error() + "\n"
	}
	fmt.Fprintf(&b, "project %s in %s\n", p.Name, p.Dir)
	for _, f := range p.Files {
		fmt.Fprintf(&b, "file %s\n", f)
	}
	for _, w := range p.Warnings {
		fmt.Fprintf(&b, "warning: %s\n", w)
	}
	for _, s := range p.Services {
		fmt.Fprintf(&b, "\n%s: %s\n", s.Name, s.Kind)
		describeService(&b, s)
		describePolicy(&b, s.Name, p.Policies[s.Name])
	}
	return b.String()
}

func describeService(b *strings.Builder, s service.Service) {
	if p := s.Process; p != nil {
		fmt.Fprintf(b, "  argv %q in %s\n", p.Argv, p.Dir)
		for _, e := range p.Env {
			if e != "PATH="+usualPath {
				fmt.Fprintf(b, "  env %s\n", e)
			}
		}
		if p.Python != nil {
			fmt.Fprintf(b, "  python %q venv %s requirements %v\n", p.Python.Version, p.Python.Venv, p.Python.Requirements)
		}
		if p.Log != (service.Log{MaxSize: 10 << 20, MaxFiles: 3}) {
			fmt.Fprintf(b, "  log %+v\n", p.Log)
		}
		describeLimits(b, p)
	} else {
		fmt.Fprintf(b, "  image %s\n", s.Image.Config.Image)
		for _, t := range s.Image.Watch {
			fmt.Fprintf(b, "  watch %s but %q only %q to %q: initial %v rebuild %v restart %v exec %v\n",
				t.Path, t.Ignore, t.Include, t.Target, t.Initial, t.Rebuild, t.Restart, t.Exec != nil)
		}
	}
	for _, h := range s.PostStart {
		fmt.Fprintf(b, "  post_start %q in %s env %q\n", h.Argv, h.Dir, h.Env)
	}
	for _, h := range s.PreStop {
		fmt.Fprintf(b, "  pre_stop %q in %s env %q\n", h.Argv, h.Dir, h.Env)
	}
	if s.Title != s.Name {
		fmt.Fprintf(b, "  title %q\n", s.Title)
	}
	if s.Replicas != 1 {
		fmt.Fprintf(b, "  replicas %d\n", s.Replicas)
	}
	for _, p := range s.Ports {
		fmt.Fprintf(b, "  port %s\n", p)
	}
	for _, n := range s.Needs {
		at := n.Endpoint
		n.Endpoint = nil
		fmt.Fprintln(b, strings.TrimSuffix(fmt.Sprintf("  needs %+v", n), " Endpoint:<nil>}")+"}")
		if at != nil {
			fmt.Fprintf(b, "  told of %q at its address\n", at.Variables())
		}
	}
	if c := s.Check; c != nil {
		fmt.Fprintf(b, "  check")
		switch {
		case c.HTTP != nil:
			fmt.Fprintf(b, " http %+v", *c.HTTP)
		case c.TCP != "":
			fmt.Fprintf(b, " tcp %s", c.TCP)
		case c.Log != "":
			fmt.Fprintf(b, " line %q", c.Log)
		case c.Engine:
			fmt.Fprintf(b, " by the engine")
		default:
			fmt.Fprintf(b, " command %q", c.Command)
		}
		fmt.Fprintf(b, ", %v\n", c.Timeout)
	}
	for _, n := range s.Notify {
		fmt.Fprintf(b, "  tell of %s: %q %q\n", n.On, n.URL, n.Command)
	}
	if s.StopSignal != "SIGTERM" {
		fmt.Fprintf(b, "  stop with %s\n", s.StopSignal)
	}
}

var conditionWords = map[policy.Condition]string{policy.Never: "never", policy.OnFailure: "on-failure", policy.Always: "always"}

func describePolicy(b *strings.Builder, name string, p policy.Policy) {
	if p.Name != name {
		fmt.Fprintf(b, "  WRONG policy name %q\n", p.Name)
	}
	fmt.Fprintf(b, "  restart %s, delay %v x%v up to %v ±%v, %d in %v, grace %v", conditionWords[p.Condition],
		p.Delay, p.Factor, p.MaxDelay, p.Jitter, p.MaxAttempts, p.Window, p.Grace)
	if p.RetryAfter > 0 {
		fmt.Fprintf(b, ", retry after %v", p.RetryAfter)
	}
	if p.Dependent {
		b.WriteString(", dependent")
	}
	b.WriteByte('\n')
	if p.Probe != policy.NoProbe {
		who := "own"
		switch p.Probe {
		case policy.EngineProbe:
			who = "engine"
		case policy.LineProbe:
			who = "line"
		}
		fmt.Fprintf(b, "  probe %s every %v, timeout %v, retries %d, start %v every %v", who, p.Interval, p.Timeout, p.Retries, p.StartPeriod, p.StartInterval)
		if p.IgnoreUnhealthy {
			b.WriteString(", unhealthy ignored")
		}
		b.WriteByte('\n')
	}
}

// describeLimits gives what only few services have, in its JSON form.
func describeLimits(b *strings.Builder, p *service.Process) {
	if text, _ := json.Marshal(p.Limits); string(text) != "{}" {
		fmt.Fprintf(b, "  limits %s\n", text)
	}
	for _, f := range p.Files {
		fmt.Fprintf(b, "  file %+v\n", f)
	}
	for _, t := range p.Watch {
		fmt.Fprintf(b, "  watch %s but %q only %q rebuild %v\n", t.Path, t.Ignore, t.Include, t.Rebuild)
	}
}
