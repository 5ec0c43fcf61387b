package native

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Pause suspends all processes of a replica, whose key is given, until Unpause, or until
// the replica is asked to stop. It needs a control group of version 2.
func (b *Backend) Pause(_ context.Context, replica string) error {
	err := b.freeze(replica, "1")
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("it has no control group of version 2, by which it could be suspended: run healbot as root, or under systemd-run --user --scope")
	}
	return err
}

// Unpause lets a replica go on.
func (b *Backend) Unpause(_ context.Context, replica string) error {
	if !b.frozen(replica) {
		return errors.New("it is not paused")
	}
	return b.freeze(replica, "0")
}

func (b *Backend) freeze(replica, state string) error {
	if nursery() == "" {
		return fs.ErrNotExist
	}
	return os.WriteFile(filepath.Join(nursery(), b.groupName(replica), "cgroup.freeze"), []byte(state), 0)
}

// thaw lets a replica go on that may be paused.
func (b *Backend) thaw(replica string) {
	if b.frozen(replica) {
		_ = b.freeze(replica, "0")
	}
}

func (b *Backend) frozen(replica string) bool {
	return nursery() != "" && has(filepath.Join(nursery(), b.groupName(replica)), "cgroup.freeze", "1")
}
