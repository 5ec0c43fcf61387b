package main

import (
	"strings"
	"testing"

	"github.com/healing-bot/healbot/internal/healtest"
)

// In the foreground up shows what a container wrote to its last line, also when there is
// nothing left to supervise after that.
func TestLastWordsOfAContainer(t *testing.T) {
	healtest.NeedEngine(t)
	s := &stack{TB: t, dir: t.TempDir()}
	s.file(healtest.Unique("last"), "\n  job: {image: %s, command: [lines, \"3\"], network_mode: none}\n", healtest.Image(t))
	t.Cleanup(func() { endProject(t, s.dir) })
	for range 5 {
		if said := s.healbot("up", "--no-log-prefix"); !strings.Contains(said, "line 3\n") {
			t.Errorf("it said:\n%s", said)
		}
	}
}
