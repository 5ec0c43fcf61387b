package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/healing-bot/healbot/docker"
	"github.com/healing-bot/healbot/runner"
	"github.com/healing-bot/healbot/service"
)

func (c *cli) imagesCommand() *cobra.Command {
	var format string
	var quiet bool
	cmd := &cobra.Command{
		Use:   "images [SERVICE...]",
		Short: "Show the images that containers were made from",
	}
	cmd.Flags().StringVar(&format, "format", "table", "table or json")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "only the ids of the images")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if format != "table" && format != "json" {
			return usageError("--format takes table or json, not %q", format)
		}
		return c.images(cmd.Context(), args, format, quiet)
	}
	return cmd
}

func (c *cli) images(ctx context.Context, names []string, format string, quiet bool) error {
	dir, shown, err := c.selected(ctx, names)
	if err != nil {
		return err
	}
	containers := c.engine(dir)
	defer containers.Close()
	all, err := containers.Images(ctx, containers.Project())
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(i docker.Image) bool {
		return !slices.ContainsFunc(shown, func(s service.Status) bool { return s.Service == i.Service })
	})
	if quiet {
		for _, i := range all {
			fmt.Fprintln(c.out, i.ID)
		}
		return nil
	}
	if format == "json" {
		return json.NewEncoder(c.out).Encode(all)
	}
	heads := []string{"SERVICE", "CONTAINER", "REPOSITORY", "TAG", "PLATFORM", "IMAGE ID", "SIZE", "CREATED"}
	var rows [][]string
	for _, i := range all {
		rows = append(rows, []string{
			i.String(), i.Container, dash(i.Repository), dash(i.Tag), dash(i.Platform), shortID(i.ID),
			units.HumanSize(float64(i.Size)), units.HumanDuration(time.Since(i.Created)) + " ago",
		})
	}
	return render(c.out, heads, rows)
}

// shortID is an image's id as docker prints it.
func shortID(id string) string {
	const algorithm = "sha256:"
	if len(id) > len(algorithm)+12 {
		return id[len(algorithm) : len(algorithm)+12]
	}
	return id
}

func (c *cli) pullCommand() *cobra.Command {
	var quiet, ignore, needs bool
	var policy string
	cmd := &cobra.Command{
		Use:   "pull [SERVICE...]",
		Short: "Fetch the images of containers",
	}
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "do not say how far it is")
	cmd.Flags().BoolVar(&ignore, "ignore-pull-failures", false, "go on, and end with 0, when one can't be had")
	cmd.Flags().BoolVar(&needs, "include-deps", false, "fetch also those of what the named services need")
	cmd.Flags().StringVar(&policy, "policy", "", "always, or missing: leave alone what is here")
	cmd.Flags().Bool("ignore-buildable", false, "accepted for docker compose's sake: what can be built is never fetched")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if policy != "" && policy != "always" && policy != "missing" {
			return usageError("--policy takes always or missing, not %q", policy)
		}
		err := c.pull(cmd.Context(), args, quiet, needs, policy == "missing")
		if ignore && err != nil {
			c.warn("%v", err)
			return nil
		}
		return err
	}
	return cmd
}

func (c *cli) pull(ctx context.Context, names []string, quiet, needs, missing bool) error {
	p, all, err := c.declaredServices(ctx, names)
	if err != nil {
		return err
	}
	if needs {
		all = withNeeds(p, names)
	}
	all = slices.DeleteFunc(slices.Clone(all), func(s service.Service) bool { return s.Image == nil || buildable(s) })
	if c.dryRun {
		return c.playPull(ctx, p, all, missing)
	}
	return c.pullAll(ctx, p, all, quiet, missing)
}

// pullAll fetches the images of services, all at once.
func (c *cli) pullAll(ctx context.Context, p runner.Project, all []service.Service, quiet, missing bool) error {
	containers := docker.New(docker.Options{Project: p.Name})
	defer containers.Close()
	atOnce, err := c.limit()
	if err != nil {
		return err
	}
	var pulling errgroup.Group
	pulling.SetLimit(cmp.Or(atOnce, -1))
	var mu sync.Mutex // guards failed and stderr
	var failed error
	for _, svc := range all {
		note := c.note(svc.Name)
		pulling.Go(func() error {
			err := containers.Pull(ctx, svc, missing, func(text string) {
				mu.Lock()
				defer mu.Unlock()
				if !quiet {
					note(text)
				}
			})
			mu.Lock()
			defer mu.Unlock()
			failed = errors.Join(failed, err)
			return nil
		})
	}
	_ = pulling.Wait()
	return failed
}
