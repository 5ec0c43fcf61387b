package native

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/healing-bot/healbot/native/keeper"
	"github.com/healing-bot/healbot/service"
)

// Hook runs a command on this host as a child of the keeper, to its end; what it writes is
// in the service's log. It fails when the command does. The name tells those apart that run
// at the same time. Cancelling ctx ends it.
func (in *instance) Hook(ctx context.Context, name string, h service.Hook) error {
	program, err := lookUp(&service.Process{Argv: h.Argv, Dir: h.Dir, Env: h.Env})
	if err != nil {
		return err
	}
	in.backend.thaw(in.unit.Name) // what is suspended answers nobody
	u, err := in.backend.spawn(ctx, in.hookSpec(name, program, h))
	if err != nil {
		return fmt.Errorf("cannot run %s: %w", h.Argv[0], err)
	}
	job := in.backend.hold(u)
	exit, err := job.wait(ctx)
	if ctx.Err() != nil {
		_ = job.Kill(context.WithoutCancel(ctx))
		return ctx.Err()
	}
	if err == nil && !exit.OK() {
		err = errors.New(exit.String())
	}
	if err != nil {
		return fmt.Errorf("%s: %w", h.Argv[0], err)
	}
	return nil
}

func (in *instance) hookSpec(name, program string, h service.Hook) keeper.Spec {
	u := in.unit
	name = u.Name + "+" + name
	return keeper.Spec{
		Label: keeper.Label{
			ID: newID(), Name: name, Service: u.Service, Replica: u.Replica, Run: u.Run, Job: true,
			Log: u.Log, Mark: markOf(u.Log.Path), Lock: filepath.Join(in.backend.state(), "locks", name),
			Stop: int(syscall.SIGTERM), Grace: time.Second,
		},
		Argv: append([]string{program}, h.Argv[1:]...),
		Dir:  h.Dir,
		Env: environment(h.Env, "HEALBOT_REPLICA="+strconv.Itoa(u.Replica), "HEALBOT_PROJECT_DIR="+in.backend.dir,
			"HEALBOT_PID="+strconv.Itoa(u.PID)),
		Umask: in.backend.umask,
	}
}
