package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v4"

	"github.com/healing-bot/healbot/compose"
	"github.com/healing-bot/healbot/service"
)

// configOptions are the flags of config.
type configOptions struct {
	format, output, hash string
	quiet, secrets, raw  bool

	// lists are the flags that print something else than the file, at most one of which
	// is given.
	services, images, volumes, networks, profiles, environment, variables bool
}

func (c *cli) configCommand() *cobra.Command {
	var o configOptions
	cmd := &cobra.Command{
		Use:     "config [SERVICE...]",
		Aliases: []string{"convert"},
		Short:   "Check the file and print it as healbot reads it",
	}
	f := cmd.Flags()
	f.StringVar(&o.format, "format", "yaml", "yaml or json")
	f.StringVarP(&o.output, "output", "o", "", "write to `FILE` rather than print")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "only check")
	f.BoolVar(&o.secrets, "show-secrets", false, "print values that look like secrets too")
	f.BoolVar(&o.raw, "no-interpolate", false, "merge the files, and fill in no variables")
	f.StringVar(&o.hash, "hash", "", "print the configuration hash of `SERVICE`, or of each with *")
	f.BoolVar(&o.services, "services", false, "print the names of the services only")
	f.BoolVar(&o.images, "images", false, "print the names of the images only")
	f.BoolVar(&o.volumes, "volumes", false, "print the names of the volumes only")
	f.BoolVar(&o.networks, "networks", false, "print the names of the networks only")
	f.BoolVar(&o.profiles, "profiles", false, "print the names of the profiles only")
	f.BoolVar(&o.environment, "environment", false, "print the variables that are filled in from")
	f.BoolVar(&o.variables, "variables", false, "print the variables that the file refers to, and their defaults")
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		src, err := c.source()
		if err != nil {
			return err
		}
		text, err := c.config(cmd.Context(), src, names, o)
		if err == nil && o.output != "" {
			return renameio.WriteFile(o.output, text, 0o600)
		}
		if err == nil {
			_, err = c.out.Write(text)
		}
		return err
	}
	return cmd
}

// config gives what config prints.
func (c *cli) config(ctx context.Context, src service.Source, names []string, o configOptions) ([]byte, error) {
	if o.variables {
		return variables(ctx, src)
	}
	if o.raw {
		return raw(ctx, src, o.format)
	}
	src.Named = names
	p, err := compose.Load(ctx, options(src))
	if err != nil {
		return nil, err
	}
	for _, w := range p.Warnings {
		c.warn("%s", w)
	}
	for _, name := range names {
		if !slices.ContainsFunc(p.Services, func(s service.Service) bool { return s.Name == name }) {
			return nil, fmt.Errorf("no such service: %s", name)
		}
	}
	if list, asked := o.list(p, names); asked {
		return []byte(strings.Join(append(list, ""), "\n")), nil
	}
	if o.quiet {
		return nil, nil
	}
	return p.Config(o.secrets, o.format, names...)
}

// list gives the lines of what is printed instead of the file; asked is false for the
// file itself.
func (o configOptions) list(p *compose.Project, names []string) (list []string, asked bool) {
	each := func(line func(service.Service) string) (list []string) {
		for _, s := range p.Services {
			if text := line(s); text != "" && (len(names) == 0 || slices.Contains(names, s.Name)) {
				list = append(list, text)
			}
		}
		return list
	}
	switch {
	case o.services:
		return each(func(s service.Service) string { return s.Name }), true
	case o.images:
		return each(func(s service.Service) string {
			if s.Image == nil {
				return ""
			}
			return s.Image.Config.Image
		}), true
	case o.hash != "":
		return each(func(s service.Service) string {
			if o.hash != "*" && !slices.Contains(strings.Split(o.hash, ","), s.Name) {
				return ""
			}
			return s.Name + " " + s.Hash
		}), true
	case o.volumes:
		return slices.Sorted(maps.Keys(p.Volumes)), true
	case o.networks:
		return slices.Sorted(maps.Keys(p.Networks)), true
	case o.profiles:
		return p.Profiles(), true
	case o.environment:
		return p.Environment(o.secrets), true
	}
	return nil, false
}

// raw gives the merged files without their variables filled in.
func raw(ctx context.Context, src service.Source, format string) ([]byte, error) {
	dict, err := compose.Raw(ctx, options(src))
	if err != nil {
		return nil, err
	}
	switch format {
	case "yaml":
		return yaml.Marshal(dict)
	case "json":
		text, err := json.MarshalIndent(dict, "", "  ")
		return append(text, '\n'), err
	}
	return nil, usageError("--format takes yaml or json, not %q", format)
}

func variables(ctx context.Context, src service.Source) ([]byte, error) {
	all, err := compose.Variables(ctx, options(src))
	if err != nil {
		return nil, err
	}
	var rows [][]string
	for _, v := range all {
		rows = append(rows, []string{v.Name, strconv.FormatBool(v.Required), v.Default, v.Alternate})
	}
	var text bytes.Buffer
	err = render(&text, []string{"NAME", "REQUIRED", "DEFAULT VALUE", "ALTERNATE VALUE"}, rows)
	return text.Bytes(), err
}

// version is set by the linker for a release.
var version = ""

func (c *cli) versionCommand() *cobra.Command {
	var short bool
	var format string
	cmd := &cobra.Command{Use: "version", Short: "Print the version", Args: noArgs}
	cmd.Flags().BoolVar(&short, "short", false, "only the number")
	cmd.Flags().StringVarP(&format, "format", "f", "pretty", "pretty or json")
	cmd.RunE = func(*cobra.Command, []string) error {
		v := version
		if info, ok := debug.ReadBuildInfo(); ok && v == "" {
			v = info.Main.Version
		}
		if v == "" {
			v = "(devel)"
		}
		switch {
		case short:
			fmt.Fprintln(c.out, v)
		case format == "json":
			return json.NewEncoder(c.out).Encode(map[string]string{"version": v})
		case format == "pretty":
			fmt.Fprintf(c.out, "healbot %s, %s %s/%s\n", v, runtime.Version(), runtime.GOOS, runtime.GOARCH)
		default:
			return usageError("--format takes pretty or json, not %q", format)
		}
		return nil
	}
	return cmd
}
