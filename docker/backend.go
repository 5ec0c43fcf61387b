package docker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/client"
	"golang.org/x/sync/errgroup"

	"github.com/healing-bot/healbot/service"
)

// Options says which engine to use, for which project, and where to tell of it.
type Options struct {
	// Project is what Project gives back; the methods take theirs from their arguments.
	Project string
	// Host is the engine's address, such as unix:///var/run/docker.sock. "" takes
	// DOCKER_HOST and its companions from the environment, else the default socket.
	Host string
	// Logger hears of what no caller waits for: an engine that went away, a network that
	// stays. nil drops it.
	Logger *slog.Logger
	// Reach is called for the gateway of each network from which containers are to reach
	// native services: its address with the length of the network. It may be called again
	// for the same one. An error says that the gateway is no address of this host. nil: they
	// listen there already.
	Reach func(ctx context.Context, gateway netip.Prefix) error
}

// A Backend starts services as containers. Its methods may be called from several
// goroutines at once. Close it when it is no longer needed.
type Backend struct {
	service.Roll // as last declared or started

	host    string
	project string
	log     *slog.Logger
	reach   func(context.Context, netip.Prefix) error
	audit   time.Duration // how often all is inspected, whatever the events said
	done    chan struct{} // closed by Close
	work    sync.WaitGroup

	making sync.Mutex // held while networks and volumes are looked up and made

	mu        sync.Mutex // guards what follows
	closed    bool
	client    *client.Client // nil: not connected
	refused   error          // why the latest connection failed
	refusedAt time.Time
	watches   map[string]*watch        // by project
	pulled    map[string]bool          // images pulled or built because their policy says so each time
	builds    map[string]chan struct{} // a token in it: the image is being made
	followers []*follower
	byHand    chan *Instance
	back      chan struct{}
}

var errClosed = errors.New("the Docker backend is closed")

// New gives a backend. It does not connect: the engine may be absent, and may come and
// go for as long as the backend lives.
func New(o Options) *Backend {
	log := o.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Backend{
		Roll:    service.Roll{Kind: service.Container},
		host:    o.Host,
		project: o.Project,
		log:     log,
		audit:   auditEvery,
		reach:   o.Reach,
		done:    make(chan struct{}),
		watches: make(map[string]*watch),
		pulled:  make(map[string]bool),
		builds:  make(map[string]chan struct{}),
		byHand:  make(chan *Instance, 64),
		back:    make(chan struct{}, 1),
	}
}

// Close ends the backend's goroutines and connections and waits for them. Containers
// run on. A Wait that is still waiting returns an error; Close itself never does.
func (b *Backend) Close() error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil
	}
	b.closed = true
	cli := b.client
	b.client = nil
	close(b.done)
	b.mu.Unlock()
	b.work.Wait()
	if cli != nil {
		cli.Close()
	}
	return nil
}

// Project gives the project that the backend was made for.
func (b *Backend) Project() string { return b.project }

// ByHand gives the instances that came up because somebody started a container of the
// project with the engine's own commands, such as docker start or docker restart. A
// receiver may come late; what more than 64 of them did is then forgotten, and found
// by Adopt.
func (b *Backend) ByHand() <-chan *Instance { return b.byHand }

// Back tells that the engine answers again after it did not.
func (b *Backend) Back() <-chan struct{} { return b.back }

// Prepare makes ready what a container of svc needs: its image, which is pulled when
// pull_policy says so, its networks and its volumes. note hears how far a pull is.
//
// It fails with service.ErrOutside when the engine or the registry can't be reached,
// or an external network or volume is not there yet.
func (b *Backend) Prepare(ctx context.Context, svc service.Service, note func(string)) error {
	if err := isContainer(svc); err != nil {
		return err
	}
	return b.excused(ctx, b.prepare(ctx, svc, note))
}

