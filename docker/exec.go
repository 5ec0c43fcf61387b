package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"
	"github.com/docker/docker/pkg/stdcopy"
	"github.com/docker/go-connections/nat"

	"github.com/healing-bot/healbot/service"
)

// A Call is a command that a user runs in a container, and the streams it gets.
type Call struct {
	Argv       []string
	Env        []string // KEY=VALUE, on top of the container's
	Dir        string   // "" for the container's own
	User       string   // "" for the container's own
	Privileged bool
	TTY        bool
	In         io.Reader // nil: no input
	Detach     bool      // leave it running, without any stream
	Out, Err   io.Writer // with a TTY all goes to Out
	// Resize tells of the terminal's size, the present one first; nil without a TTY.
	Resize <-chan Size
}

// A Size is that of a terminal, in characters.
type Size struct{ Width, Height int }

// Exec runs a command in a living container and returns its exit code. Cancelling ctx
// gives up its streams; the engine has no way to end the command.
func (b *Backend) Exec(ctx context.Context, id string, call Call) (code int, err error) {
	cli, err := b.dial(ctx)
	if err != nil {
		return 0, err
	}
	made, err := cli.ContainerExecCreate(ctx, id, container.ExecOptions{
		Cmd: call.Argv, Env: call.Env, WorkingDir: call.Dir, User: call.User, Privileged: call.Privileged,
		Tty: call.TTY, AttachStdin: call.In != nil, AttachStdout: !call.Detach, AttachStderr: !call.Detach,
	})
	if err == nil && call.Detach {
		err = cli.ContainerExecStart(ctx, made.ID, container.ExecStartOptions{Detach: true})
	}
	if err != nil {
		return 0, callFault(err)
	}
	if call.Detach {
		return 0, nil
	}
	stream, err := cli.ContainerExecAttach(ctx, made.ID, container.ExecAttachOptions{Tty: call.TTY})
	if err != nil {
		return 0, callFault(err)
	}
	defer stream.Close()
	ended := make(chan struct{})
	defer close(ended)
	go call.resize(ended, func(o container.ResizeOptions) { _ = cli.ContainerExecResize(ctx, made.ID, o) })
	if err := call.copy(ctx, stream); err != nil {
		return 0, err
	}
	done, err := cli.ContainerExecInspect(ctx, made.ID)
	if err != nil {
		return 0, callFault(err)
	}
	return done.ExitCode, nil
}

func callFault(err error) error {
	if errdefs.IsConflict(err) || errdefs.IsNotFound(err) {
		return fmt.Errorf("cannot run it: %s", plain(err))
	}
	return fmt.Errorf("cannot run it: %w", err)
}

// copy carries the streams of a call until its output ends.
func (call Call) copy(ctx context.Context, stream types.HijackedResponse) error {
	stop := context.AfterFunc(ctx, stream.Close)
	defer stop()
	if call.In != nil {
		go func() {
			_, _ = io.Copy(stream.Conn, call.In)
			_ = stream.CloseWrite()
		}()
	}
	var err error
	if call.TTY {
		_, err = io.Copy(call.Out, stream.Reader)
	} else {
		_, err = stdcopy.StdCopy(call.Out, call.Err, stream.Reader)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("the connection to it was cut: %w", err)
	}
	return nil
}

func (call Call) resize(ended <-chan struct{}, tell func(container.ResizeOptions)) {
	for {
		select {
		case s := <-call.Resize:
			tell(container.ResizeOptions{Width: uint(s.Width), Height: uint(s.Height)})
		case <-ended:
			return
		}
	}
}

// Published gives the address of this host at which a port of a living container is
// reached; the port is 0 if it is not published.
func (b *Backend) Published(ctx context.Context, id string, p service.Port) (host string, port int, err error) {
	c, err := b.inspect(ctx, id)
	if err != nil {
		return "", 0, err
	}
	for _, at := range c.NetworkSettings.Ports[nat.Port(strconv.Itoa(p.Target)+"/"+p.Protocol)] {
		if port, err = strconv.Atoi(at.HostPort); err == nil {
			return at.HostIP, port, nil
		}
	}
	return "", 0, nil
}

// Pause suspends every process of a living container, and Unpause lets them go on.
func (b *Backend) Pause(ctx context.Context, id string) error {
	return tell(ctx, b, callTime, func(ctx context.Context, cli *client.Client) error { return cli.ContainerPause(ctx, id) })
}

// Unpause lets a container go on that was paused.
func (b *Backend) Unpause(ctx context.Context, id string) error {
	return tell(ctx, b, callTime, func(ctx context.Context, cli *client.Client) error { return cli.ContainerUnpause(ctx, id) })
}
