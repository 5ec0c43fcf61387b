package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/spf13/cobra"

	"github.com/healing-bot/healbot/docker"
	"github.com/healing-bot/healbot/native"
	"github.com/healing-bot/healbot/service"
)

// logsOptions are the flags of logs.
type logsOptions struct {
	service.LogOptions
	noPrefix, noColour, times bool
	index                     int // replica, from 1; 0 for all
}

func (c *cli) logsCommand() *cobra.Command {
	var o logsOptions
	var tail, since, until string
	cmd := &cobra.Command{Use: "logs [SERVICE...]", Short: "Show what services wrote"}
	f := cmd.Flags()
	f.BoolVarP(&o.Follow, "follow", "f", false, "go on with what they write from now on")
	f.StringVarP(&tail, "tail", "n", "all", "number of last lines of each service, or all")
	f.StringVar(&since, "since", "", "nothing older: a time as 2026-01-31T14:05:00Z, or how long ago as 42m")
	f.StringVar(&until, "until", "", "nothing newer: a time, or how long ago")
	f.BoolVarP(&o.times, "timestamps", "t", false, "with the time of each line")
	f.BoolVar(&o.noPrefix, "no-log-prefix", false, "without the names of the services")
	f.BoolVar(&o.noColour, "no-color", false, "no colours")
	f.IntVar(&o.index, "index", 0, "which replica, from 1; all unless given")
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		o.Tail = -1
		if tail != "all" {
			n, err := strconv.Atoi(tail)
			if err != nil || n < 0 {
				return usageError("--tail takes a number of lines or all, not %q", tail)
			}
			o.Tail = n
		}
		if o.Since, err = moment("since", since); err != nil {
			return err
		}
		if o.Until, err = moment("until", until); err != nil {
			return err
		}
		return c.logs(cmd.Context(), args, o)
	}
	return cmd
}

func (c *cli) logs(ctx context.Context, names []string, o logsOptions) error {
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
	wanted := slices.DeleteFunc(slices.Clone(all), func(st service.Status) bool {
		return !meant(st, names) || o.index > 0 && keyOf(st).Replica != o.index
	})
	c.untimed(wanted, o)
	scr := c.screen(all)
	scr.noPrefix, scr.colour = o.noPrefix, scr.colour && palette(!o.noColour)
	return byTime(ctx, wanted, !o.Follow, func(ctx context.Context, st service.Status, emit func(time.Time, []byte) error) error {
		return showLogs(ctx, st, containers, o.LogOptions, emit)
	}, func(name string, at time.Time, line []byte) error {
		var stamp string
		if o.times {
			stamp = stampOf(at) + " "
		}
		return scr.stamped(name, stamp, line)
	})
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
	native.Logs(context.Background(), st.LogPath, service.LogOptions{Tail: n}, func(_ time.Time, line []byte) error {
		lines = append(lines[max(0, len(lines)+1-n):], ansi.Truncate(printable(line), 500, " …")) // a long line comes in pieces
		return nil
	})
	return lines
}
