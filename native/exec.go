package native

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"github.com/healing-bot/healbot/native/keeper"
	"github.com/healing-bot/healbot/service"
)

// Command makes argv a command of this host that has the environment, the working
// directory, the Python environment and the secrets of a native service: what a user
// runs beside it. dir, if not empty, stands instead of working_dir, and env goes on
// top. It has the service's user and groups; its limits do not bind it.
func (b *Backend) Command(svc service.Service, argv []string, dir string, env []string) (*exec.Cmd, error) {
	if svc.Process == nil {
		return nil, fmt.Errorf("service %s is no native service", svc.Name)
	}
	files, err := b.deliver(svc)
	if err != nil {
		return nil, err
	}
	p := *svc.Process
	p.Argv, p.Env = argv, environment(p.Env, slices.Concat(files, []string{"HEALBOT_PROJECT_DIR=" + b.dir}, env)...)
	if dir != "" {
		if p.Dir = dir; !filepath.IsAbs(dir) {
			p.Dir = filepath.Join(svc.Process.Dir, dir)
		}
	}
	program, err := lookUp(&p)
	if err != nil {
		return nil, err
	}
	spec := keeper.Spec{Argv: append([]string{program}, argv[1:]...), Env: p.Env}
	who, err := identify(&spec, p.Limits)
	if err == nil && who != nil {
		err = spec.Enter(b.argv, keeper.Entry{Identity: who, Guest: true})
	}
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(spec.Argv[0])
	cmd.Args, cmd.Dir, cmd.Env = spec.Argv, p.Dir, spec.Env
	if who == nil {
		cmd.Args[0] = argv[0]
	}
	return cmd, nil
}

// Detach runs argv as Command does, as a child of the keeper: what it writes goes to the
// log of the replica, and Remove ends it.
func (b *Backend) Detach(ctx context.Context, svc service.Service, replica int, argv []string, dir string, env []string) error {
	key := service.Key{Service: svc.Name, Replica: replica}
	cmd, err := b.Command(svc, argv, dir, append([]string{"HEALBOT_REPLICA=" + strconv.Itoa(replica)}, env...))
	if err != nil {
		return err
	}
	id := newID()
	name := key.String() + "+" + id
	_, err = b.spawn(ctx, keeper.Spec{
		Label: keeper.Label{
			ID: id, Name: name, Service: svc.Name, Replica: replica, Job: true,
			Log: logFor(svc, replica), Mark: markOf(svc.LogPath(replica)), Lock: filepath.Join(b.state(), "locks", name),
			Stop: int(syscall.SIGTERM), Grace: svc.Grace,
		},
		Argv: append([]string{cmd.Path}, cmd.Args[1:]...), Dir: cmd.Dir, Env: cmd.Env, Umask: b.umask,
	})
	return err
}
