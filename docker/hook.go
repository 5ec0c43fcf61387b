package docker

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/healing-bot/healbot/service"
)

// Hook runs a command in the container to its end; it fails when the command does, with
// what that said last. Cancelling ctx lets go of it.
func (i *Instance) Hook(ctx context.Context, _ string, h service.Hook) error {
	return i.watch.backend.Hook(ctx, i.about.ID, h)
}

// Hook is Instance.Hook for any living container.
func (b *Backend) Hook(ctx context.Context, id string, h service.Hook) error {
	var said lastLine
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

// A lastLine keeps the last line that is not blank of what is written to it, and of that
// line the first 200 bytes.
type lastLine struct{ line, last []byte }

// Write implements io.Writer; it never fails.
func (l *lastLine) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		text, after, ended := bytes.Cut(rest, []byte("\n"))
		rest = after
		if room := 200 - len(l.line); room > 0 {
			l.line = append(l.line, text[:min(room, len(text))]...)
		}
		if ended {
			l.keep()
			l.line = l.line[:0]
		}
	}
	return len(p), nil
}

func (l *lastLine) keep() {
	if len(bytes.TrimSpace(l.line)) > 0 {
		l.last = append(l.last[:0], l.line...)
	}
}

// String gives the line without what would spoil a message.
func (l *lastLine) String() string {
	l.keep()
	return strings.TrimSpace(strings.ToValidUTF8(string(l.last), "?"))
}
