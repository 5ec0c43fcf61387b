package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/healing-bot/healbot/docker"
	"github.com/healing-bot/healbot/native"
	"github.com/healing-bot/healbot/service"
)

func (c *cli) logsCommand() *cobra.Command {
	var follow, noPrefix bool
	var tail string
	cmd := &cobra.Command{Use: "logs [SERVICE...]", Short: "Show what services wrote"}
	f := cmd.Flags()
	f.BoolVarP(&follow, "follow", "f", false, "go on with what they write from now on")
	f.StringVarP(&tail, "tail", "n", "all", "number of last lines of each service, or all")
	f.BoolVar(&noPrefix, "no-log-prefix", false, "without the names of the services")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o := service.LogOptions{Tail: -1, Follow: follow}
		if tail != "all" {
			n, err := strconv.Atoi(tail)
			if err != nil || n < 0 {
				return usageError("--tail takes a number of lines or all, not %q", tail)
			}
			o.Tail = n
		}
		return c.logs(cmd.Context(), args, o, noPrefix)
	}
	return cmd
}

func (c *cli) logs(ctx context.Context, names []string, o service.LogOptions, noPrefix bool) error {
	dir, err := c.projectDirectory()
	if err != nil {
		return err
	}
	all, _, err := c.statuses(ctx, dir)
	if err != nil {
		return err
	}
	if err := allKnown(all, names); err != nil {
		return err
	}
	containers := c.containers(dir, all)
	if containers != nil {
		defer containers.Close()
	}
	scr := c.screen(all)
	var reading sync.WaitGroup
	var mu sync.Mutex
	var failed error
	for _, st := range all {
		if !meant(st, names) {
			continue
		}
		emit := func(line []byte) error { return scr.output(st.Name, line) }
		if noPrefix {
			emit = scr.plain
		}
		reading.Go(func() {
			if err := showLogs(ctx, st, containers, o, emit); err != nil && ctx.Err() == nil {
				mu.Lock()
				defer mu.Unlock()
				failed = errors.Join(failed, fmt.Errorf("cannot show the logs of %s: %w", st.Name, err))
			}
		})
	}
	reading.Wait()
	return failed
}

// containers reaches the output of a project's containers; nil if it has none.
func (c *cli) containers(dir string, all []service.Status) *docker.Backend {
	for _, st := range all {
		if st.Kind == service.Container {
			return c.engine(dir)
		}
	}
	return nil
}

func allKnown(all []service.Status, names []string) error {
	var have []string
	for _, st := range all {
		have = append(have, st.Name)
	}
	for _, name := range names {
		known := false
		for _, st := range all {
			known = known || meant(st, []string{name})
		}
		if !known {
			return fmt.Errorf("no such service: %s (there are %s)", name, strings.Join(have, ", "))
		}
	}
	return nil
}

func byNameOf(a, b service.Status) int { return cmp.Compare(a.Name, b.Name) }

// keyOf is the key that a status is about.
func keyOf(st service.Status) service.Key {
	replica := 1
	if tail, found := strings.CutPrefix(st.Name, st.Service+"-"); found {
		replica, _ = strconv.Atoi(tail)
	}
	return service.Key{Service: st.Service, Replica: replica}
}

// lastLines gives the last lines of a native replica's log.
func lastLines(st service.Status, n int) (lines []string) {
	if st.LogPath == "" {
		return nil
	}
	native.Logs(context.Background(), st.LogPath, service.LogOptions{Tail: n}, func(line []byte) error {
		lines = append(lines, printable(line))
		return nil
	})
	return lines
}
