package native

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/healing-bot/healbot/service"
)

// A stamp lies in a virtual environment and says what it was built from. It is
// written last: without it the environment is not finished.
type stamp struct {
	Python  string // path of the interpreter
	Version string // of the interpreter
	Files   string // hash of the requirement files and those that they include
}

const (
	stampFile = ".healbot-stamp"
	lockName  = ".healbot-lock"
)

// current reports whether the environment is just what p asks for. It starts nothing.
func current(p *service.Python, files string) bool {
	b, err := os.ReadFile(filepath.Join(p.Venv, stampFile))
	var s stamp
	if err != nil || json.Unmarshal(b, &s) != nil || s.Files != files {
		return false
	}
	ok, err := satisfies(s.Version, p.Version)
	return err == nil && ok && executable(filepath.Join(p.Venv, "bin", "python")) == nil && executable(s.Python) == nil
}

// hashRequirements hashes the requirement files with everything that they include by
// -r or -c. A missing file is an error that names it.
func hashRequirements(files []string) (string, error) {
	h := sha256.New()
	seen := map[string]bool{}
	var add func(path, from string) error
	add = func(path, from string) error {
		if seen[path] {
			return nil
		}
		seen[path] = true
		b, err := os.ReadFile(path)
		if err != nil && from != "" {
			return fmt.Errorf("cannot read %s, which %s includes: %v", path, from, errnoOf(err))
		}
		if err != nil {
			return fmt.Errorf("cannot read the requirements %s: %v: create the file or correct the option requirements", path, errnoOf(err))
		}
		fmt.Fprintf(h, "%s %d\n", path, len(b))
		h.Write(b)
		for _, name := range included(string(b)) {
			if !filepath.IsAbs(name) {
				name = filepath.Join(filepath.Dir(path), name)
			}
			if err := add(name, path); err != nil {
				return err
			}
		}
		return nil
	}
	for _, f := range files {
		if err := add(f, ""); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}

// included lists the local files that a requirement file includes.
func included(text string) []string {
	var names []string
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), " #")
		for _, opt := range []string{"-r", "-c", "--requirement", "--constraint"} {
			rest, ok := strings.CutPrefix(line, opt)
			if !ok || rest == "" || len(opt) > 2 && !strings.ContainsAny(rest[:1], " \t=") {
				continue
			}
			name := strings.Trim(strings.TrimLeft(rest, " \t="), " \t\"'")
			if name != "" && !strings.Contains(name, "://") {
				names = append(names, name)
			}
			break
		}
	}
	return names
}
