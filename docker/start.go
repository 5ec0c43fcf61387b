package docker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/client"

	"github.com/healing-bot/healbot/service"
)

// Start begins run number run of one replica of svc and returns once its container is
// up. The container of an earlier run is started again if it was made from the same
// configuration, and replaced if not. One that runs already, because somebody started
// it by hand or an answer was lost, is taken as it is.
//
// It fails with service.ErrOutside when the engine can't be reached, a published port
// is in use, or the disk is full; and for good when the command does not exist, or the
// container's name belongs to a container that healbot did not make, which is never
// touched. A start that failed leaves no new container behind.
func (b *Backend) Start(ctx context.Context, svc service.Service, replica, run int) (*Instance, error) {
	if err := isContainer(svc); err != nil {
		return nil, err
	}
	i, err := b.begin(ctx, svc, replica, run)
	return i, b.excused(ctx, err)
}

// begin is Start while the engine lives.
func (b *Backend) begin(ctx context.Context, svc service.Service, replica, run int) (*Instance, error) {
	w, err := b.watch(svc.Project)
	if err != nil {
		return nil, err
	}
	cli, err := b.dial(ctx)
	if err != nil {
		return nil, err
	}
	b.Declare([]service.Service{svc})
	w.awaitStream(ctx)
	if svc, err = b.resolve(ctx, svc); err != nil {
		return nil, err
	}
	id, fresh, err := b.obtain(ctx, svc, replica)
	if errors.Is(err, errTheirs) {
		return w.register(ctx, id, run)
	}
	if err != nil {
		return nil, err
	}
	i, err := w.start(ctx, svc, id, run, fresh)
	if networkGone(err) && !fresh {
		if id, err = b.replace(ctx, svc, replica, id); err != nil {
			return nil, err
		}
		fresh = true
		i, err = w.start(ctx, svc, id, run, fresh)
	}
	if err == nil {
		b.lookEarly(i, svc, cli.ClientVersion())
		return i, nil
	}
	if fresh && !isOutside(err) {
		b.discard(id)
	}
	return nil, b.startFault(ctx, svc, err)
}

// start starts a container, with its files if it is fresh, and follows it. It is not
// abandoned half-way when ctx ends: the engine would go on, and nobody would know of the
// instance.
func (w *watch) start(ctx context.Context, svc service.Service, id string, run int, fresh bool) (*Instance, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if fresh {
		if err := w.backend.fill(ctx, svc, id); err != nil {
			return nil, err
		}
	}
	ctx = context.WithoutCancel(ctx)
	defer w.starting(id)()
	began := time.Now()
	err := tell(ctx, w.backend, slowTime, func(ctx context.Context, cli *client.Client) error {
		return cli.ContainerStart(ctx, id, container.StartOptions{})
	})
	if err != nil {
		return nil, err
	}
	i, err := w.register(ctx, id, run)
	if err == nil {
		i.from = i.about.Started
		if began.Before(i.from) { // else the engine's clock is not ours
			i.from = began
		}
	}
	return i, err
}

// Create makes the container of one replica of svc, which Prepare made ready, without
// starting it: the next Start takes it. One that is as it should be, or lives, is left
// alone. It fails as Start does.
func (b *Backend) Create(ctx context.Context, svc service.Service, replica int) error {
	found, err := b.list(ctx, marks(svc.Project, service.Key{Service: svc.Name, Replica: replica})...)
	if err != nil || slices.ContainsFunc(found, alive) {
		return err
	}
	if svc, err = b.resolve(ctx, svc); err == nil {
		_, _, err = b.obtain(ctx, svc, replica)
	}
	if err != nil {
		return b.startFault(ctx, svc, err)
	}
	return nil
}

// errTheirs says that a container lives that docker compose made: it is taken as it is.
var errTheirs = errors.New("the container belongs to docker compose")

