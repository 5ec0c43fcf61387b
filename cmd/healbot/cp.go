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

// copyOptions are the flags of cp.
type copyOptions struct {
	index                int // 0: the first replica, or all to copy into
	all, archive, follow bool
}

func (c *cli) cpCommand() *cobra.Command {
	var o copyOptions
	cmd := &cobra.Command{
		Use:   "cp SERVICE:SOURCE TARGET | cp SOURCE SERVICE:TARGET",
		Short: "Copy files out of a container, or into it",
		Long: `Copy a file or a folder between this host and the container of a service, as docker cp
does. A tar archive on standard input or output is written -. The files of a native
service are this host's own.`,
	}
	f := cmd.Flags()
	f.IntVar(&o.index, "index", 0, "which replica, from 1; else the first, and into all of them")
	f.BoolVar(&o.all, "all", false, "copy also into the containers that healbot run made of the service, or out of one if it has no other")
	f.BoolVarP(&o.archive, "archive", "a", false, "as docker cp does it: out of a container, keep owner and group; into it, give all to the container's user")
	f.BoolVarP(&o.follow, "follow-link", "L", false, "copy what a link as source leads to")
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
			return c.copyOut(cmd.Context(), from, inFrom, args[1], o)
		case toIs:
			return c.copyIn(cmd.Context(), args[0], to, inTo, o)
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

// targets gives the containers of a service that are meant, and the engine that has them.
func (c *cli) targets(ctx context.Context, name string, o copyOptions) (*docker.Backend, []string, error) {
	dir, all, err := c.selected(ctx, []string{name})
	if err != nil {
		return nil, nil, err
	}
	containers := c.engine(dir)
	var ids []string
	for _, s := range all {
		if s.Kind == service.Native {
			return nil, nil, errors.Join(fmt.Errorf("%s is a native service: its files are this host's own, and cp(1) copies them", s.Name), containers.Close())
		}
		if s.ID != "" && (o.index == 0 || o.index == keyOf(s).Replica) {
			ids = append(ids, s.ID)
		}
	}
	if o.all {
		once, err := containers.OneOffs(ctx, name)
		if err != nil {
			return nil, nil, errors.Join(err, containers.Close())
		}
		ids = append(ids, once...)
	}
	if len(ids) == 0 {
		return nil, nil, errors.Join(fmt.Errorf("%s has no such container: it is %s", name, all[0].State), containers.Close())
	}
	return containers, ids, nil
}

func (c *cli) copyOut(ctx context.Context, name, source, target string, o copyOptions) error {
	containers, ids, err := c.targets(ctx, name, o)
	if err != nil {
		return err
	}
	defer containers.Close()
	archive, err := containers.CopyFrom(ctx, ids[0], source, o.follow)
	if err != nil {
		return err
	}
	defer archive.Close()
	if target == "-" {
		_, err = io.Copy(c.out, archive)
		return err
	}
	rename := path.Base(source)
	if info, err := os.Stat(target); errors.Is(err, os.ErrNotExist) || err == nil && !info.IsDir() {
		target, rename = filepath.Dir(target), filepath.Base(target)
	}
	if rename == "/" {
		rename = ""
	}
	if err := unpack(archive, target, rename, o.archive); err != nil {
		return fmt.Errorf("cannot copy to %s: %w", target, err)
	}
	return nil
}

func (c *cli) copyIn(ctx context.Context, source, name, target string, o copyOptions) error {
	containers, ids, err := c.targets(ctx, name, o)
	if err != nil {
		return err
	}
	defer containers.Close()
	if source == "-" {
		if len(ids) > 1 {
			return hinted{fmt.Errorf("standard input can be copied into one container, and %s has %d", name, len(ids)), "choose one with --index"}
		}
		return containers.CopyTo(ctx, ids[0], target, os.Stdin, o.archive)
	}
	from := source
	if o.follow {
		from, err = filepath.EvalSymlinks(source)
	} else {
		_, err = os.Lstat(source)
	}
	if err != nil {
		return fmt.Errorf("cannot copy: %w", err)
	}
	for _, id := range ids {
		dir, err := containers.IsDir(ctx, id, target)
		if err != nil {
			return err
		}
		into, rename := target, filepath.Base(absolutePath(source))
		if !dir {
			into, rename = path.Split(strings.TrimSuffix(target, "/"))
		}
		read, write := io.Pipe()
		go func() { write.CloseWithError(pack(write, from, rename)) }()
		err = containers.CopyTo(ctx, id, into, read, o.archive)
		read.Close()
		if err != nil {
			return err
		}
	}
	return nil
}
