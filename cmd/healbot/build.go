package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/healing-bot/healbot/docker"
	"github.com/healing-bot/healbot/service"
)

func (c *cli) buildCommand() *cobra.Command {
	var o docker.BuildOptions
	var args []string
	var quiet bool
	cmd := &cobra.Command{
		Use:   "build [SERVICE...]",
		Short: "Build the images of containers",
	}
	f := cmd.Flags()
	f.BoolVar(&o.NoCache, "no-cache", false, "use nothing that an earlier build left")
	f.BoolVar(&o.Pull, "pull", false, "fetch newer base images")
	f.StringArrayVar(&args, "build-arg", nil, "KEY=VALUE over the file's; may be given several times")
	f.BoolVarP(&quiet, "quiet", "q", false, "do not show what the build says")
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		o.Args = map[string]string{}
		for _, kv := range args {
			key, value, given := strings.Cut(kv, "=")
			if !given {
				value = os.Getenv(key)
			}
			o.Args[key] = value
		}
		return c.build(cmd.Context(), names, o, quiet)
	}
	return cmd
}

func (c *cli) build(ctx context.Context, names []string, o docker.BuildOptions, quiet bool) error {
	p, all, err := c.declaredServices(ctx, names)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(slices.Clone(all), func(s service.Service) bool { return s.Image == nil || s.Image.Config.Build == nil })
	if len(all) == 0 {
		c.warn("nothing to do: no service that is meant has a build section")
		return nil
	}
	containers := docker.New(docker.Options{Project: p.Name})
	defer containers.Close()
	scr := c.screen(nil)
	for _, svc := range all {
		say := func(line string) {
			if !quiet {
				_ = scr.output(svc.Name, []byte(line))
			}
		}
		if err := containers.Build(ctx, svc, o, say); err != nil {
			return fmt.Errorf("cannot build %s: %w", svc.Name, err)
		}
	}
	return nil
}
