package native

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/healing-bot/healbot/native/keeper"
	"github.com/healing-bot/healbot/service"
)

// Start begins one run of one replica of svc. The error of a port that somebody else
// holds, or of a machine that is out of processes, descriptors or disk, wraps
// service.ErrOutside. Others are final.
func (b *Backend) Start(ctx context.Context, svc service.Service, replica, run int) (*Instance, error) {
	key := service.Key{Service: svc.Name, Replica: replica}
	spec, err := b.spec(svc, key, run)
	if err == nil && b.unreach(key.String()) {
		b.updateRelay() // a service that listens on every address must not meet the relay there
	}
	if err == nil {
		err = b.checkPorts(svc.Ports)
	}
	if err != nil {
		return nil, err
	}
	b.Declare([]service.Service{svc})
	program := spec.Argv[0]
	if err := b.equip(&spec, svc); err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", svc.Name, err)
	}
	u, err := b.spawn(ctx, spec)
	if err != nil {
		return nil, explain(err, svc, program)
	}
	return &Instance{b.hold(u)}, nil
}

// equip gives an instance its secrets and its limits.
func (b *Backend) equip(spec *keeper.Spec, svc service.Service) error {
	files, err := b.deliver(svc)
	if err != nil {
		return err
	}
	spec.Env = environment(spec.Env, files...)
	return b.limit(spec, svc.Process.Limits)
}

// spec says how the keeper is to start the replica.
func (b *Backend) spec(svc service.Service, key service.Key, run int) (keeper.Spec, error) {
	p := svc.Process
	if p == nil || len(p.Argv) == 0 {
		return keeper.Spec{}, fmt.Errorf("cannot start %s: it has no command", svc.Name)
	}
	program, err := lookUp(p)
	if err != nil {
		return keeper.Spec{}, err
	}
	logs := filepath.Join(svc.Dir, "logs")
	if st, err := os.Lstat(logs); err == nil && !st.IsDir() {
		return keeper.Spec{}, fmt.Errorf("cannot keep the log of %s: %s is no folder: remove it", svc.Name, logs)
	}
	stop, err := signalNumber(svc.StopSignal)
	if err != nil {
		stop = int(syscall.SIGTERM)
	}
	env := environment(p.Env, "HEALBOT_REPLICA="+strconv.Itoa(key.Replica), "HEALBOT_PROJECT_DIR="+b.dir)
	if p.TTY && variable(env, "TERM") == "" {
		env = environment(env, "TERM=xterm")
	}
	return keeper.Spec{
		Label: keeper.Label{
			ID:      newID(),
			Name:    key.String(),
			Service: svc.Name,
			Replica: key.Replica,
			Run:     run,
			Hash:    svc.Hash,
			Log:     logFor(svc, key.Replica),
			Mark:    markOf(svc.LogPath(key.Replica)),
			Lock:    filepath.Join(b.state(), "locks", key.String()),
			Stop:    stop,
			Grace:   svc.Grace,
		},
		Argv:  append([]string{program}, p.Argv[1:]...),
		Dir:   p.Dir,
		Env:   env,
		Umask: b.umask,
		TTY:   p.TTY,
		Stdin: p.StdinOpen,
	}, nil
}

// spawn has the keeper start spec. When the keeper dies over it, its successor knows
// whether the instance came about.
func (b *Backend) spawn(ctx context.Context, spec keeper.Spec) (keeper.Unit, error) {
	if err := ctx.Err(); err != nil {
		return keeper.Unit{}, err
	}
	for try := 0; ; try++ {
		client, err := b.connect(ctx, true)
		if err != nil {
			return keeper.Unit{}, err
		}
		if try > 0 {
			units, err := client.List(ctx)
			for _, u := range units {
				if u.ID == spec.ID {
					return u, nil
				}
			}
			if err != nil && !errors.Is(err, keeper.ErrLost) {
				return keeper.Unit{}, err
			}
		}
		// Not under ctx: an answer that nobody heard would be an instance that nobody holds.
		wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		u, err := client.Spawn(wait, spec)
		cancel()
		if !errors.Is(err, keeper.ErrLost) || try == 3 {
			return u, err
		}
	}
}

