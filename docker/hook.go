package docker

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/healing-bot/healbot/service"
)

// Declare tells the backend what the services of the project are now, those included
// that an earlier supervisor started: it is how a later stop knows of their hooks, and
// how a build finds the service that another one's image is made from.
func (b *Backend) Declare(services []service.Service) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, svc := range services {
		if svc.Image != nil {
			b.services[svc.Name] = svc
		}
	}
}

// declared gives a service as it is in the file now.
func (b *Backend) declared(name string) (service.Service, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	svc, known := b.services[name]
	return svc, known
}

// begin runs the post_start hooks of an instance one after another, beside it. One that
// fails ends the instance, which is then a crash with that reason.
func (i *Instance) begin(hooks []types.ServiceHook) {
	if len(hooks) == 0 {
		return
	}
	i.watch.backend.beside(func() {
		ctx, cancel := i.lifetime()
		defer cancel()
		if err := i.hooks(ctx, "post_start", hooks); err != nil && ctx.Err() == nil {
			i.blame(err.Error())
			i.urge(ctx, "SIGKILL")
		}
	})
}

// stop runs the pre_stop hooks of an instance, and then asks it to stop. One that fails
// is no reason to leave the instance running.
func (i *Instance) stop(sig string, hooks []types.ServiceHook) {
	i.watch.backend.beside(func() {
		ctx, cancel := i.lifetime()
		defer cancel()
		if err := i.hooks(ctx, "pre_stop", hooks); err != nil && ctx.Err() == nil {
			i.watch.backend.log.Warn("a hook failed", "service", i.about.String(), "why", err)
		}
		i.urge(ctx, sig)
	})
}

// beside runs f in a goroutine that Close waits for; not at all once the backend is closed.
func (b *Backend) beside(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.work.Go(f)
	}
}

// urge is send for one whom nobody waits for.
func (i *Instance) urge(ctx context.Context, sig string) {
	if ctx.Err() != nil {
		return
	}
	if err := i.send(ctx, sig); err != nil {
		i.watch.backend.log.Warn("cannot signal", "service", i.about.String(), "why", err)
	}
}

// lifetime is a context that ends with the instance, or with the backend.
func (i *Instance) lifetime() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		select {
		case <-i.ended:
			cancel()
		case <-i.watch.backend.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// hooks runs hooks in the container. What one of them said last is part of the error.
func (i *Instance) hooks(ctx context.Context, kind string, hooks []types.ServiceHook) error {
	for _, h := range hooks {
		if err := i.watch.backend.Hook(ctx, i.about.ID, h); err != nil {
			return fmt.Errorf("%s failed: %w", kind, err)
		}
	}
	return nil
}

// Hook runs a hook in a living container to its end. It fails when the hook does.
func (b *Backend) Hook(ctx context.Context, id string, h types.ServiceHook) error {
	var said lastLine
	code, err := b.Exec(ctx, id, Call{
		Argv: h.Command, Env: environment(h.Environment), Dir: h.WorkingDir, User: h.User, Privileged: h.Privileged,
		Out: &said, Err: &said,
	})
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", h.Command[0], err)
	case code != 0 && said.String() != "":
		return fmt.Errorf("%s: exit code %d (%s)", h.Command[0], code, said.String())
	case code != 0:
		return fmt.Errorf("%s: exit code %d", h.Command[0], code)
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