// obtain gives the container that is to be started for one replica; fresh says that it
// never ran. With errTheirs it runs already, and is not healbot's.
func (b *Backend) obtain(ctx context.Context, svc service.Service, replica int) (id string, fresh bool, err error) {
	found, err := b.list(ctx, marks(svc.Project, service.Key{Service: svc.Name, Replica: replica})...)
	if err != nil {
		return "", false, err
	}
	for _, c := range found {
		switch {
		case !theirs(c.Labels):
		case alive(c):
			return c.ID, false, errTheirs
		default:
			return "", false, service.Outside(fmt.Errorf("docker compose made container %s, and it is %s; start it with docker compose start %s, or remove it with docker compose rm %[3]s", name(c.Names), c.State, svc.Name))
		}
	}
	var inherited []mount.Mount
	for _, c := range found {
		usable := false
		if id == "" {
			if usable, err = b.usable(ctx, svc, c); err != nil {
				return "", false, err
			}
		}
		if usable {
			id, fresh = c.ID, c.State == container.StateCreated
			continue
		}
		if id == "" && inherited == nil && !svc.Image.RenewVolumes {
			inherited = unnamedVolumes(c.Mounts)
		}
		if err := b.retire(ctx, c); err != nil {
			return "", false, err
		}
	}
	if id != "" {
		return id, fresh, nil
	}
	id, err = b.create(ctx, svc, replica, inherited)
	return id, true, err
}

// usable reports whether the container c can be started for svc: made from the same
// configuration, on networks that still are the same ones, and from the image that a
// pull or a build brought.
func (b *Backend) usable(ctx context.Context, svc service.Service, c container.Summary) (bool, error) {
	if svc.Renew && c.State != container.StateRunning {
		return false, nil
	}
	if c.Labels[labelHash] != svc.Hash || c.State == container.StateDead || c.State == container.StateRemoving {
		return false, nil
	}
	if (svc.Image.Config.PullPolicy == types.PullPolicyAlways || svc.Image.Config.Build != nil) && c.State != container.StateRunning {
		if id, err := b.imageID(ctx, svc.Image.Config.Image); err != nil || id != c.ImageID {
			return false, err
		}
	}
	if c.State == container.StateRunning || c.NetworkSettings == nil {
		return true, nil
	}
	if ok, err := b.bound(ctx, svc, c.ID); err != nil || !ok {
		return false, err
	}
	for key := range svc.Image.Config.Networks {
		declared := svc.Image.Networks[key]
		id, err := b.networkID(ctx, declared.Name)
		if err != nil {
			return false, err
		}
		joined := c.NetworkSettings.Networks[declared.Name]
		if joined == nil || (joined.NetworkID != "" && joined.NetworkID != id) {
			return false, nil
		}
	}
	return true, nil
}

// retire removes a container of ours that is not used again. Its unnamed volumes stay:
// their data goes along to the next one. A living one is asked to stop first.
func (b *Backend) retire(ctx context.Context, c container.Summary) error {
	if alive(c) {
		err := tell(ctx, b, slowTime, func(ctx context.Context, cli *client.Client) error {
			return cli.ContainerStop(ctx, c.ID, container.StopOptions{})
		})
		if err != nil && !errdefs.IsNotFound(err) {
			return err
		}
	}
	err := tell(ctx, b, slowTime, func(ctx context.Context, cli *client.Client) error {
		return cli.ContainerRemove(ctx, c.ID, container.RemoveOptions{Force: true})
	})
	if err != nil && !errdefs.IsNotFound(err) && !errdefs.IsConflict(err) {
		return fmt.Errorf("cannot replace container %s: %w", name(c.Names), err)
	}
	return nil
}

// replace makes a new container in place of one whose network is gone.
func (b *Backend) replace(ctx context.Context, svc service.Service, replica int, id string) (string, error) {
	old, err := b.inspect(ctx, id)
	if err != nil {
		return "", err
	}
	if err := b.retire(ctx, container.Summary{ID: id, Names: []string{old.Name}}); err != nil {
		return "", err
	}
	return b.create(ctx, svc, replica, unnamedVolumes(old.Mounts))
}

