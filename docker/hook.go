package docker

import (
	"context"
	"fmt"

	"github.com/healing-bot/healbot/internal/brief"
	"github.com/healing-bot/healbot/service"
)

// Hook runs a command in the container to its end; it fails when the command does, with
// what that said last. Cancelling ctx lets go of it.
func (i *Instance) Hook(ctx context.Context, _ string, h service.Hook) error {
	return i.watch.backend.Hook(ctx, i.about.ID, h)
}

// Hook is Instance.Hook for any living container.
func (b *Backend) Hook(ctx context.Context, id string, h service.Hook) error {
	var said brief.Last
	code, err := b.Exec(ctx, id, Call{
		Argv: h.Argv, Env: h.Env, Dir: h.Dir, User: h.User, Privileged: h.Privileged,
		Out: &said, Err: &said,
	})
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", h.Argv[0], err)
	case code != 0 && said.String() != "":
		return fmt.Errorf("%s: exit code %d (%s)", h.Argv[0], code, said.String())
	case code != 0:
		return fmt.Errorf("%s: exit code %d", h.Argv[0], code)
	}
	return nil
}
