package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/docker/docker/client"

	"github.com/healing-bot/healbot/service"
)

// Deadlines of single calls to the engine.
const (
	pingTime = 5 * time.Second
	callTime = 30 * time.Second
	slowTime = 2 * time.Minute // create, start and remove, which wait for disks
)

// dial gives a client that has reached the engine. A client keeps the API version that
// it negotiated first, so each new connection gets a new one, pinged before its use.
func (b *Backend) dial(ctx context.Context) (*client.Client, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, errClosed
	}
	if b.client != nil {
		return b.client, nil
	}
	if b.refused != nil && time.Since(b.refusedAt) < time.Second {
		return nil, b.refused
	}
	cli, err := b.connect(ctx)
	if err != nil {
		if ctx.Err() == nil {
			b.refused, b.refusedAt = err, time.Now()
		}
		return nil, err
	}
	b.client, b.refused = cli, nil
	return cli, nil
}

// connect makes a new client and pings the engine with it.
func (b *Backend) connect(ctx context.Context) (*client.Client, error) {
	opts := []client.Opt{client.FromEnv, client.WithAPIVersionNegotiation()}
	if b.host != "" {
		opts = append(opts, client.WithHost(b.host))
	}
	cli, err := client.NewClientWithOpts(opts...)
	if err != nil {
		return nil, fmt.Errorf("cannot use the Docker engine: %w; check DOCKER_HOST", err)
	}
	limited, cancel := context.WithTimeout(ctx, pingTime)
	defer cancel()
	ping, err := cli.Ping(limited)
	if err != nil {
		cli.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, unreachable(cli.DaemonHost(), err)
	}
	cli.NegotiateAPIVersionPing(ping)
	return cli, nil
}

// drop forgets a client whose connection failed.
func (b *Backend) drop(cli *client.Client) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.client == cli {
		b.client = nil
	}
	cli.Close()
}

// ask makes one call to the engine, bounded by limit. An engine that does not answer
// is a reason outside the project.
func ask[T any](ctx context.Context, b *Backend, limit time.Duration, call func(context.Context, *client.Client) (T, error)) (T, error) {
	var none T
	cli, err := b.dial(ctx)
	if err != nil {
		return none, err
	}
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	answer, err := call(limited, cli)
	switch {
	case err == nil:
		return answer, nil
	case ctx.Err() != nil:
		return none, ctx.Err()
	case connectionLost(err):
		b.drop(cli)
		return none, unreachable(cli.DaemonHost(), err)
	}
	return none, err
}

// tell is ask for a call without answer.
func tell(ctx context.Context, b *Backend, limit time.Duration, call func(context.Context, *client.Client) error) error {
	_, err := ask(ctx, b, limit, func(ctx context.Context, cli *client.Client) (struct{}, error) {
		return struct{}{}, call(ctx, cli)
	})
	return err
}

func connectionLost(err error) bool {
	return client.IsErrConnectionFailed(err) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

func unreachable(host string, err error) error {
	why := strings.TrimPrefix(err.Error(), "error during connect: ")
	if errors.Is(err, context.DeadlineExceeded) {
		why = "no answer in time"
	} else if path, ok := strings.CutPrefix(host, "unix://"); ok {
		if cause := socketFault(path); cause != "" {
			why = cause
		}
	}
	return service.Outside(fmt.Errorf("the Docker engine is unreachable at %s: %s; is it running, and may you use it?", host, why))
}

// socketFault says why the engine's socket can't be connected to; the client's own
// message does not.
func socketFault(path string) string {
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		conn.Close()
		return ""
	}
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}
