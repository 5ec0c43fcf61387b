package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/healing-bot/healbot/internal/socket"
	"github.com/healing-bot/healbot/service"
)

// ErrNone says that nobody supervises the project.
var ErrNone = errors.New("nothing supervises this project")

// A Client speaks to the supervisor of another process.
type Client struct {
	state string
	http  *http.Client
}

var _ Supervisor = (*Client)(nil)

// Dial finds the supervisor of the project whose private folder is state. The error
// is ErrNone if there is none.
func Dial(ctx context.Context, state string) (*Client, error) {
	c := &Client{state, &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, state) },
	}}}
	conn, err := dial(ctx, state)
	if err != nil {
		return nil, err
	}
	return c, conn.Close()
}

func dial(ctx context.Context, state string) (net.Conn, error) {
	conn, err := socket.Dial(ctx, state, socketName)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, ErrNone
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("cannot reach the supervisor: %w%s", err, whose(state))
	case err != nil:
		return nil, fmt.Errorf("cannot reach the supervisor at %s: %w", filepath.Join(state, socketName), err)
	}
	return conn, nil
}

// whose says who may do what the caller may not, going by the private folder.
func whose(state string) string {
	var st unix.Stat_t
	if unix.Stat(state, &st) != nil {
		return ""
	}
	owner := strconv.Itoa(int(st.Uid))
	if u, err := user.LookupId(owner); err == nil {
		owner = u.Username
	}
	return ": the project is " + owner + "'s; call healbot as that user"
}

// Close gives the connections back.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func (c *Client) request(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var data []byte
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	resp, err := c.send(ctx, method, path, data)
	if err != nil && ctx.Err() == nil {
		if !c.answers(ctx) {
			return nil, errors.New("the supervisor ended before it answered")
		}
		// Who is held up between its dial and its question, stopped or swapped out, is let
		// go of. The question was not begun.
		resp, err = c.send(ctx, method, path, data)
	}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, fmt.Errorf("cannot reach the supervisor: %w", err)
	}
	return resp, nil
}

func (c *Client) send(ctx context.Context, method, path string, data []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://healbot"+path, bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	return c.http.Do(req)
}

func (c *Client) call(ctx context.Context, method, path string, body any) (answer, error) {
	var a answer
	resp, err := c.request(ctx, method, path, body)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
		return a, fmt.Errorf("cannot read the supervisor's answer: %w", err)
	}
	if a.Error != "" {
		return a, errors.New(a.Error)
	}
	return a, nil
}

// Status implements Supervisor.
func (c *Client) Status(ctx context.Context) ([]service.Status, error) {
	a, err := c.call(ctx, http.MethodGet, "/v1/status", nil)
	return a.Statuses, err
}

// Do implements Supervisor.
func (c *Client) Do(ctx context.Context, cmd service.Command) (service.Report, error) {
	a, err := c.call(ctx, http.MethodPost, "/v1/do", cmd)
	return a.Report, err
}

// Changes implements Supervisor. A stream that breaks off while the supervisor lives on
// ends with a change that says so, see service.Change.Missed.
func (c *Client) Changes(ctx context.Context) (<-chan service.Change, error) {
	resp, err := c.request(ctx, http.MethodGet, "/v1/changes", nil)
	if err != nil {
		return nil, err
	}
	changes := make(chan service.Change)
	go func() {
		defer close(changes)
		defer resp.Body.Close()
		lines := json.NewDecoder(resp.Body)
		for {
			var change service.Change
			if err := lines.Decode(&change); err != nil {
				if errors.Is(err, io.EOF) || !c.answers(ctx) {
					return
				}
				change = service.Change{At: time.Now(), Missed: true}
			}
			select {
			case changes <- change:
			case <-ctx.Done():
				return
			}
			if change.Missed {
				return
			}
		}
	}()
	return changes, nil
}

// answers reports whether there is a supervisor still.
func (c *Client) answers(ctx context.Context) bool {
	conn, err := dial(ctx, c.state)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}
