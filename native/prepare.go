package native

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"github.com/healing-bot/healbot/native/keeper"
	"github.com/healing-bot/healbot/service"
)

//go:embed build.py
var buildScript string

// Prepare makes the Python environment of svc, if it has one and it is not current.
// The build writes into the service's log and outlives the supervisor; services that
// share an environment wait for one build. A failure is final, and says what pip said.
// Cancelling ctx ends the build.
func (b *Backend) Prepare(ctx context.Context, svc service.Service, note func(string)) error {
	if svc.Process == nil || svc.Process.Python == nil {
		return nil
	}
	p := svc.Process.Python
	if p.Venv == "" {
		if len(p.Requirements) > 0 {
			return fmt.Errorf("cannot prepare %s: requirements need an environment to be installed in: set the option venv", svc.Name)
		}
		_, err := b.interpreterFor(ctx, svc, variable(svc.Process.Env, "PATH"))
		return err
	}
	files, err := hashRequirements(p.Requirements)
	if err != nil {
		return fmt.Errorf("cannot prepare %s: %w", svc.Name, err)
	}
	if current(p, files) {
		return nil
	}
	free, err := b.alone(ctx, p.Venv)
	if err != nil {
		return err
	}
	defer free()
	if current(p, files) {
		return nil
	}
	py, err := b.builder(ctx, svc)
	if err != nil {
		return err
	}
	name := p.Venv
	if rel, err := filepath.Rel(svc.Dir, p.Venv); err == nil {
		name = rel
	}
	note("building the Python environment " + name)
	return b.build(ctx, svc, py, files)
}

