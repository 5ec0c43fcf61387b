package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/healing-bot/healbot/service"
)

func (c *cli) scaleCommand() *cobra.Command {
	var noDeps bool
	cmd := &cobra.Command{
		Use:   "scale SERVICE=REPLICAS...",
		Short: "Change how many replicas of services run",
		Long: `Change how many replicas of services run, until the next healbot up, which takes the
numbers of the file again.`,
	}
	cmd.Flags().BoolVar(&noDeps, "no-deps", false, "leave the services that the named ones need alone")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		replicas, err := replicasOf("healbot scale", args)
		if err != nil {
			return err
		}
		if len(replicas) == 0 {
			return usageError("healbot scale takes SERVICE=REPLICAS")
		}
		return c.scale(cmd.Context(), replicas, noDeps)
	}
	return cmd
}

// replicasOf reads SERVICE=REPLICAS words.
func replicasOf(what string, words []string) (map[string]int, error) {
	replicas := map[string]int{}
	for _, word := range words {
		name, number, ok := strings.Cut(word, "=")
		n, err := strconv.Atoi(number)
		if !ok || err != nil || n < 0 || name == "" {
			return nil, usageError("%s takes SERVICE=REPLICAS, not %q", what, word)
		}
		replicas[name] = n
	}
	return replicas, nil
}

func (c *cli) scale(ctx context.Context, replicas map[string]int, noDeps bool) error {
	dir, err := c.projectDirectory()
	if err != nil {
		return err
	}
	_, src, err := c.known(ctx, dir, slices.Sorted(maps.Keys(replicas))...)
	if err != nil {
		return err
	}
	scale := maps.Clone(src.Scale)
	if scale == nil {
		scale = map[string]int{}
	}
	maps.Copy(scale, replicas)
	src.Scale = scale
	return c.ask(ctx, service.Command{
		Verb: service.VerbUp, Services: slices.Sorted(maps.Keys(replicas)), Source: &src, NoDeps: noDeps,
	})
}

func (c *cli) rmCommand() *cobra.Command {
	var force, stop, volumes bool
	cmd := &cobra.Command{
		Use:   "rm [SERVICE...]",
		Short: "Remove the containers of services that rest",
		Long: `Remove the containers of services that do not run. A native service leaves nothing
behind that could be removed; its log stays.`,
	}
	f := cmd.Flags()
	f.BoolVarP(&force, "force", "f", false, "do not ask")
	f.BoolVarP(&stop, "stop", "s", false, "stop the services first")
	f.BoolVarP(&volumes, "volumes", "v", false, "remove their unnamed volumes, too")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if c.dryRun {
			return c.playRemove(cmd.Context(), args, stop)
		}
		if stop {
			if err := c.ask(cmd.Context(), service.Command{Verb: service.VerbStop, Services: args}); err != nil {
				return err
			}
		}
		return c.remove(cmd.Context(), args, force, volumes)
	}
	return cmd
}

func (c *cli) remove(ctx context.Context, names []string, force, volumes bool) error {
	dir, all, err := c.selected(ctx, names)
	if err != nil {
		return err
	}
	var resting []service.Status
	var list []string
	for _, s := range all {
		if s.Kind == service.Container && s.StartedAt == nil && s.State.Settled() {
			resting, list = append(resting, s), append(list, s.Name)
		}
	}
	if len(resting) == 0 {
		c.warn("nothing to do: no container rests")
		return nil
	}
	if !force {
		if err := c.confirm("remove the containers of " + strings.Join(list, ", ")); err != nil {
			return err
		}
	}
	containers := c.engine(dir)
	defer containers.Close()
	for _, s := range resting {
		removed, err := containers.RemoveStopped(ctx, containers.Project(), keyOf(s), volumes)
		for _, name := range removed {
			c.warn("removed %s", name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// confirm asks the person at the terminal.
func (c *cli) confirm(what string) error {
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return hinted{fmt.Errorf("cannot %s without being told to", what), "--force does not ask"}
	}
	fmt.Fprintf(c.err, "%s? [y/N] ", what)
	answer, _ := bufio.NewReader(os.Stdin).ReadString('\n')
	if strings.HasPrefix(strings.ToLower(strings.TrimSpace(answer)), "y") {
		return nil
	}
	return &exitError{exitFailed, errors.New("nothing was removed")}
}
