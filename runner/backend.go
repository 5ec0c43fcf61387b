package runner

import (
	"context"

	"github.com/healing-bot/healbot/service"
)

// A Backend starts instances of one kind. It knows nothing of health, restarts or
// order. Its methods may be called from several goroutines at once.
type Backend interface {
	// Declare tells what the services of the project are from now on, those that an
	// earlier supervisor started included; services of another kind are passed over. What
	// is not said at Start applies to live instances too, such as the ports they listen on.
	Declare(services []service.Service)

	// Prepare makes ready what an instance of svc needs: image and networks, or the
	// Python environment. It is called before every Start and returns at once when
	// nothing is to be done. note tells people how far it is; it is not called after
	// Prepare returned.
	Prepare(ctx context.Context, svc service.Service, note func(string)) error

	// Start begins run number run of one replica of svc and returns once it is live.
	// Cancelling ctx abandons the start, not the instance. An error that wraps
	// service.ErrOutside may pass; any other is final.
	Start(ctx context.Context, svc service.Service, replica, run int) (Instance, error)

	// Adopt finds the instances that an earlier supervisor left, those included that
	// ended while nobody was there: their Wait returns at once.
	Adopt(ctx context.Context, project string) ([]Instance, error)

	// Remove takes away what is left of project when all its instances have ended:
	// containers, networks, sockets, helper processes. Logs stay.
	Remove(ctx context.Context, project string) error
}

// An Instance is one live process tree, or one container.
type Instance interface {
	// About says what the instance is; it stays true for the instance's whole life.
	About() service.Instance

	// Wait returns how the instance ended, once nothing of it is left: not its leader,
	// nor anything the leader started. It may be called again and then answers the same.
	// Cancelling ctx gives up waiting and harms nothing.
	Wait(ctx context.Context) (service.Exit, error)

	// Hook runs a command beside the instance, to its end, and fails when that does. The
	// name is that of no other hook of the instance under way. Cancelling ctx ends the
	// command, or lets go of it where the backend can't end it.
	Hook(ctx context.Context, name string, h service.Hook) error

	// Signal asks the instance to stop, or whatever sig ("SIGTERM") means to it. An
	// instance that has ended already is no error.
	Signal(ctx context.Context, sig string) error

	// Kill ends the instance and everything it started, at once. It does not wait.
	Kill(ctx context.Context) error

	// Health gives the engine's own verdicts; nil if it has none.
	Health() <-chan service.Verdict

	// Output gives the lines that the instance wrote since it started, without their
	// newline, and then those that it writes, until ctx ends or the instance does;
	// neither is an error. A line is valid until emit returns. It fails when there is no
	// output that can be read.
	Output(ctx context.Context, emit func(line []byte)) error
}

// A Concrete is a backend as its own package shows it: with its own type of instance,
// since it does not import this package.
type Concrete[I Instance] interface {
	Declare(services []service.Service)
	Prepare(ctx context.Context, svc service.Service, note func(string)) error
	Start(ctx context.Context, svc service.Service, replica, run int) (I, error)
	Adopt(ctx context.Context, project string) ([]I, error)
	Remove(ctx context.Context, project string) error
}

// Of gives b as a Backend.
func Of[I Instance](b Concrete[I]) Backend { return backend[I]{b} }

type backend[I Instance] struct{ Concrete[I] }

func (b backend[I]) Start(ctx context.Context, svc service.Service, replica, run int) (Instance, error) {
	i, err := b.Concrete.Start(ctx, svc, replica, run)
	if err != nil {
		return nil, err
	}
	return i, nil
}

func (b backend[I]) Adopt(ctx context.Context, project string) ([]Instance, error) {
	found, err := b.Concrete.Adopt(ctx, project)
	instances := make([]Instance, 0, len(found))
	for _, i := range found {
		instances = append(instances, i)
	}
	return instances, err
}
