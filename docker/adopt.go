package docker

import (
	"context"
	"errors"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
)

// Adopt finds the containers of project that an earlier supervisor left. One that ended
// while nobody looked is among them, and its Wait returns at once; it stays until it is
// started again or removed, so an end that was counted already comes again with the
// same ID and Started. One that never ran is no instance: Start picks it up. What docker
// compose runs for the project is among them, with no Hash; see Instance.
func (b *Backend) Adopt(ctx context.Context, project string) ([]*Instance, error) {
	w, err := b.watch(project)
	if err != nil {
		return nil, err
	}
	found, err := b.list(ctx, composeProject+"="+project, composeOneOff+"=False")
	if err != nil {
		return nil, err
	}
	w.awaitStream(ctx)
	once, err := b.list(ctx, labelOneOff+"="+project)
	if err != nil {
		return nil, err
	}
	for _, c := range once {
		b.open(ctx, c.Names, c.Labels, alive(c))
	}
	var adopted []*Instance
	for _, c := range found {
		if c.State == container.StateCreated || c.State == container.StateRemoving || theirs(c.Labels) && !alive(c) {
			continue
		}
		i, err := w.register(ctx, c.ID, 0)
		if errdefs.IsNotFound(err) || errors.Is(err, errNeverRan) {
			continue
		}
		if err != nil {
			return nil, err
		}
		adopted = append(adopted, i)
	}
	return adopted, nil
}
