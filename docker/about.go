package docker

import (
	"context"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/client"
)

// About says which engine answers: its version, and the version of its API that is
// spoken with it.
func (b *Backend) About(ctx context.Context) (version, api string, err error) {
	v, err := ask(ctx, b, pingTime, func(ctx context.Context, cli *client.Client) (types.Version, error) {
		api = cli.ClientVersion()
		return cli.ServerVersion(ctx)
	})
	return v.Version, api, err
}

// HasImage reports whether an image is there already.
func (b *Backend) HasImage(ctx context.Context, ref string) bool {
	_, err := b.imageID(ctx, ref)
	return err == nil
}