func (b *Backend) prepare(ctx context.Context, svc service.Service, note func(string)) error {
	if err := b.prepareImage(ctx, svc, note); err != nil {
		return err
	}
	b.making.Lock()
	defer b.making.Unlock()
	for _, key := range svc.Image.Config.NetworksByPriority() {
		if _, err := b.ensureNetwork(ctx, svc, key); err != nil {
			return err
		}
	}
	return b.ensureVolumes(ctx, svc)
}

// removedAtOnce is how many containers are removed at the same time.
const removedAtOnce = 8

// Remove takes away every container that healbot made for project, running or not,
// with its unnamed volumes, and every network that healbot made for it. Named volumes
// stay, and so does a network that others still use, which is logged.
func (b *Backend) Remove(ctx context.Context, project string) error {
	found, err := b.ofProject(ctx, project)
	if err != nil {
		return err
	}
	var all errgroup.Group
	all.SetLimit(removedAtOnce)
	for _, c := range found {
		all.Go(func() error {
			if err := b.removeContainer(ctx, c.ID); err != nil {
				return fmt.Errorf("cannot remove container %s: %w", name(c.Names), err)
			}
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		return err
	}
	for _, c := range found {
		b.removeUnnamed(ctx, c)
	}
	return b.removeNetworks(ctx, project)
}

// ofProject lists the containers that healbot made for a project, those included that
// were run once.
func (b *Backend) ofProject(ctx context.Context, project string) ([]container.Summary, error) {
	found, err := b.list(ctx, labelProject+"="+project)
	if err != nil {
		return nil, err
	}
	once, err := b.list(ctx, labelOneOff+"="+project)
	return append(found, once...), err
}

// Left names the containers and networks that Remove would take away; nothing if one of
// them is of a project of the same name in another directory than dir.
func (b *Backend) Left(ctx context.Context, project, dir string) (names []string, err error) {
	found, err := b.ofProject(ctx, project)
	if err != nil {
		return nil, err
	}
	for _, c := range found {
		if c.Labels[composeDir] != dir {
			return nil, nil
		}
		names = append(names, "container "+name(c.Names))
	}
	networks, err := b.networksOf(ctx, project)
	for _, n := range networks {
		names = append(names, "network "+n.Name)
	}
	return names, err
}

// networksOf lists the networks that healbot made for a project.
func (b *Backend) networksOf(ctx context.Context, project string) ([]network.Summary, error) {
	return ask(ctx, b, callTime, func(ctx context.Context, cli *client.Client) ([]network.Summary, error) {
		return cli.NetworkList(ctx, network.ListOptions{Filters: labelled(labelProject + "=" + project)})
	})
}

func (b *Backend) removeContainer(ctx context.Context, id string) error {
	err := tell(ctx, b, slowTime, func(ctx context.Context, cli *client.Client) error {
		return cli.ContainerRemove(ctx, id, container.RemoveOptions{Force: true, RemoveVolumes: true})
	})
	if errdefs.IsNotFound(err) || errdefs.IsConflict(err) { // gone, or going
		return nil
	}
	return err
}

func (b *Backend) removeNetworks(ctx context.Context, project string) error {
	found, err := b.networksOf(ctx, project)
	if err != nil {
		return err
	}
	for _, n := range found {
		err := tell(ctx, b, callTime, func(ctx context.Context, cli *client.Client) error {
			return cli.NetworkRemove(ctx, n.ID)
		})
		switch {
		case err == nil, errdefs.IsNotFound(err):
		case errdefs.IsPermissionDenied(err), errdefs.IsConflict(err):
			b.log.Warn("a network stays, since containers of others use it", "network", n.Name)
		default:
			return fmt.Errorf("cannot remove network %s: %w", n.Name, err)
		}
	}
	return nil
}

func isContainer(svc service.Service) error {
	if svc.Kind != service.Container || svc.Image == nil {
		return fmt.Errorf("service %s is not a container", svc.Name)
	}
	return nil
}
