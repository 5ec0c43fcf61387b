package native

import (
	"context"
	"maps"
	"slices"

	"github.com/healing-bot/healbot/service"
)

// Pythons gives the versions of Python that are found on path, the first choice
// first, each with the program that answers so.
func (b *Backend) Pythons(ctx context.Context, path string) (found []string) {
	seen := map[string]bool{}
	for _, name := range pythonNames(path) {
		if py, err := b.probe(ctx, name); err == nil && !seen[py.version] {
			seen[py.version] = true
			found = append(found, py.version+" ("+name+")")
		}
	}
	return found
}

// Interpreter says which Python a service would get, or why it would get none.
func (b *Backend) Interpreter(ctx context.Context, svc service.Service) (version string, err error) {
	get := b.builder
	if svc.Process.Python.Venv == "" {
		get = func(ctx context.Context, svc service.Service) (interpreter, error) {
			return b.interpreterFor(ctx, svc, variable(svc.Process.Env, "PATH"))
		}
	}
	py, err := get(ctx, svc)
	return py.version, err
}

// Program says why the command of a service can't be started; nil if it can.
func Program(svc service.Service) error {
	_, err := lookUp(svc.Process)
	return err
}

// Port says who holds a port of this host that a service wants; nil if it is free.
func (b *Backend) Port(p service.Port) error { return b.checkPorts([]service.Port{p}) }

// Limitable gives the kinds of limits that can be set on this machine, sorted, and
// whether all of them are those of cgroup v2.
func Limitable() (kinds []string, unified bool) {
	unified = true
	for _, at := range controllers() {
		unified = unified && at.unified
	}
	return slices.Sorted(maps.Keys(controllers())), unified
}
