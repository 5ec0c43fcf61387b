package docker

import (
	"context"
	"fmt"
	"io"
	"path"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
)

// CopyTo unpacks a tar archive into a folder of a container, which may be stopped. What it
// holds belongs to whom the archive says, or with owned to the container's user, if it has one.
func (b *Backend) CopyTo(ctx context.Context, id, dir string, archive io.Reader, owned bool) error {
	cli, err := b.dial(ctx)
	if err != nil {
		return err
	}
	return copyFault(dir, cli.CopyToContainer(ctx, id, dir, archive, container.CopyToContainerOptions{CopyUIDGID: owned}))
}

// CopyFrom gives a file or folder of a container as a tar archive, whose entries begin
// with its name; with follow, what a link leads to, under that one's name. The caller
// closes it.
func (b *Backend) CopyFrom(ctx context.Context, id, from string, follow bool) (io.ReadCloser, error) {
	cli, err := b.dial(ctx)
	if err != nil {
		return nil, err
	}
	if follow {
		about, err := cli.ContainerStatPath(ctx, id, from)
		if err != nil {
			return nil, copyFault(from, err)
		}
		if about.LinkTarget != "" { // the engine has followed the whole chain
			from = path.Join(path.Dir(from), about.LinkTarget)
			if path.IsAbs(about.LinkTarget) {
				from = about.LinkTarget
			}
		}
	}
	archive, _, err := cli.CopyFromContainer(ctx, id, from)
	return archive, copyFault(from, err)
}

// OneOffs lists the containers of a service that were made for one command and are there
// still.
func (b *Backend) OneOffs(ctx context.Context, name string) (ids []string, err error) {
	found, err := b.list(ctx, labelOneOff+"="+b.project, composeService+"="+name)
	for _, c := range found {
		ids = append(ids, c.ID)
	}
	return ids, err
}

// IsDir reports whether path is a folder in a container.
func (b *Backend) IsDir(ctx context.Context, id, path string) (bool, error) {
	cli, err := b.dial(ctx)
	if err != nil {
		return false, err
	}
	about, err := cli.ContainerStatPath(ctx, id, path)
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	return about.Mode.IsDir(), copyFault(path, err)
}

func copyFault(path string, err error) error {
	switch {
	case err == nil:
		return nil
	case errdefs.IsNotFound(err):
		return fmt.Errorf("no such file or folder in the container: %s", path)
	}
	return fmt.Errorf("%s", plain(err))
}
