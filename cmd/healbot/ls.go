package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/healing-bot/healbot/control"
	"github.com/healing-bot/healbot/runner"
	"github.com/healing-bot/healbot/service"
)

func (c *cli) lsCommand() *cobra.Command {
	var format, filter string
	var quiet bool
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List the projects that are up",
		Long: `List the projects that are up on this machine, as far as you may see them: those of
your own user, and with root's rights all.`,
		Args: noArgs,
	}
	cmd.Flags().StringVar(&format, "format", "table", "table or json")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "only names")
	cmd.Flags().StringVar(&filter, "filter", "", "name=WORD: only those with it in their name")
	cmd.Flags().BoolP("all", "a", false, "accepted for docker compose's sake: all that are up are shown")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		word, ok := strings.CutPrefix(filter, "name=")
		if !ok && filter != "" {
			return usageError("--filter takes name=WORD, not %q", filter)
		}
		if format != "table" && format != "json" {
			return usageError("--format takes table or json, not %q", format)
		}
		return c.ls(cmd.Context(), format, word, quiet)
	}
	return cmd
}

// A listed project is one that a supervisor looks after.
type listed struct {
	Name, Status, Directory string
}

func (c *cli) ls(ctx context.Context, format, word string, quiet bool) error {
	projects := []listed{}
	for _, dir := range supervised() {
		if p, up := list(ctx, dir); up && strings.Contains(p.Name, word) {
			projects = append(projects, p)
		}
	}
	switch {
	case quiet:
		for _, p := range projects {
			fmt.Fprintln(c.out, p.Name)
		}
		return nil
	case format == "json":
		return json.NewEncoder(c.out).Encode(projects)
	}
	var rows [][]string
	for _, p := range projects {
		rows = append(rows, []string{p.Name, p.Status, p.Directory})
	}
	return render(c.out, []string{"NAME", "STATUS", "DIRECTORY"}, rows)
}

// supervised finds the directories of projects by who holds their locks open.
func supervised() (dirs []string) {
	held, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, fd := range held {
		to, err := os.Readlink(fd)
		if err != nil || !strings.HasSuffix(to, "/.healbot/lock") {
			continue
		}
		dirs = append(dirs, filepath.Dir(filepath.Dir(to)))
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}

// list asks a project's supervisor how it fares.
func list(ctx context.Context, dir string) (p listed, up bool) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	client, err := control.Dial(ctx, runner.StateDir(dir))
	if err != nil {
		return p, false
	}
	defer client.Close()
	all, err := client.Status(ctx)
	if err != nil {
		return p, false
	}
	last, known := recall(dir)
	p = listed{Name: last.Project, Directory: dir, Status: inStates(all)}
	if !known {
		p.Name = filepath.Base(dir)
	}
	return p, true
}

// inStates counts as docker compose ls does: "running(2), stopped(1)".
func inStates(all []service.Status) string {
	count := map[service.State]int{}
	var states []string
	for _, s := range all {
		if count[s.State]++; count[s.State] == 1 {
			states = append(states, string(s.State))
		}
	}
	slices.Sort(states)
	for i, s := range states {
		states[i] = fmt.Sprintf("%s(%d)", s, count[service.State(s)])
	}
	return strings.Join(states, ", ")
}
