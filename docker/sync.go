package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/client"

	"github.com/healing-bot/healbot/service"
)

// A Pair is a file or folder of this host, and where it is in a container.
type Pair struct{ Host, Container string }

// Sync makes files and folders of a living container what they are on this host, root's
// and with the same mode; those that are gone from this host go from the container, for
// which it needs an rm. What is in a folder is not looked at.
func (b *Backend) Sync(ctx context.Context, id string, pairs []Pair) error {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	var gone []string
	copied := 0
	for _, p := range pairs {
		info, err := os.Lstat(p.Host)
		if errors.Is(err, fs.ErrNotExist) {
			gone = append(gone, p.Container)
			continue
		}
		if err == nil {
			err = packFile(w, p.Host, strings.TrimPrefix(path.Clean(p.Container), "/"), fs.FileInfoToDirEntry(info))
		}
		if err != nil {
			return fmt.Errorf("cannot copy %s: %w", p.Host, err)
		}
		copied++
	}
	if err := w.Close(); err != nil {
		return err
	}
	var failed error
	if copied > 0 {
		failed = b.CopyTo(ctx, id, "/", &archive, false)
	}
	if len(gone) == 0 {
		return failed
	}
	return errors.Join(failed, b.erase(ctx, id, gone))
}

func (b *Backend) erase(ctx context.Context, id string, gone []string) error {
	if err := b.Hook(ctx, id, service.Hook{Argv: append([]string{"rm", "-rf", "--"}, gone...), User: "0"}, nil); err != nil {
		return fmt.Errorf("cannot remove %s: %w", gone[0], err)
	}
	return nil
}

// Prune removes images that were built for project and have no name any more, and that no
// container uses.
func (b *Backend) Prune(ctx context.Context, project string) error {
	return tell(ctx, b, slowTime, func(ctx context.Context, cli *client.Client) error {
		_, err := cli.ImagesPrune(ctx, filters.NewArgs(filters.Arg("dangling", "true"), filters.Arg("label", labelProject+"="+project)))
		return err
	})
}
