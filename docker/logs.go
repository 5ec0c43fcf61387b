package docker

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/client"

	"github.com/healing-bot/healbot/service"
)

// followPause is how long a follower waits before it looks for the engine, or for the
// next container, again.
const followPause = time.Second

// nextStart is how long one wait for a container's start lasts before the containers are
// looked at again, whatever the events said.
const nextStart = 30 * time.Second

// lastLook is how long a follower that is to end may take to read what was written by then.
const lastLook = 2 * time.Second

// Logs gives the lines of one replica's container to emit, without their newlines,
// standard output and standard error in the order in which the engine got them. A line
// is valid only until emit returns. A line of more than 64 KiB comes in pieces of
// that length, the last of which is shorter; a last line that has no newline comes as it is. The time of a line is the engine's.
//
// With o.Follow it goes on until ctx ends, over restarts, over replacements of the
// container and over absences of the engine, without gap or repetition, gives what was
// written by then, and returns ctx's error; it also gives what hooks write that this backend
// runs meanwhile. Without it, it ends with the last line there is. It fails when the
// container's logging driver keeps nothing that can be read.
func (b *Backend) Logs(ctx context.Context, project string, key service.Key, o service.LogOptions, emit func(at time.Time, line []byte)) error {
	r := &logReader{backend: b, project: project, key: key, emit: emit, tail: "all", since: o.Since, until: o.Until}
	if o.Tail >= 0 {
		r.tail = strconv.Itoa(o.Tail)
	}
	if o.Follow && o.Tail == 0 && o.Since.IsZero() {
		r.tail, r.since = "all", time.Now() // a container may write before it is found
	}
	if o.Follow {
		f := &follower{project: project, key: key, emit: emit}
		defer b.joined(f)()
		r.emit = f.hear
	}
	for {
		began := time.Now()
		err := r.read(ctx, o.Follow)
		switch {
		case ctx.Err() != nil && o.Follow:
			r.rest()
			return ctx.Err()
		case ctx.Err() != nil:
			return ctx.Err()
		case !o.Follow || !o.Until.IsZero() && time.Now().After(o.Until):
			return err
		case err == nil:
			err = r.awaitStart(ctx, began)
		case !isOutside(err) && !errors.Is(err, errCut):
			return err
		}
		if err != nil {
			select {
			case <-time.After(followPause):
			case <-ctx.Done():
			case <-b.done:
				return errClosed
			}
		}
	}
}

// rest gives what the container wrote since the last reading of it.
func (r *logReader) rest() {
	ctx, cancel := context.WithTimeout(context.Background(), lastLook)
	defer cancel()
	_ = r.read(ctx, false)
}

var errCut = errors.New("the engine cut the output off")

// Output gives the lines that the instance wrote since it started, and then those that
// it writes, until ctx ends or the instance does; neither is an error. An engine that is
// away is waited for. It fails if the logging driver keeps nothing that can be read.
func (i *Instance) Output(ctx context.Context, emit func(line []byte)) error {
	b := i.watch.backend
	r := &logReader{
		backend: b, project: i.watch.project, key: i.about.Key, emit: func(_ time.Time, line []byte) { emit(line) },
		only: i.about.ID, id: i.about.ID, asked: i.from,
	}
	for {
		err := r.read(ctx, true)
		if err != nil && ctx.Err() == nil && !isOutside(err) && !errors.Is(err, errCut) {
			return err
		}
		select {
		case <-i.ended:
			return nil
		case <-ctx.Done():
			return nil
		case <-b.done:
			return errClosed
		case <-time.After(followPause):
		}
	}
}

// A logReader remembers how far it is in the output of one replica.
type logReader struct {
	backend *Backend
	project string
	key     service.Key
	emit    func(time.Time, []byte)
	only    string // id of the one container that is meant; "" for each one of the replica

	id    string    // container that was read last
	since time.Time // nothing older is wanted
	until time.Time // nothing newer is wanted
	tail  string    // lines wanted of the first container
	asked time.Time // when it was asked for its lines last
	last  time.Time // time of its last line that was given
	same  int       // lines given that bear that time
	skip  int       // lines of that time still to be left out
}

