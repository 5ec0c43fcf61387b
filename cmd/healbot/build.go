package main

import (
	"context"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/healing-bot/healbot/docker"
	"github.com/healing-bot/healbot/runner"
	"github.com/healing-bot/healbot/service"
)

func (c *cli) buildCommand() *cobra.Command {
	var o buildOptions
	var args []string
	cmd := &cobra.Command{
		Use:   "build [SERVICE...]",
		Short: "Build the images of containers",
	}
	f := cmd.Flags()
	f.BoolVar(&o.NoCache, "no-cache", false, "use nothing that an earlier build left")
	f.BoolVar(&o.Pull, "pull", false, "fetch newer base images")
	f.StringArrayVar(&args, "build-arg", nil, "KEY=VALUE over the file's; may be given several times")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "do not show what the build says")
	f.BoolVar(&o.push, "push", false, "push images that the file names to their registries")
	f.StringArrayVar(&o.SSH, "ssh", nil, "let the build use this agent or key: default, or ID=PATH; may be given several times")
	f.StringVar(&o.Builder, "builder", "", "`NAME` of a builder of docker buildx")
	f.StringVar(&o.Provenance, "provenance", "", "attestation of how the image was made, instead of the file's: true, false or mode=max")
	f.StringVar(&o.SBOM, "sbom", "", "attestation of what is in the image, instead of the file's: true, false or generator=IMAGE")
	f.BoolVar(&o.needs, "with-dependencies", false, "build also what the named services need")
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		o.Args = map[string]string{}
		for _, kv := range args {
			key, value, given := strings.Cut(kv, "=")
			if !given {
				value = os.Getenv(key)
			}
			o.Args[key] = value
		}
		return c.build(cmd.Context(), names, o)
	}
	return cmd
}

// buildOptions are the flags of build.
type buildOptions struct {
	docker.BuildOptions
	quiet, push, needs bool
}

func (c *cli) build(ctx context.Context, names []string, o buildOptions) error {
	p, all, err := c.declaredServices(ctx, names)
	if err != nil {
		return err
	}
	if o.needs {
		all = withNeeds(p, names)
	}
	all = slices.DeleteFunc(slices.Clone(all), func(s service.Service) bool { return !buildable(s) })
	if len(all) == 0 {
		c.warn("nothing to do: no service that is meant has a build section")
		return nil
	}
	if c.dryRun {
		return c.playImages(all, "built")
	}
	return c.buildAll(ctx, p, all, o)
}

// withNeeds gives the services that are named, or all, and what they need.
func withNeeds(p runner.Project, names []string) []service.Service {
	meant := runner.Plan{Project: p, Names: names}.Meant()
	return slices.DeleteFunc(slices.Clone(p.Services), func(s service.Service) bool { return !slices.Contains(meant, s.Name) })
}

func buildable(s service.Service) bool { return s.Image != nil && s.Image.Config.Build != nil }

func (c *cli) buildAll(ctx context.Context, p runner.Project, all []service.Service, o buildOptions) error {
	containers := docker.New(docker.Options{Project: p.Name})
	defer containers.Close()
	containers.Declare(p.Services)
	scr := c.screen(nil)
	for _, svc := range all {
		say := func(line string) {
			if !o.quiet && c.progressAs != "quiet" {
				_ = scr.output(svc.Name, []byte(line))
			}
		}
		if err := containers.Build(ctx, svc, o.BuildOptions, say); err != nil {
			return err
		}
		if o.push && svc.Image.Config.Image != p.Name+"-"+svc.Name {
			if err := containers.Push(ctx, svc, say); err != nil {
				return err
			}
		}
	}
	return nil
}

// freshImages builds and pulls what the flags of up ask for, before anything is started.
func (c *cli) freshImages(ctx context.Context, o upOptions, p runner.Project) error {
	names := runner.Plan{Project: p, Names: o.services, NoDeps: o.noDeps}.Meant()
	var build, pull []service.Service
	for _, svc := range p.Services {
		switch {
		case !slices.Contains(names, svc.Name) || svc.Image == nil:
		case buildable(svc) && o.build:
			build = append(build, svc)
		case !buildable(svc) && o.pull == "always":
			pull = append(pull, svc)
		}
	}
	if len(pull) > 0 {
		if err := c.pullAll(ctx, p, pull, o.quietPull, false); err != nil {
			return err
		}
	}
	if len(build) > 0 {
		return c.buildAll(ctx, p, build, buildOptions{quiet: o.quietBuild})
	}
	return nil
}
