package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/healing-bot/healbot/compose"
)

func (c *cli) configCommand() *cobra.Command {
	var format string
	var services, quiet, secrets bool
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check the file and print it as healbot reads it",
		Args:  noArgs,
	}
	f := cmd.Flags()
	f.StringVar(&format, "format", "yaml", "yaml or json")
	f.BoolVar(&services, "services", false, "print the names of the services only")
	f.BoolVarP(&quiet, "quiet", "q", false, "only check")
	f.BoolVar(&secrets, "show-secrets", false, "print values that look like secrets too")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		src, err := c.source()
		if err != nil {
			return err
		}
		p, err := compose.Load(cmd.Context(), options(src))
		if err != nil {
			return err
		}
		for _, w := range p.Warnings {
			c.warn("%s", w)
		}
		switch {
		case quiet:
			return nil
		case services:
			for _, s := range p.Services {
				fmt.Fprintln(c.out, s.Name)
			}
			return nil
		}
		text, err := p.Config(secrets, format)
		if err != nil {
			return err
		}
		_, err = c.out.Write(text)
		return err
	}
	return cmd
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