// alone waits until no other build of this supervisor works on the environment.
func (b *Backend) alone(ctx context.Context, venv string) (free func(), err error) {
	for {
		b.mu.Lock()
		busy := b.venvs[venv]
		if busy == nil {
			mine := make(chan struct{})
			b.venvs[venv] = mine
			b.mu.Unlock()
			return func() {
				b.mu.Lock()
				delete(b.venvs, venv)
				b.mu.Unlock()
				close(mine)
			}, nil
		}
		b.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// builder chooses the interpreter: the one that the environment has, if it is whole,
// else one from PATH.
func (b *Backend) builder(ctx context.Context, svc service.Service) (interpreter, error) {
	p := svc.Process.Python
	inside := filepath.Join(p.Venv, "bin", "python")
	if executable(inside) == nil {
		py, err := b.probe(ctx, inside)
		if err == nil {
			ok, err := satisfies(py.version, p.Version)
			if err != nil {
				return py, fmt.Errorf("cannot prepare %s: %w", svc.Name, err)
			}
			if !ok {
				return py, fmt.Errorf("cannot prepare %s: Python %s is needed and %s has %s: remove it to have it built again", svc.Name, p.Version, p.Venv, py.version)
			}
			real, err := filepath.EvalSymlinks(inside)
			if err == nil {
				py.path = real
			}
			return py, err
		}
		if ctx.Err() != nil {
			return interpreter{}, ctx.Err()
		}
		return interpreter{}, fmt.Errorf("cannot prepare %s: %s does not work (%v): remove %s to have it built again", svc.Name, inside, err, p.Venv)
	}
	if alien(p.Venv) {
		return interpreter{}, fmt.Errorf("cannot prepare %s: %s is there and is no Python environment: correct the option venv or remove it", svc.Name, p.Venv)
	}
	path := variable(svc.Process.Env, "PATH")
	if rest, ok := strings.CutPrefix(path, filepath.Join(p.Venv, "bin")+":"); ok {
		path = rest
	}
	return b.interpreterFor(ctx, svc, path)
}

// alien reports whether something is there that is not an environment, nor the
// beginning of one.
func alien(venv string) bool {
	if _, err := os.Lstat(filepath.Join(venv, "pyvenv.cfg")); err == nil {
		return false
	}
	entries, err := os.ReadDir(venv)
	if err != nil {
		return !errors.Is(err, os.ErrNotExist)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".healbot-") {
			return len(entries) > 0 && !halfBuilt(venv)
		}
	}
	return false
}

// halfBuilt reports whether a build was cut off here: its lock is there.
func halfBuilt(venv string) bool {
	_, err := os.Lstat(filepath.Join(venv, lockName))
	return err == nil
}

// build runs the builder as a child of the keeper and waits for its end.
func (b *Backend) build(ctx context.Context, svc service.Service, py interpreter, files string) error {
	p := svc.Process.Python
	if err := os.MkdirAll(p.Venv, 0o755); err != nil {
		return fmt.Errorf("cannot prepare %s: %w", svc.Name, err)
	}
	spec, err := b.buildSpec(svc, py, files)
	if err != nil {
		return err
	}
	u, err := b.spawn(ctx, spec)
	for errors.Is(err, syscall.EBUSY) {
		// A build that an earlier supervisor began still works here.
		lock := flock.New(spec.Lock)
		if _, err := lock.TryLockContext(ctx, 200*time.Millisecond); err != nil {
			return fmt.Errorf("cannot prepare %s: waiting for another build of %s: %w", svc.Name, p.Venv, err)
		}
		_ = lock.Close()
		if current(p, files) {
			return nil
		}
		u, err = b.spawn(ctx, spec)
	}
	if err != nil {
		return explain(err, svc, spec.Argv[0])
	}
	in := b.hold(u)
	start := logEnd(spec.Log.Path)
	exit, err := in.wait(ctx)
	if err != nil && ctx.Err() != nil {
		_ = in.Kill(context.WithoutCancel(ctx))
		return err
	}
	if err != nil || exit.OK() && current(p, files) {
		return err
	}
	return fmt.Errorf("cannot build the Python environment of %s: %s", svc.Name, lastWords(spec.Log.Path, start, exit))
}

func (b *Backend) buildSpec(svc service.Service, py interpreter, files string) (keeper.Spec, error) {
	p := svc.Process.Python
	mark, err := json.Marshal(stamp{Python: py.path, Version: py.version, Files: files})
	if err != nil {
		return keeper.Spec{}, err
	}
	path := variable(svc.Process.Env, "PATH")
	uv := ""
	for _, dir := range filepath.SplitList(path) {
		if filepath.IsAbs(dir) && executable(filepath.Join(dir, "uv")) == nil {
			uv = filepath.Join(dir, "uv")
			break
		}
	}
	log := logFor(svc, 1)
	if log.Path == "" {
		log = keeper.Log{Path: filepath.Join(b.state(), "build.log"), MaxSize: 1 << 20, MaxFiles: 1}
	}
	argv := []string{py.path, "-I", "-c", buildScript, p.Venv, filepath.Join(p.Venv, stampFile), string(mark), uv}
	return keeper.Spec{
		Label: keeper.Label{
			ID:      newID(),
			Name:    svc.Name + "+python",
			Service: svc.Name,
			Job:     true,
			Log:     log,
			Lock:    filepath.Join(p.Venv, lockName),
			Stop:    int(syscall.SIGTERM),
			Grace:   5 * time.Second,
		},
		Argv:  append(argv, p.Requirements...),
		Dir:   svc.Dir,
		Env:   environment(svc.Process.Env, "PYTHONUNBUFFERED=1"),
		Umask: b.umask,
	}, nil
}

// lastWords gives the reason of a failed build: its last lines of output, where a
// line that says ERROR is better than the advice that follows it.
func lastWords(path string, start int64, exit service.Exit) string {
	var lines []string
	for _, l := range strings.Split(readFrom(path, start, 8<<10), "\n") {
		if l = strings.TrimSpace(l); l != "" && !strings.HasPrefix(l, "healbot: ") {
			lines = append(lines, l)
		}
	}
	var wrong []string
	for _, l := range lines {
		low := strings.ToLower(l)
		if strings.HasPrefix(low, "error") || strings.HasPrefix(low, "×") {
			wrong = append(wrong, l)
		}
	}
	if len(wrong) > 0 {
		lines = wrong
	}
	if len(lines) == 0 {
		return exit.String()
	}
	return strings.Join(lines[max(0, len(lines)-3):], "; ")
}
