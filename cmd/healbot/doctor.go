package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/healing-bot/healbot/compose"
	"github.com/healing-bot/healbot/docker"
	"github.com/healing-bot/healbot/native"
	"github.com/healing-bot/healbot/runner"
	"github.com/healing-bot/healbot/service"
)

func (c *cli) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Check whether this machine can run the project",
		Long: `Check what the project needs of this machine: Python, the Docker engine, programs,
ports, control groups, disk, its own folder. ✗ is something declared that can't work,
and makes the exit code 1; ! is something to know. Without a file, check the machine.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.doctor(cmd.Context()) },
	}
}

// A mark says how bad a finding is.
type mark string

const (
	good mark = "✓"
	note mark = "!"
	bad  mark = "✗"
)

// A finding is one line of the checklist, with what to do about it.
type finding struct {
	mark         mark
	text, advice string
}

// A checkup looks at one machine for one project.
type checkup struct {
	project  runner.Project // zero: there is no file
	statuses []service.Status
	native   *native.Backend
	docker   *docker.Backend
	findings []finding
}

func (k *checkup) add(m mark, advice, format string, args ...any) {
	k.findings = append(k.findings, finding{m, fmt.Sprintf(format, args...), advice})
}

func (c *cli) doctor(ctx context.Context) error {
	k, err := c.checkup(ctx)
	if err != nil {
		return err
	}
	defer k.docker.Close()
	k.pythons(ctx)
	k.engine(ctx)
	k.programs()
	k.ports()
	k.controlGroups()
	k.disk()
	k.stateFolder()
	k.systemd(ctx)
	return c.printFindings(k.findings)
}

// checkup reads the project. A file at fault is a finding; no file is none.
func (c *cli) checkup(ctx context.Context) (*checkup, error) {
	src, err := c.source()
	if err != nil {
		return nil, err
	}
	k := &checkup{}
	k.project.Dir = src.Dir
	dir, err := compose.Locate(options(src))
	switch {
	case err != nil && len(c.files) > 0:
		return nil, err
	case err != nil:
		k.add(note, "", "no compose file here: only the machine is looked at")
	default:
		k.project.Dir = dir
		k.file(ctx, c, src)
	}
	k.native = native.New(k.project.Dir, nil)
	k.docker = docker.New(docker.Options{Project: k.project.Name})
	k.native.SetNamer(k.docker.Named)
	return k, nil
}

// file reads the compose file.
func (k *checkup) file(ctx context.Context, c *cli, src service.Source) {
	p, err := load(ctx, src, func(format string, args ...any) { k.add(note, "", format, args...) })
	if problems := compose.Problems(nil); errors.As(err, &problems) {
		k.add(bad, "healbot config -q shows each with its place", "the compose file has %s", count(len(problems), "problem"))
		return
	}
	if err != nil {
		k.add(bad, "", "%v", err)
		return
	}
	k.project = p
	k.statuses, _, _ = c.statuses(ctx, p.Dir)
	k.add(good, "", "the compose file is in order: %s", count(len(p.Services), "service"))
}

// live gives the live replica of a service, if it has one.
func (k *checkup) live(name string) bool {
	for _, s := range k.statuses {
		if s.Service == name && s.StartedAt != nil {
			return true
		}
	}
	return false
}

func (c *cli) printFindings(all []finding) error {
	colour := c.colours(c.out)
	sgr := map[mark]string{good: "32", note: "33", bad: "31;1"}
	failed := 0
	for _, f := range all {
		if f.mark == bad {
			failed++
		}
		if _, err := fmt.Fprintf(c.out, "%s %s\n", colour.paint(sgr[f.mark], string(f.mark)), printable([]byte(f.text))); err != nil {
			return err
		}
		if f.advice != "" {
			fmt.Fprintf(c.out, "  %s\n", colour.paint("2", f.advice))
		}
	}
	if failed > 0 {
		return &exitError{exitFailed, fmt.Errorf("%s can't work as declared", count(failed, "thing"))}
	}
	return nil
}
