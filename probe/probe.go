package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/healing-bot/healbot/internal/brief"
	"github.com/healing-bot/healbot/service"
)

// defaultTimeout is Compose's, for a check that has none.
const defaultTimeout = 30 * time.Second

// Run does one check and returns its verdict. A command runs in dir with env, whose
// entries are KEY=VALUE and are its whole environment. A check of the Docker engine is
// not run here, so its verdict is Unable; so is that of a cancelled ctx.
func Run(ctx context.Context, c service.Check, dir string, env []string) service.Verdict {
	timeout := c.Timeout
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var v service.Verdict
	switch {
	case c.HTTP != nil:
		v = get(limited, *c.HTTP)
	case c.TCP != "":
		v = connect(limited, c.TCP)
	case len(c.Command) > 0:
		v = command(limited, c.Command, dir, env)
	case c.Engine:
		return unable("the Docker engine runs this check")
	default:
		return unable("nothing to check")
	}
	switch {
	case ctx.Err() != nil:
		return unable("the check was abandoned")
	case limited.Err() != nil && !v.Healthy:
		return service.Verdict{Why: fmt.Sprintf("no answer within %s", timeout)}
	}
	return v
}

func connect(ctx context.Context, address string) service.Verdict {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return fault(err)
	}
	conn.Close()
	return service.Verdict{Healthy: true}
}

func unable(why string) service.Verdict { return service.Verdict{Unable: true, Why: why} }

// fault says in a few words why a connection failed.
func fault(err error) service.Verdict {
	var dns *net.DNSError
	var address *net.AddrError
	switch {
	case errors.As(err, &address):
		return unable(address.Error())
	case errors.As(err, &dns) && dns.IsNotFound:
		return service.Verdict{Why: "no such host: " + dns.Name}
	case errors.Is(err, syscall.ECONNREFUSED):
		return service.Verdict{Why: "connection refused"}
	case errors.Is(err, syscall.ECONNRESET):
		return service.Verdict{Why: "connection reset"}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return service.Verdict{Why: "connection closed without an answer"}
	}
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return service.Verdict{Why: brief.Line(err.Error())}
}
