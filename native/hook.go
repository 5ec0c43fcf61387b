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

// Declare tells the backend what the services of the project are now, those included
// that an earlier supervisor started: it is how a later stop knows of their hooks, and
// how a crash is explained without showing what is secret.
func (b *Backend) Declare(services []service.Service) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, svc := range services {
		if svc.Process != nil {
			b.services[svc.Name] = svc
		}
	}
}

// declared gives a service as it is in the file now.
func (b *Backend) declared(name string) (service.Service, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	svc, known := b.services[name]
	return svc, known
}

// started runs the post_start hooks of an instance one after another. One that fails
// ends the instance, which is then a crash with that reason.
func (in *instance) started(hooks []service.Hook) {
	ctx, cancel := in.life()
	defer cancel()
	if err := in.hooks(ctx, "post_start", hooks); err != nil && ctx.Err() == nil {
		in.blame(err.Error())
		_ = in.Kill(context.Background())
	}
}

// stop runs the pre_stop hooks of an instance and then asks it to stop. One that fails
// is no reason to leave the instance running. It goes on after ctx, until the instance
// has ended.
func (in *instance) stop(sig int, hooks []service.Hook) {
	ctx, cancel := in.life()
	defer cancel()
	_ = in.hooks(ctx, "pre_stop", hooks)
	_ = in.command(ctx, "signal", func(c *keeper.Client) error { return c.Signal(ctx, in.unit.ID, sig) })
}

// life is a context that ends with the instance.
func (in *instance) life() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		select {
		case <-in.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// hooks runs hooks as children of the keeper; what they write is in the service's log.
func (in *instance) hooks(ctx context.Context, kind string, hooks []service.Hook) error {
	for i, h := range hooks {
		program, err := lookUp(&service.Process{Argv: h.Argv, Dir: h.Dir, Env: h.Env})
		if err != nil {
			return fmt.Errorf("%s failed: %w", kind, err)
		}
		u, err := in.backend.spawn(ctx, in.hookSpec(kind+"-"+strconv.Itoa(i+1), program, h))
		if err != nil {
			return fmt.Errorf("%s failed: cannot run %s: %w", kind, h.Argv[0], err)
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
			return fmt.Errorf("%s failed: %s: %w", kind, h.Argv[0], err)
		}
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
