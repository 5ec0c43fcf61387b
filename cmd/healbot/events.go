package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/healing-bot/healbot/control"
	"github.com/healing-bot/healbot/runner"
	"github.com/healing-bot/healbot/service"
)

type eventsOptions struct {
	since, until string
	asJSON       bool
	services     []string
}

func (c *cli) eventsCommand() *cobra.Command {
	var o eventsOptions
	cmd := &cobra.Command{
		Use:   "events [SERVICE...]",
		Short: "Follow what becomes of services",
		Long: `Follow each change of a service's state, a line each, with its cause. With --since,
begin with the history, which also remembers earlier supervisors; without a
supervisor, end with it.`,
	}
	f := cmd.Flags()
	f.StringVar(&o.since, "since", "", "begin with what happened since then: 10m, 2006-01-02T15:04:05, or seconds since 1970")
	f.StringVar(&o.until, "until", "", "end at that time, written in the same ways")
	f.BoolVar(&o.asJSON, "json", false, "an object a line")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o.services = args
		return c.events(cmd.Context(), o)
	}
	return cmd
}

func (c *cli) events(ctx context.Context, o eventsOptions) error {
	since, err := moment("since", o.since)
	if err != nil {
		return err
	}
	until, err := moment("until", o.until)
	if err != nil {
		return err
	}
	dir, all, err := c.selected(ctx, o.services)
	if err != nil {
		return err
	}
	var changes <-chan service.Change
	if until.IsZero() || until.After(time.Now()) {
		if !until.IsZero() {
			var stop context.CancelFunc
			ctx, stop = context.WithDeadline(ctx, until)
			defer stop()
		}
		changes, err = c.changes(ctx, dir)
		if err != nil && (since.IsZero() || !errors.Is(err, control.ErrNone)) {
			return err
		}
	}
	show := c.eventPrinter(o.asJSON)
	var last map[string]int
	if !since.IsZero() {
		historyIsWritten(ctx)
		if last, err = replay(dir, all, since, until, show); err != nil {
			return err
		}
	}
	return follow(changes, o.services, last, show)
}

// errMissed ends a command that shows what happens and was not read in time.
var errMissed = hinted{
	errors.New("cannot follow any further: what happened was not read in time"),
	"run it again; healbot events --since 1h shows what was missed",
}

// follow shows the changes of the services that are meant, but for those up to the
// last of each replica.
func follow(changes <-chan service.Change, names []string, last map[string]int, show func(service.Change) error) error {
	if changes == nil {
		return nil
	}
	for ch := range changes {
		if ch.Missed {
			return errMissed
		}
		if !meant(ch.Status, names) || ch.Status.Seq <= last[ch.Status.Name] {
			continue
		}
		if err := show(ch); err != nil {
			return err
		}
	}
	return nil
}

// changes subscribes to what the supervisor sees from now on.
func (c *cli) changes(ctx context.Context, dir string) (<-chan service.Change, error) {
	client, err := control.Dial(ctx, runner.StateDir(dir))
	if err != nil {
		return nil, err
	}
	return client.Changes(ctx)
}

// historyLag is longer than the files of a project are behind what happens.
const historyLag = 200 * time.Millisecond

// historyIsWritten waits until what happened before now stands in the history.
func historyIsWritten(ctx context.Context) {
	select {
	case <-time.After(historyLag):
	case <-ctx.Done():
	}
}

// replay shows the history of the services that are meant, and gives the number of
// the last change of each.
func replay(dir string, all []service.Status, since, until time.Time, show func(service.Change) error) (map[string]int, error) {
	history, err := runner.History(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot read the history: %w", err)
	}
	wanted := map[string]bool{}
	for _, s := range all {
		wanted[s.Name] = true
	}
	last := map[string]int{}
	for _, ch := range history {
		if !wanted[ch.Status.Name] {
			continue
		}
		last[ch.Status.Name] = ch.Status.Seq
		if ch.At.Before(since) || !until.IsZero() && ch.At.After(until) {
			continue
		}
		if err := show(ch); err != nil {
			return nil, err
		}
	}
	return last, nil
}

func (c *cli) eventPrinter(asJSON bool) func(service.Change) error {
	if asJSON {
		out := json.NewEncoder(c.out)
		out.SetEscapeHTML(false)
		return func(ch service.Change) error { return out.Encode(pastOf(ch)) }
	}
	colour := c.colours(c.out)
	return func(ch service.Change) error {
		text := printable([]byte(ch.Status.Reason))
		if ch.Gone {
			text += ", removed from the project"
		}
		if ch.Note != "" {
			text += " [" + ch.Note + "]"
		}
		_, err := fmt.Fprintf(c.out, "%s  %s  %s  %s\n", ch.At.Local().Format("2006-01-02 15:04:05.000"),
			ch.Status.Name, colour.state(ch.Status.State, string(ch.Status.State)), text)
		return err
	}
}

// moment reads a time as docker does: an age, a date with or without time and zone, or
// seconds since 1970; the zero time for "".
func moment(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if age, err := time.ParseDuration(text); err == nil {
		return time.Now().Add(-age), nil
	}
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		return time.UnixMicro(int64(seconds * 1e6)), nil
	}
	for _, form := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02"} {
		if at, err := time.ParseInLocation(form, text, time.Local); err == nil {
			return at, nil
		}
	}
	return time.Time{}, hinted{usageError("cannot read the time %q of --%s", text, flag), "write it like 10m or 2006-01-02T15:04:05"}
}
