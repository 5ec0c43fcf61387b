package docker

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"

	"github.com/healing-bot/healbot/service"
)

// An Image is what a container of a project was made from.
type Image struct {
	service.Key
	Container  string // its name
	ID         string // of the image
	Repository string // "" if nothing names it any more
	Tag        string
	Platform   string
	Size       int64
	Created    time.Time
}

// Images gives the images of a project's containers, running or not, in the order of
// their services.
func (b *Backend) Images(ctx context.Context, project string) ([]Image, error) {
	found, err := b.list(ctx, labelProject+"="+project)
	if err != nil {
		return nil, err
	}
	all := make([]Image, 0, len(found))
	for _, c := range found {
		about, err := ask(ctx, b, callTime, func(ctx context.Context, cli *client.Client) (image.InspectResponse, error) {
			return cli.ImageInspect(ctx, c.ImageID)
		})
		if err != nil && !errdefs.IsNotFound(err) {
			return nil, err
		}
		i := Image{
			Key: keyOf(c.Labels), Container: name(c.Names), ID: c.ImageID, Size: about.Size,
			Platform: strings.Trim(about.Os+"/"+about.Architecture, "/"), Created: engineTime(about.Created),
		}
		for _, ref := range about.RepoTags {
			if at := strings.LastIndexByte(ref, ':'); at > 0 && (i.Repository == "" || ref == c.Image) {
				i.Repository, i.Tag = ref[:at], ref[at+1:]
			}
		}
		all = append(all, i)
	}
	slices.SortFunc(all, func(a, b Image) int {
		if a.Service != b.Service {
			return strings.Compare(a.Service, b.Service)
		}
		return a.Replica - b.Replica
	})
	return all, nil
}

// Outdated gives those replicas of services whose container was made from another image
// than the one that bears the image's name now.
func (b *Backend) Outdated(ctx context.Context, project string, services []service.Service) (all []service.Key, err error) {
	if !slices.ContainsFunc(services, func(s service.Service) bool { return s.Image != nil }) {
		return nil, nil
	}
	found, err := b.list(ctx, labelProject+"="+project)
	if err != nil {
		return nil, err
	}
	for _, c := range found {
		key, made := keyOf(c.Labels), c.Labels[composeImage]
		i := slices.IndexFunc(services, func(s service.Service) bool { return s.Name == key.Service && s.Image != nil })
		if i < 0 || made == "" {
			continue
		}
		id, err := b.imageID(ctx, services[i].Image.Config.Image)
		switch {
		case errdefs.IsNotFound(err):
		case err != nil:
			return nil, err
		case id != made:
			all = append(all, key)
		}
	}
	return all, nil
}

// RemoveImage takes an image's name away, and the image if it has no other; removed is
// false if there is none of that name.
func (b *Backend) RemoveImage(ctx context.Context, ref string) (removed bool, err error) {
	err = tell(ctx, b, slowTime, func(ctx context.Context, cli *client.Client) error {
		_, err := cli.ImageRemove(ctx, ref, image.RemoveOptions{})
		return err
	})
	switch {
	case errdefs.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("cannot remove image %s: %s", ref, plain(err))
	}
	return true, nil
}

// Pull fetches the image of a service, whatever its pull policy says; only if it is
// missing here, if missing says so. note hears how far it is.
func (b *Backend) Pull(ctx context.Context, svc service.Service, missing bool, note func(string)) error {
	if err := isContainer(svc); err != nil {
		return err
	}
	if missing {
		if _, err := b.imageID(ctx, svc.Image.Config.Image); !errdefs.IsNotFound(err) {
			return err
		}
	}
	return b.pull(ctx, svc.Image.Config.Image, svc.Image.Config.Platform, note)
}

// RemoveStopped takes away the containers of a replica that do not run, with their
// unnamed volumes if volumes says so, and gives their names.
func (b *Backend) RemoveStopped(ctx context.Context, project string, key service.Key, volumes bool) (removed []string, err error) {
	found, err := b.list(ctx, ours(project, key)...)
	if err != nil {
		return nil, err
	}
	for _, c := range found {
		if c.State == container.StateRunning || c.State == container.StatePaused || c.State == container.StateRestarting {
			continue
		}
		err := tell(ctx, b, slowTime, func(ctx context.Context, cli *client.Client) error {
			return cli.ContainerRemove(ctx, c.ID, container.RemoveOptions{RemoveVolumes: volumes})
		})
		if err != nil && !errdefs.IsNotFound(err) && !errdefs.IsConflict(err) {
			return removed, fmt.Errorf("cannot remove container %s: %s", name(c.Names), plain(err))
		}
		removed = append(removed, name(c.Names))
	}
	return removed, nil
}
