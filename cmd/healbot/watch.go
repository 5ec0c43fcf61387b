package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/healing-bot/healbot/control"
	"github.com/healing-bot/healbot/runner"
	"github.com/healing-bot/healbot/service"
)

var errWaitTimeout = errors.New("the time of --wait-timeout is over")

// meant reports whether a status is of one of the services named; all are if none is.
func meant(s service.Status, names []string) bool {
	return len(names) == 0 || slices.Contains(names, s.Service) || slices.Contains(names, s.Name)
}

// watch lets a supervisor carry out a command and shows what happens meanwhile.
func (c *cli) watch(ctx context.Context, s control.Supervisor, want service.Command) (service.Report, error) {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	changes, err := s.Changes(watching)
	if err != nil {
		return service.Report{}, err
	}
	all, err := s.Status(ctx)
	if err != nil {
		return service.Report{}, err
	}
	scr := c.progress(all)
	shown := make(chan struct{})
	go func() {
		scr.follow(changes)
		close(shown)
	}()
	report, err := s.Do(ctx, want)
	stop()
	<-shown
	for _, st := range report.Statuses { // the last changes may not have come through
		if meant(st, want.Services) {
			scr.change(service.Change{Status: st})
		}
	}
	for _, note := range report.Notes {
		c.warn("%s", note)
	}
	return report, err
}

// progress is a screen on stderr, where it is in nobody's way.
func (c *cli) progress(all []service.Status) *screen {
	s := c.screen(all)
	s.out, s.colour = c.err, c.painted(c.err)
	return s
}

// waitReady returns when every replica that is meant is ready, or as soon as one
// can't be.
func (c *cli) waitReady(ctx context.Context, s control.Supervisor, p runner.Project, o upOptions) error {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	changes, err := s.Changes(watching)
	if err != nil {
		return err
	}
	names := runner.Plan{Project: p, Names: o.services, NoDeps: o.noDeps}.Meant()
	scr := c.progress(nil)
	for {
		all, err := s.Status(ctx)
		if errors.Is(context.Cause(ctx), errWaitTimeout) {
			return timedOut(s, o)
		}
		if err != nil {
			return err
		}
		all = slices.DeleteFunc(all, func(st service.Status) bool { return !slices.Contains(names, st.Service) })
		ready, in, err := judge(all)
		if ready || err != nil {
			return err
		}
		select {
		case change, open := <-changes:
			switch {
			case change.Missed: // how all is, is asked in any case
				changes, err = s.Changes(watching)
			case !open && ctx.Err() == nil:
				err = errors.New("the supervisor ended while its services were waited for")
			default:
				scr.change(change)
			}
			if err != nil {
				return err
			}
		case <-time.After(in):
		}
	}
}

// judge reports whether all are ready; if only time is missing, in how long to look
// again. The error names a replica that can't become ready.
func judge(all []service.Status) (ready bool, in time.Duration, err error) {
	ready, in = true, time.Minute
	now := time.Now()
	for _, s := range all {
		switch {
		case s.State == service.Stopped:
			continue // a user wants it so
		case s.State == service.Failed, s.State == service.MaxRestarts, s.Held > 1:
			return false, 0, notReady(s)
		}
		ok, left := s.Ready(now)
		ready = ready && ok
		if !ok && left > 0 {
			in = min(in, left)
		}
	}
	return ready, in, nil
}

// notReady says why a replica will not become ready, with what it wrote last.
func notReady(s service.Status) error {
	text := fmt.Sprintf("%s is %s: %s", s.Name, s.State, s.Reason)
	for _, line := range lastLines(s, 5) {
		text += "\n  " + s.Name + " | " + line
	}
	return hinted{
		&exitError{exitFailed, errors.New(text)},
		"the stack stays up; see healbot ps and healbot logs " + s.Service + ", or end it with healbot down",
	}
}

// timedOut names what was not ready in time.
func timedOut(s control.Supervisor, o upOptions) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	all, err := s.Status(ctx)
	if err != nil {
		return &exitError{exitTimeout, err}
	}
	var late []string
	for _, st := range all {
		if ok, _ := st.Ready(time.Now()); !ok && st.State != service.Stopped {
			late = append(late, fmt.Sprintf("%s is %s: %s", st.Name, st.State, st.Reason))
		}
	}
	return &exitError{exitTimeout, fmt.Errorf("not ready after %d seconds:\n%s", o.waitTimeout, strings.Join(late, "\n"))}
}
