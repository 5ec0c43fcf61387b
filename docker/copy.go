package docker

import (
	"context"
	"fmt"
	"io"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
)

// CopyTo unpacks a tar archive into a folder of a container, which may be stopped.
func (b *Backend) CopyTo(ctx context.Context, id, dir string, archive io.Reader) error {
	cli, err := b.dial(ctx)
	if err != nil {
		return err
	}
	return copyFault(dir, cli.CopyToContainer(ctx, id, dir, archive, container.CopyToContainerOptions{}))
}

// CopyFrom gives a file or folder of a container as a tar archive, whose entries begin
// with its name. The caller closes it.
func (b *Backend) CopyFrom(ctx context.Context, id, path string) (io.ReadCloser, error) {
	cli, err := b.dial(ctx)
	if err != nil {
		return nil, err
	}
	archive, _, err := cli.CopyFromContainer(ctx, id, path)
	return archive, copyFault(path, err)
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