// environment is env with set on top, each variable once: the last one counts. What
// only a keeper may set is left out.
func environment(env []string, set ...string) []string {
	var out []string
	seen := map[string]bool{"HEALBOT_ID": true, "HEALBOT_LOCK_FD": true}
	for _, kv := range slices.Backward(slices.Concat(env, set)) {
		name, _, _ := strings.Cut(kv, "=")
		if !seen[name] {
			seen[name] = true
			out = append(out, kv)
		}
	}
	slices.Reverse(out)
	return out
}

// lookUp finds the program of p: a path from the working directory, a bare name on
// the service's own PATH. It explains what is in the way.
func lookUp(p *service.Process) (string, error) {
	if st, err := os.Stat(p.Dir); err != nil || !st.IsDir() {
		return "", fmt.Errorf("no such directory: %s (working_dir): create it or correct working_dir", p.Dir)
	}
	name := p.Argv[0]
	if strings.Contains(name, "/") {
		path := name
		if !filepath.IsAbs(path) {
			path = filepath.Join(p.Dir, path)
		}
		if err := executable(path); err != nil {
			return "", unusable(name, err, "looked up from working_dir "+p.Dir)
		}
		return path, nil
	}
	var blocked error
	for _, dir := range filepath.SplitList(variable(p.Env, "PATH")) {
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(p.Dir, dir)
		}
		path := filepath.Join(dir, name)
		err := executable(path)
		if err == nil {
			return path, nil
		}
		if !errors.Is(err, fs.ErrNotExist) && blocked == nil {
			blocked = unusable(path, err, "found on PATH")
		}
	}
	if blocked != nil {
		return "", blocked
	}
	where := "looked up on PATH; a program in working_dir " + p.Dir + " is written ./" + name
	return "", unusable(name, fs.ErrNotExist, where)
}

// executable says why path can't be executed.
func executable(path string) error {
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, syscall.ENOTDIR):
		return fs.ErrNotExist
	case err != nil:
		return err
	case st.IsDir():
		return syscall.EISDIR
	case st.Mode()&0o111 == 0:
		return fs.ErrPermission
	}
	return syscall.Access(path, 1)
}

func unusable(name string, err error, where string) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("no such command: %s (%s)", name, where)
	case errors.Is(err, syscall.EISDIR):
		return fmt.Errorf("cannot run %s: it is a directory (%s)", name, where)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("cannot run %s: permission denied (%s): chmod +x it, or name its interpreter in the command", name, where)
	}
	return fmt.Errorf("cannot run %s: %v (%s)", name, errnoOf(err), where)
}

// explain turns what the keeper answered into what a person can act on.
func explain(err error, svc service.Service, program string) error {
	is := func(errs ...error) bool {
		for _, e := range errs {
			if errors.Is(err, e) {
				return true
			}
		}
		return false
	}
	switch {
	case is(syscall.EMFILE, syscall.ENFILE, syscall.EAGAIN, syscall.ENOMEM, syscall.ENOSPC, syscall.EDQUOT, syscall.EBUSY, syscall.ETXTBSY, keeper.ErrLost), errors.As(err, new(*keeper.MuteError)):
		return service.Outside(fmt.Errorf("cannot start %s: %w", svc.Name, err))
	case is(syscall.ENOENT):
		return fmt.Errorf("cannot run %s: its interpreter, the program on its #! line, is not there", program)
	case is(syscall.ENOEXEC):
		return fmt.Errorf("cannot run %s: neither a program for this machine nor a script with a #! line", program)
	case is(syscall.EACCES):
		return fmt.Errorf("cannot run %s in %s: permission denied: look at the modes of both", program, svc.Process.Dir)
	case is(syscall.E2BIG):
		return fmt.Errorf("cannot run %s: command and environment are too large", program)
	}
	return fmt.Errorf("cannot start %s: %w", svc.Name, err)
}

func errnoOf(err error) error {
	var n syscall.Errno
	if errors.As(err, &n) {
		return n
	}
	return err
}

// variable gives the value of one variable of an environment; the last one counts.
func variable(env []string, name string) string {
	for i := len(env) - 1; i >= 0; i-- {
		if v, ok := strings.CutPrefix(env[i], name+"="); ok {
			return v
		}
	}
	return ""
}

func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
