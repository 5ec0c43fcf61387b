package policy_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/healing-bot/healbot/runner/policy"
)

var update = flag.Bool("update", false, "renew testdata and docs/states.md")

// TestScenes plays testdata/*.txt. A scene begins with a line "# the promise" and a
// policy; every other line is a command, and the indented lines under it are what
// it must print. scene_play_test.go knows the commands.
func TestScenes(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("found %d scene files: %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var renewed strings.Builder
		for _, scene := range split(string(text)) {
			title := strings.TrimPrefix(strings.SplitN(scene, "\n", 2)[0], "# ")
			t.Run(filepath.Base(file)+"/"+title, func(t *testing.T) {
				played := playScene(t, scene)
				renewed.WriteString(played)
				if diff := cmp.Diff(lines(scene), lines(played)); diff != "" && !*update {
					t.Errorf("%s (-want +got):\n%s", file, diff)
				}
			})
		}
		if *update && !t.Failed() {
			if err := os.WriteFile(file, []byte(renewed.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func lines(s string) []string { return strings.Split(strings.TrimSpace(s), "\n") }

// split cuts a file before each comment that follows an empty line.
func split(text string) []string {
	parts := strings.SplitAfter(text, "\n\n")
	var scenes []string
	for _, p := range parts {
		if strings.HasPrefix(p, "# ") || len(scenes) == 0 {
			scenes = append(scenes, p)
		} else {
			scenes[len(scenes)-1] += p
		}
	}
	return scenes
}

func playScene(t *testing.T, text string) string {
	t.Helper()
	sc := &scene{t: t, start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	sc.now = sc.start
	for _, line := range strings.SplitAfter(text, "\n") {
		if strings.HasPrefix(line, "  ") {
			continue
		}
		sc.out.WriteString(line)
		if cmd := strings.TrimSpace(line); cmd != "" && cmd[0] != '#' {
			sc.play(words(cmd))
		}
	}
	return sc.out.String()
}

// A scene is one instance under test, and what it printed.
type scene struct {
	t          *testing.T
	p          policy.Policy
	s          policy.State
	start, now time.Time
	out        strings.Builder
}

// tell gives the engine an event and prints what follows.
func (sc *scene) tell(e policy.Event) policy.Action {
	var act policy.Action
	before := sc.s
	sc.s, act = policy.Decide(sc.p, sc.s, e, sc.now)
	if err := faulty(before, sc.s, e, act, sc.now); err != nil {
		sc.t.Errorf("%T at %s: %v", e, sc.now.Sub(sc.start), err)
	}
	sc.print(act)
	return act
}

func (sc *scene) print(act policy.Action) {
	text := fmt.Sprintf("  %-6s %s %s", policy.Age(sc.now.Sub(sc.start)), sc.s.Phase, sc.s.Status)
	if h := sc.s.Health.String(); h != "" {
		text += " health=" + h
	}
	if sc.s.Streak > 0 {
		text += fmt.Sprintf(" streak=%d", sc.s.Streak)
	}
	if act.Verb != policy.Nothing {
		text += fmt.Sprintf(" do=%s:%d", act.Verb, act.Run)
	}
	if says := sc.s.Says(sc.p, sc.now); says != "" {
		text += " | " + says
	}
	sc.out.WriteString(text + "\n")
}

// advance plays every Tick that is due until d has passed.
func (sc *scene) advance(d time.Duration) {
	end := sc.now.Add(d)
	for !sc.s.Due.IsZero() && !sc.s.Due.After(end) {
		if sc.s.Due.After(sc.now) {
			sc.now = sc.s.Due
		}
		sc.tell(policy.Tick{})
	}
	sc.now = end
}
