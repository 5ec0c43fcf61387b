package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/healing-bot/healbot/native"
	"github.com/healing-bot/healbot/service"
)

const stampLayout = "2006-01-02T15:04:05.000Z"

// stampOf is the time of a line as it is shown; a dash where it is not known.
func stampOf(at time.Time) string {
	if at.IsZero() {
		return fmt.Sprintf("%-*s", len(stampLayout), "-")
	}
	return at.UTC().Format(stampLayout)
}

// untimed says of which services it is not known when all of their lines were written.
func (c *cli) untimed(all []service.Status, o logsOptions) {
	what := "shown without a time"
	switch {
	case !o.Since.IsZero() || !o.Until.IsZero():
		what = "left out"
	case !o.times:
		return
	}
	var names []string
	for _, st := range all {
		if st.LogPath != "" && !native.Timed(st.LogPath) {
			names = append(names, st.Name)
		}
	}
	if len(names) > 0 {
		c.warn("it was not noted when the older lines of %s were written: they are %s", strings.Join(names, ", "), what)
	}
}

// A written line waits for its turn.
type written struct {
	at, turn time.Time
	text     []byte
}

// byTime reads the lines of several replicas and shows them: merged, by time and
// without loss of each one's order, or each line as soon as it comes.
func byTime(
	ctx context.Context, all []service.Status, merged bool,
	read func(context.Context, service.Status, func(time.Time, []byte) error) error,
	show func(string, time.Time, []byte) error,
) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var reading sync.WaitGroup
	failed := make([]error, len(all))
	lines := make([]chan written, len(all))
	for i, st := range all {
		lines[i] = make(chan written, 256)
		emit := func(at time.Time, line []byte) error { return show(st.Name, at, line) }
		if merged && len(all) > 1 {
			emit = func(at time.Time, line []byte) error {
				select {
				case lines[i] <- written{at, at, bytes.Clone(line)}:
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		}
		reading.Go(func() {
			defer close(lines[i])
			if err := read(ctx, st, emit); err != nil && ctx.Err() == nil {
				failed[i] = fmt.Errorf("cannot show the logs of %s: %w", st.Name, err)
			}
		})
	}
	err := merge(all, lines, show)
	if err != nil {
		stop()
	}
	reading.Wait()
	return errors.Join(append(failed, err)...)
}

// merge shows the earliest of the first lines until none are left. A line without a
// time comes at the time of the one before it.
func merge(all []service.Status, lines []chan written, show func(string, time.Time, []byte) error) error {
	first := make([]*written, len(lines))
	next := func(i int) {
		before := first[i]
		first[i] = nil
		if w, open := <-lines[i]; open {
			if w.at.IsZero() && before != nil {
				w.turn = before.turn
			}
			first[i] = &w
		}
	}
	for i := range lines {
		next(i)
	}
	for {
		least := -1
		for i, w := range first {
			if w != nil && (least < 0 || w.turn.Before(first[least].turn)) {
				least = i
			}
		}
		if least < 0 {
			return nil
		}
		if err := show(all[least].Name, first[least].at, first[least].text); err != nil {
			return err
		}
		next(least)
	}
}
