package native

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/healing-bot/healbot/service"
)

// An interpreter is one Python that was found.
type interpreter struct {
	path    string // the program itself, links and wrappers followed
	version string // such as "3.11.7"
	at      time.Time
	size    int64
}

// interpreterFor finds the first Python on PATH that meets the constraint: python3,
// then python3.N with the newest first, then python.
func (b *Backend) interpreterFor(ctx context.Context, svc service.Service, path string) (interpreter, error) {
	var found []string
	seen := map[string]bool{}
	for _, name := range pythonNames(path) {
		py, err := b.probe(ctx, name)
		if err != nil {
			continue
		}
		ok, err := satisfies(py.version, svc.Process.Python.Version)
		if err != nil {
			return interpreter{}, fmt.Errorf("cannot prepare %s: %w", svc.Name, err)
		}
		if ok {
			return py, nil
		}
		if !seen[py.version] {
			seen[py.version] = true
			found = append(found, py.version+" ("+name+")")
		}
	}
	need := "Python " + svc.Process.Python.Version
	if len(found) == 0 {
		return interpreter{}, fmt.Errorf("cannot prepare %s: %s is needed and no Python is on PATH: install it", svc.Name, strings.TrimSpace(need))
	}
	return interpreter{}, fmt.Errorf("cannot prepare %s: %s is needed, found only %s: install it or change the option python", svc.Name, need, strings.Join(found, ", "))
}

// pythonNames lists the candidates on path in the order in which they are tried.
func pythonNames(path string) []string {
	var first, numbered, last []string
	minor := func(p string) int {
		n, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(p), "python3."))
		if err != nil {
			return -1
		}
		return n
	}
	for _, dir := range filepath.SplitList(path) {
		if !filepath.IsAbs(dir) {
			continue
		}
		all, _ := filepath.Glob(filepath.Join(dir, "python3.*"))
		for _, p := range all {
			if minor(p) >= 0 {
				numbered = append(numbered, p)
			}
		}
		first = append(first, filepath.Join(dir, "python3"))
		last = append(last, filepath.Join(dir, "python"))
	}
	slices.SortStableFunc(numbered, func(a, b string) int { return minor(b) - minor(a) })
	var names []string
	for _, p := range slices.Concat(first, numbered, last) {
		if executable(p) == nil {
			names = append(names, p)
		}
	}
	return names
}

// probe asks a Python for its version and its own path. The answer is remembered as
// long as the file stays the same.
func (b *Backend) probe(ctx context.Context, path string) (interpreter, error) {
	st, err := os.Stat(path)
	if err != nil {
		return interpreter{}, err
	}
	b.mu.Lock()
	py, known := b.pythons[path]
	b.mu.Unlock()
	if known && py.at.Equal(st.ModTime()) && py.size == st.Size() {
		if py.version == "" {
			return py, errors.New("not a Python")
		}
		return py, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "-I", "-c", "import sys; print('%d.%d.%d' % sys.version_info[:3]); print(sys.executable)")
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if ctx.Err() != nil {
		return interpreter{}, ctx.Err()
	}
	py = interpreter{at: st.ModTime(), size: st.Size()}
	if lines := bytes.Split(bytes.TrimSpace(out), []byte("\n")); err == nil && len(lines) == 2 {
		py.version, py.path = string(lines[0]), string(lines[1])
	} else if err == nil {
		err = errors.New("not a Python")
	}
	b.mu.Lock()
	b.pythons[path] = py
	b.mu.Unlock()
	return py, err
}
