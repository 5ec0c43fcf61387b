package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/healing-bot/healbot/control"
	"github.com/healing-bot/healbot/docker"
	"github.com/healing-bot/healbot/native"
	"github.com/healing-bot/healbot/runner"
	"github.com/healing-bot/healbot/service"
)

// setUp gets what an up needs ready, one service after another: Python environments,
// images, networks, volumes, and containers that were not there. It starts nothing.
func (c *cli) setUp(ctx context.Context, o upOptions, p runner.Project) (err error) {
	lock, err := control.Acquire(runner.StateDir(p.Dir))
	if err != nil {
		return fmt.Errorf("cannot set up what is up: %w", err)
	}
	self, err := keeperArgv()
	if err != nil {
		return errors.Join(err, lock.Release())
	}
	clean := !runner.Left(p.Dir)
	natives, containers := native.New(p.Dir, self), docker.New(docker.Options{Project: p.Name})
	defer func() {
		if clean { // the keeper that built environments
			err = errors.Join(err, natives.Remove(context.WithoutCancel(ctx), p.Name))
		}
		natives.Close()
		err = errors.Join(err, containers.Close(), lock.Release())
	}()
	containers.Declare(p.Services)
	names := runner.Plan{Project: p, Names: o.services, NoDeps: o.noDeps}.Meant()
	for _, svc := range p.Services {
		if !slices.Contains(names, svc.Name) {
			continue
		}
		if svc.Kind == service.Native {
			err = natives.Prepare(ctx, svc, c.note(svc.Name))
		} else {
			err = createAll(ctx, containers, svc, c.note(svc.Name))
		}
		if err != nil {
			return fmt.Errorf("%s: %w", svc.Name, err)
		}
		c.warn("%s: ready to be started", svc.Name)
	}
	return nil
}

func createAll(ctx context.Context, containers *docker.Backend, svc service.Service, note func(string)) error {
	if err := containers.Prepare(ctx, svc, note); err != nil {
		return err
	}
	for n := range svc.Replicas {
		if err := containers.Create(ctx, svc, n+1); err != nil {
			return err
		}
	}
	return nil
}
