package native

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/healing-bot/healbot/service"
)

// A pin is one line of a requirement file that allows one version only.
type pin struct {
	service, file string
	line          int
	name, marker  string // the package, normalized, and when the line counts
	version, text string // normalized, and as it is written
}

// Conflicts reports packages that services with one virtual environment pin to different
// versions: each would undo what the other's start has installed. A file that can't be
// read is not its concern.
func Conflicts(services []service.Service) error {
	pins := map[[3]string]pin{} // by environment, package and marker: the first
	var all []error
	for _, svc := range services {
		if svc.Process == nil || svc.Process.Python == nil || svc.Process.Python.Venv == "" {
			continue
		}
		venv, seen := svc.Process.Python.Venv, map[string]bool{}
		for _, file := range svc.Process.Python.Requirements {
			for _, p := range pinsIn(file, seen) {
				p.service = svc.Name
				key := [3]string{venv, p.name, p.marker}
				first, known := pins[key]
				if !known {
					pins[key] = p
				} else if first.version != p.version {
					all = append(all, fmt.Errorf("%s and %s can't share %s: %s says %s and %s says %s: agree on one version, or give each a venv of its own",
						first.service, p.service, short(svc.Dir, venv), first.place(svc.Dir), first.text, p.place(svc.Dir), p.text))
				}
			}
		}
	}
	return errors.Join(all...)
}

func (p pin) place(dir string) string { return fmt.Sprintf("%s:%d", short(dir, p.file), p.line) }

// short is a path as it is written in a project's file.
func short(dir, path string) string {
	if rel, err := filepath.Rel(dir, path); err == nil && !strings.HasPrefix(rel, "../") {
		return rel
	}
	return path
}

// pinned finds name, extras and version of a pinned requirement; what else it says of the
// version does not matter.
var pinned = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*\(?(?:[^;#]*,)?\s*===?\s*([A-Za-z0-9.!+_-]+)\s*(?:,[^;#]*)?\)?\s*(?:;([^#]*))?$`)

var separators = regexp.MustCompile(`[-_.]+`)

// pinsIn gives the pins of a requirement file and of those that it includes.
func pinsIn(path string, seen map[string]bool) (pins []pin) {
	text, err := os.ReadFile(path)
	if err != nil || seen[path] {
		return nil
	}
	seen[path] = true
	number, begun, whole := 0, 0, ""
	for line := range strings.Lines(string(text)) {
		number++
		if whole == "" {
			begun = number
		}
		line = strings.TrimRight(line, "\r\n")
		if rest, more := strings.CutSuffix(line, `\`); more {
			whole += rest + " "
			continue
		}
		whole += line
		if p, ok := pinOf(whole); ok {
			p.file, p.line = path, begun
			pins = append(pins, p)
		}
		whole = ""
	}
	for _, name := range included(string(text)) {
		if !filepath.IsAbs(name) {
			name = filepath.Join(filepath.Dir(path), name)
		}
		pins = append(pins, pinsIn(name, seen)...)
	}
	return pins
}

func pinOf(line string) (p pin, ok bool) {
	line, _, _ = strings.Cut(strings.TrimSpace(line), " #")
	line, _, _ = strings.Cut(line, " --") // hashes and other options
	m := pinned.FindStringSubmatch(strings.TrimSpace(line))
	if m == nil {
		return pin{}, false
	}
	version := m[2]
	for strings.HasSuffix(version, ".0") {
		version = strings.TrimSuffix(version, ".0")
	}
	p.name = strings.ToLower(separators.ReplaceAllString(m[1], "-"))
	p.marker = strings.Join(strings.Fields(strings.ReplaceAll(m[3], `'`, `"`)), "")
	p.version = strings.TrimPrefix(strings.ToLower(version), "v")
	p.text = m[1] + "==" + m[2]
	return p, true
}