// read gives what the latest container has to say, from where the last reading ended.
// With follow, it returns when that container has ended.
func (r *logReader) read(ctx context.Context, follow bool) error {
	c, err := r.latest(ctx)
	if err != nil || c == nil {
		return err
	}
	if c.ID != r.id {
		if r.id != "" {
			r.tail = "all"
		}
		r.id, r.asked, r.last, r.same = c.ID, time.Time{}, time.Time{}, 0
	}
	options := container.LogsOptions{ShowStdout: true, ShowStderr: true, Timestamps: true, Follow: follow, Tail: r.tail}
	if from := r.last; !from.IsZero() || !r.asked.IsZero() {
		if from.IsZero() {
			from = r.asked
		}
		options.Since, options.Tail = unixTime(from), "all"
	} else if !r.since.IsZero() {
		options.Since = unixTime(r.since)
	}
	if !r.until.IsZero() {
		options.Until = unixTime(r.until)
	}
	r.asked, r.skip = time.Now(), r.same
	return r.stream(ctx, c, options)
}

// latest gives the container of the replica, the newest if there are several, or the
// only one that is wanted; nil if there is none.
func (r *logReader) latest(ctx context.Context) (*container.InspectResponse, error) {
	if r.only != "" {
		return r.inspect(ctx, r.only)
	}
	found, err := r.backend.list(ctx, marks(r.project, r.key)...)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return r.inspect(ctx, found[0].ID)
}

func (r *logReader) inspect(ctx context.Context, id string) (*container.InspectResponse, error) {
	c, err := r.backend.inspect(ctx, id)
	if errdefs.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &c, nil
}

func (r *logReader) stream(ctx context.Context, c *container.InspectResponse, options container.LogsOptions) error {
	driver := c.HostConfig.LogConfig.Type
	if driver == "none" {
		return fmt.Errorf("cannot show the logs of %s: its logging driver none keeps nothing", r.key)
	}
	cli, err := r.backend.dial(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	late := time.AfterFunc(callTime, cancel)
	body, err := cli.ContainerLogs(ctx, c.ID, options)
	late.Stop()
	if err != nil {
		return r.fault(cli, driver, err)
	}
	defer body.Close()
	stop := context.AfterFunc(ctx, func() { body.Close() })
	defer stop()
	if err := readLines(body, c.Config.Tty, r.given); err != nil {
		return r.fault(cli, driver, fmt.Errorf("%w: %w", errCut, err))
	}
	return nil
}

func (r *logReader) fault(cli *client.Client, driver string, err error) error {
	switch {
	case errdefs.IsNotFound(err):
		return nil // removed meanwhile; its output went with it
	case strings.Contains(err.Error(), "does not support reading"):
		return fmt.Errorf("cannot show the logs of %s: its logging driver %s can't be read; look where it sends them", r.key, driver)
	case errors.Is(err, errCut):
		return err
	case connectionLost(err):
		r.backend.drop(cli)
		return unreachable(cli.DaemonHost(), err)
	}
	return fmt.Errorf("cannot show the logs of %s: %s", r.key, plain(err))
}

// given passes a line on unless an earlier reading did. Readings resume at the time of
// the last line, which several lines may share.
func (r *logReader) given(at time.Time, line []byte) {
	if at.Equal(r.last) {
		if r.skip > 0 {
			r.skip--
			return
		}
		r.same++
	} else {
		r.last, r.same, r.skip = at, 1, 0
	}
	r.emit(at, line)
}

// awaitStart waits until a container of the replica has been started since began.
func (r *logReader) awaitStart(ctx context.Context, began time.Time) error {
	cli, err := r.backend.dial(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, nextStart)
	defer cancel()
	f := labelled(marks(r.project, r.key)...)
	f.Add("type", string(events.ContainerEventType))
	f.Add("event", string(events.ActionStart))
	messages, errs := cli.Events(ctx, events.ListOptions{Filters: f, Since: unixTime(began)})
	select {
	case <-messages:
		return nil
	case <-r.backend.done:
		return errClosed
	case err := <-errs:
		if ctx.Err() != nil {
			return nil
		}
		r.backend.drop(cli)
		return err
	}
}

// unixTime is a time as the engine's API takes it: seconds and nanoseconds.
func unixTime(t time.Time) string { return fmt.Sprintf("%d.%09d", t.Unix(), t.Nanosecond()) }
