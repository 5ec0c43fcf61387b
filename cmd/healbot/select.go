package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/healing-bot/healbot/docker"
	"github.com/healing-bot/healbot/runner"
	"github.com/healing-bot/healbot/service"
)

// selected gives the project's directory and the replicas of the services named, or
// of all.
func (c *cli) selected(ctx context.Context, names []string) (dir string, all []service.Status, err error) {
	dir, err = c.projectDirectory()
	if err != nil {
		return "", nil, err
	}
	all, _, err = c.statuses(ctx, dir)
	if err == nil {
		err = allKnown(all, names)
	}
	if err != nil {
		return "", nil, err
	}
	return dir, slices.DeleteFunc(all, func(s service.Status) bool { return !meant(s, names) }), nil
}

// replica gives one replica of a service.
func (c *cli) replica(ctx context.Context, name string, index int) (dir string, s service.Status, err error) {
	dir, all, err := c.selected(ctx, []string{name})
	if err != nil {
		return "", s, err
	}
	for _, s := range all {
		if s.Name == name || keyOf(s).Replica == index {
			return dir, s, nil
		}
	}
	return "", s, fmt.Errorf("%s has no replica %d: it has %d", name, index, len(all))
}

// known reads the file as the latest up did, so that a service is what it is to the
// supervisor. The profiles of services that are named are active, too.
func (c *cli) known(ctx context.Context, dir string, names ...string) (runner.Project, service.Source, error) {
	src, err := c.source()
	if err != nil {
		return runner.Project{}, src, err
	}
	if last, ok := recall(dir); ok {
		src = last.Source
	}
	src.Named = append(src.Named, names...)
	p, err := load(ctx, src, func(string, ...any) {})
	return p, src, err
}

// find gives the service of a name.
func find(p runner.Project, name string) (service.Service, error) {
	i := slices.IndexFunc(p.Services, func(s service.Service) bool { return s.Name == name })
	if i < 0 {
		return service.Service{}, fmt.Errorf("no such service: %s", name)
	}
	return p.Services[i], nil
}

// engine reaches the containers of a project.
func (c *cli) engine(dir string) *docker.Backend {
	last, _ := recall(dir)
	return docker.New(docker.Options{Project: last.Project})
}

// declaredServices gives the services of the file that are named, or all.
func (c *cli) declaredServices(ctx context.Context, names []string) (p runner.Project, all []service.Service, err error) {
	src, err := c.source()
	if err != nil {
		return p, nil, err
	}
	src.Named = names
	if p, err = load(ctx, src, func(string, ...any) {}); err != nil || len(names) == 0 {
		return p, p.Services, err
	}
	for _, name := range names {
		svc, err := find(p, name)
		if err != nil {
			return p, nil, err
		}
		all = append(all, svc)
	}
	return p, all, nil
}