// discard removes a container that could not be started, also when the caller is gone.
func (b *Backend) discard(id string) {
	ctx, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()
	if err := b.removeContainer(ctx, id); err != nil {
		b.log.Warn("a container that could not be started stays", "container", id, "why", err)
	}
}

// create makes the container of one replica and joins it to its networks.
func (b *Backend) create(ctx context.Context, svc service.Service, replica int, inherited []mount.Mount) (string, error) {
	cli, err := b.dial(ctx)
	if err != nil {
		return "", err
	}
	api := cli.ClientVersion()
	config, err := containerConfig(svc, replica, api)
	if err != nil {
		return "", err
	}
	host, err := hostConfig(svc, inherited)
	if err != nil {
		return "", err
	}
	if err := b.nameNatives(ctx, svc, config, host); err != nil {
		return "", err
	}
	platform, err := parsePlatform(svc.Image.Config.Platform)
	if err != nil {
		return "", fmt.Errorf("service %s: %w", svc.Name, err)
	}
	if err := checkVolumes(svc, api); err != nil {
		return "", err
	}
	called := containerName(svc, replica)
	plan, err := planEndpoints(svc, called, api)
	if err != nil {
		return "", err
	}
	if image, err := b.imageID(ctx, config.Image); err == nil {
		config.Labels[composeImage] = image
	}
	made, err := ask(ctx, b, slowTime, func(ctx context.Context, cli *client.Client) (container.CreateResponse, error) {
		return cli.ContainerCreate(ctx, config, host, &network.NetworkingConfig{EndpointsConfig: plan.atOnce}, platform, called)
	})
	lost := errdefs.IsConflict(err)
	switch {
	case lost:
		if made.ID, err = b.conflict(ctx, svc, replica, called, err); err != nil {
			return "", err
		}
	case err != nil:
		return "", createFault(svc, err)
	}
	if err := b.join(ctx, made.ID, plan.later, lost); err != nil {
		b.discard(made.ID)
		return "", createFault(svc, err)
	}
	return made.ID, nil
}

// join connects a container to networks. One that was made by an earlier call, whose
// answer got lost, may be there already.
func (b *Backend) join(ctx context.Context, id string, networks map[string]*network.EndpointSettings, lost bool) error {
	for name, e := range networks {
		err := tell(ctx, b, callTime, func(ctx context.Context, cli *client.Client) error {
			return cli.NetworkConnect(ctx, name, id, e)
		})
		if err != nil && (!lost || !strings.Contains(err.Error(), "already exists in network")) {
			return err
		}
	}
	return nil
}

// conflict judges a name that is taken: by our own container, when an earlier answer of
// the engine was lost, or by a stranger.
func (b *Backend) conflict(ctx context.Context, svc service.Service, replica int, called string, conflict error) (string, error) {
	holder, err := b.inspect(ctx, called)
	switch {
	case isOutside(err), ctx.Err() != nil:
		return "", err
	case err != nil:
		return "", service.Outside(fmt.Errorf("cannot create container %s: %w", called, conflict))
	}
	l := holder.Config.Labels
	want := service.Key{Service: svc.Name, Replica: replica}
	if l[labelProject] == svc.Project && keyOf(l) == want {
		if l[labelHash] == svc.Hash && holder.State.Status != container.StateRemoving && !holder.State.Dead {
			return holder.ID, nil
		}
		return "", service.Outside(fmt.Errorf("container %s is still being removed", called))
	}
	return "", fmt.Errorf("the container name %s is taken by a container that healbot did not make for it (image %s, id %.12s); rename or remove that one, or set container_name", called, holder.Config.Image, holder.ID)
}

func alive(c container.Summary) bool {
	return c.State == container.StateRunning || c.State == container.StatePaused
}

func networkGone(err error) bool {
	return err != nil && errdefs.IsNotFound(err) && strings.Contains(err.Error(), "network")
}

func isOutside(err error) bool { return errors.Is(err, service.ErrOutside) }
