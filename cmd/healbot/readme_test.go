package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/healing-bot/healbot/service"
)

// TestReadme loads what the README gives as an example, and checks that it names every
// command there is.
func TestReadme(t *testing.T) {
	data, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	readme := string(data)
	blocks := strings.Split(readme, "```yaml\n")[1:]
	if len(blocks) < 2 {
		t.Fatalf("the README has %d examples of a file", len(blocks))
	}
	example, _, _ := strings.Cut(blocks[0], "```")
	more, _, _ := strings.Cut(blocks[1], "```")
	for name, text := range map[string]string{
		"the file": example,
		"on_max":   more + "services: {job: {provider: {type: healbot}, command: [\"true\"], restart: always}}\n",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "healbot-compose.yml"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		src := service.Source{Dir: dir, Environ: []string{"PATH=/usr/bin:/bin"}}
		if _, err := load(t.Context(), src, func(string, ...any) {}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, cmd := range rootCommand(os.Stdout, os.Stderr).Commands() {
		if !cmd.Hidden && !strings.Contains(readme, "`"+cmd.Name()) {
			t.Errorf("the README does not name %s", cmd.Name())
		}
	}
}
