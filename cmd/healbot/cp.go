package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/healing-bot/healbot/docker"
	"github.com/healing-bot/healbot/service"
)

func (c *cli) cpCommand() *cobra.Command {
	var index int
	cmd := &cobra.Command{
		Use:   "cp SERVICE:SOURCE TARGET | cp SOURCE SERVICE:TARGET",
		Short: "Copy files out of a container, or into it",
		Long: `Copy a file or a folder between this host and the container of a service, as docker cp
does. A tar archive on standard input or output is written -. The files of a native
service are this host's own.`,
	}
	cmd.Flags().IntVar(&index, "index", 1, "which replica, from 1")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) != 2 {
			return usageError("healbot cp takes a source and a target")
		}
		from, inFrom, fromIs := inService(args[0])
		to, inTo, toIs := inService(args[1])
		switch {
		case fromIs && toIs:
			return usageError("healbot cp copies to or from this host, not between services")
		case fromIs:
			return c.copyOut(cmd.Context(), from, index, inFrom, args[1])
		case toIs:
			return c.copyIn(cmd.Context(), args[0], to, index, inTo)
		}
		return usageError("one of source and target is in a service, and written SERVICE:PATH")
	}
	return cmd
}

// inService tells SERVICE:PATH from a path of this host, which has a slash before its
// first colon if it has one.
func inService(arg string) (name, at string, ok bool) {
	name, at, ok = strings.Cut(arg, ":")
	if !ok || name == "" || strings.ContainsAny(name, "/.") {
		return "", "", false
	}
	return name, path.Join("/", at) + strings.Repeat("/", trailing(at)), true
}

func trailing(at string) int {
	if strings.HasSuffix(at, "/") && path.Join("/", at) != "/" {
		return 1
	}
	return 0
}

// container gives the container of a replica, and the engine that has it.
func (c *cli) container(ctx context.Context, name string, index int) (*docker.Backend, string, error) {
	dir, s, err := c.replica(ctx, name, index)
	switch {
	case err != nil:
		return nil, "", err
	case s.Kind == service.Native:
		return nil, "", fmt.Errorf("%s is a native service: its files are this host's own, and cp(1) copies them", s.Name)
	case s.ID == "":
		return nil, "", fmt.Errorf("%s has no container: it is %s", s.Name, s.State)
	}
	return c.engine(dir), s.ID, nil
}

func (c *cli) copyOut(ctx context.Context, name string, index int, source, target string) error {
	containers, id, err := c.container(ctx, name, index)
	if err != nil {
		return err
	}
	defer containers.Close()
	archive, err := containers.CopyFrom(ctx, id, source)
	if err != nil {
		return err
	}
	defer archive.Close()
	if target == "-" {
		_, err = io.Copy(c.out, archive)
		return err
	}
	rename := ""
	if info, err := os.Stat(target); errors.Is(err, os.ErrNotExist) || err == nil && !info.IsDir() {
		target, rename = filepath.Dir(target), filepath.Base(target)
	}
	if err := unpack(archive, target, rename); err != nil {
		return fmt.Errorf("cannot copy to %s: %w", target, err)
	}
	return nil
}

func (c *cli) copyIn(ctx context.Context, source, name string, index int, target string) error {
	containers, id, err := c.container(ctx, name, index)
	if err != nil {
		return err
	}
	defer containers.Close()
	if source == "-" {
		return containers.CopyTo(ctx, id, target, os.Stdin)
	}
	if _, err := os.Lstat(source); err != nil {
		return fmt.Errorf("cannot copy: %w", err)
	}
	dir, err := containers.IsDir(ctx, id, target)
	if err != nil {
		return err
	}
	rename := filepath.Base(absolutePath(source))
	if !dir {
		target, rename = path.Split(strings.TrimSuffix(target, "/"))
	}
	read, write := io.Pipe()
	go func() { write.CloseWithError(pack(write, source, rename)) }()
	err = containers.CopyTo(ctx, id, target, read)
	read.Close()
	return err
}
