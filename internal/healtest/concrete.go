package healtest

import (
	"context"

	"github.com/healing-bot/healbot/runner"
	"github.com/healing-bot/healbot/service"
)

// A Concrete is a backend as its own package shows it: with its own type of instance,
// since it does not import runner.
type Concrete[I runner.Instance] interface {
	Prepare(ctx context.Context, svc service.Service, note func(string)) error
	Start(ctx context.Context, svc service.Service, replica, run int) (I, error)
	Adopt(ctx context.Context, project string) ([]I, error)
	Remove(ctx context.Context, project string) error
}

// Backend gives b as a runner.Backend.
func Backend[I runner.Instance](b Concrete[I]) runner.Backend { return backend[I]{b} }

type backend[I runner.Instance] struct{ Concrete[I] }

func (b backend[I]) Start(ctx context.Context, svc service.Service, replica, run int) (runner.Instance, error) {
	i, err := b.Concrete.Start(ctx, svc, replica, run)
	if err != nil {
		return nil, err
	}
	return i, nil
}

func (b backend[I]) Adopt(ctx context.Context, project string) ([]runner.Instance, error) {
	found, err := b.Concrete.Adopt(ctx, project)
	instances := make([]runner.Instance, 0, len(found))
	for _, i := range found {
		instances = append(instances, i)
	}
	return instances, err
}
