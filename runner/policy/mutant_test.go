package policy_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// A mutant is a bug planted into the engine: in file, old becomes new.
type mutant struct{ name, file, old, new string }

var mutants = []mutant{
	{
		"fixed window", "instance.go", "\tif m.p.usedUp(",
		"if w := m.p.Window; w > 0 && !m.now.Truncate(w).Equal(m.Born.Truncate(w)) {\n m.Streak = 0\n}\n\tif m.p.usedUp(",
	},
	{
		"sliding count", "instance.go", "m.Streak++",
		"if w := m.p.Window; w > 0 {\n m.Streak = max(0, m.Streak-int(at.Sub(m.Born)*time.Duration(m.p.MaxAttempts)/w))\n}\nm.Streak++",
	},
	{"streak reset at start", "health.go", "\tif m.Well.IsZero() {\n", "\tif m.Streak = 0; m.Well.IsZero() {\n"},
	{"misses kept across instances", "decide.go", "\t\tm.Misses = 0\n", ""},
	{
		"generation ignored", "decide.go",
		"if m.Phase == Live && m.Probing && e.Run == m.Run {", "if m.Phase == Live && m.Probing {",
	},
	{"timer kept after stop", "decide.go", "\tvar due time.Time\n", "\tdue := m.Due\n"},
	{"jitter beyond cap", "policy.go", "return time.Duration(min(d, p.limit()))", "return time.Duration(d)"},
	{
		"dependency condition not re-checked", "decide.go",
		"\tif m.Held != \"\" {\n\t\tif next", "\tif m.Held != \"\" && m.Phase != Backoff {\n\t\tif next",
	},
	{
		"late probe after a gap counted", "health.go",
		"case m.now.Sub(began) > m.p.Timeout+m.p.Interval:", "case m.now.Before(began):",
	},
	{"outside failure counted", "instance.go", "\tm.Tries++\n", "\tm.Tries++\n\tm.Streak++\n"},
}

// TestMutants runs the other tests of this package once for each planted bug: they
// must catch it.
func TestMutants(t *testing.T) {
	if testing.Short() {
		t.Skip("runs this package's tests once for each mutant")
	}
	var (
		wg     sync.WaitGroup
		slots  = make(chan struct{}, 2)
		caught = make([]string, len(mutants))
	)
	began := time.Now()
	for i, m := range mutants {
		overlay := plant(t, m)
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			caught[i] = hunt(t, m, overlay)
		})
	}
	wg.Wait()
	n := 0
	for i, m := range mutants {
		if caught[i] == "" {
			t.Errorf("mutant %q was not caught", m.name)
			continue
		}
		n++
		t.Logf("%s: caught by %s", m.name, caught[i])
	}
	t.Logf("mutants=%d caught=%d took=%s", len(mutants), n, time.Since(began).Round(time.Second))
}

// plant writes the mutant's source file to a temporary folder, and an overlay for
// the go command that puts it in place of the real one.
func plant(t *testing.T, m mutant) (overlay string) {
	t.Helper()
	file, err := filepath.Abs(m.file)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), m.old); n != 1 {
		t.Fatalf("mutant %q: %q is %d times in %s, want once", m.name, m.old, n, m.file)
	}
	dir := t.TempDir()
	planted := filepath.Join(dir, m.file)
	if err := os.WriteFile(planted, []byte(strings.Replace(string(text), m.old, m.new, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	list, err := json.Marshal(map[string]map[string]string{"Replace": {file: planted}})
	if err != nil {
		t.Fatal(err)
	}
	overlay = filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlay, list, 0o644); err != nil {
		t.Fatal(err)
	}
	return overlay
}

var failing = regexp.MustCompile(`(?m)^ *--- FAIL: (\S+)`)

// hunt runs the tests against a mutant and names those that failed. Drawings are no
// proof that a rule holds, so that their test stands aside.
func hunt(t *testing.T, m mutant, overlay string) (caught string) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-short", "-overlay", overlay,
		"-skip", "^(TestMutants|TestStates)$", ".", "-rapid.nofailfile", "-rapid.checks=300", "-rapid.shrinktime=0s")
	out, err := cmd.CombinedOutput()
	found := failing.FindAllStringSubmatch(string(out), -1)
	if err == nil || len(found) == 0 {
		t.Logf("mutant %q: %v\n%s", m.name, err, out)
		return ""
	}
	names := map[string]bool{}
	for _, f := range found {
		if top, _, _ := strings.Cut(f[1], "/"); !names[top] {
			names[top] = true
			caught += " " + top
		}
	}
	return strings.TrimSpace(caught)
}
