package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/spf13/cobra"

	"github.com/healing-bot/healbot/control"
	"github.com/healing-bot/healbot/runner"
	"github.com/healing-bot/healbot/service"
)

func (c *cli) psCommand() *cobra.Command {
	var o psOptions
	var quiet, asArray bool
	cmd := &cobra.Command{
		Use:     "ps [SERVICE...]",
		Aliases: []string{"status"},
		Short:   "Show every service: its state, and why",
	}
	f := cmd.Flags()
	f.StringVar(&o.format, "format", "table", "table, json (an object a line), json-array, or a Go template")
	f.BoolVar(&asArray, "json", false, "the same as --format json-array")
	f.BoolVarP(&quiet, "quiet", "q", false, "only pids and container ids")
	f.BoolVar(&o.services, "services", false, "only the names of services")
	f.StringArrayVar(&o.states, "status", nil, "only those in this `STATE`, in healbot's words or Docker's; may be given several times")
	f.StringArrayVar(&o.filters, "filter", nil, "status=STATE, as --status")
	f.BoolVar(&o.orphans, "orphans", true, "also services that the file no longer names")
	f.BoolVar(&o.whole, "no-trunc", false, "cut nothing, however narrow the terminal")
	f.BoolP("all", "a", false, "accepted for docker compose's sake: all are shown in any case")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case asArray:
			o.format = "json-array"
		case quiet:
			o.format = "{{.ID}}"
		}
		for _, filter := range o.filters {
			state, ok := strings.CutPrefix(filter, "status=")
			if !ok {
				return usageError("--filter takes status=STATE, not %q", filter)
			}
			o.states = append(o.states, state)
		}
		return c.ps(cmd.Context(), args, o)
	}
	return cmd
}

// psOptions are the flags of ps.
type psOptions struct {
	format          string
	states, filters []string
	services, whole bool
	orphans         bool
}

// shows reports whether a replica is in one of the states that are asked for.
func (o psOptions) shows(s service.Status) bool {
	return (o.orphans || !s.Orphan) && (len(o.states) == 0 || slices.Contains(o.states, string(s.State)) || slices.Contains(o.states, dockerState(s)))
}

func (c *cli) ps(ctx context.Context, names []string, o psOptions) error {
	dir, err := c.projectDirectory()
	if err != nil {
		return err
	}
	all, project, err := c.statuses(ctx, dir)
	if err != nil {
		return err
	}
	if err := allKnown(all, names); err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(s service.Status) bool { return !meant(s, names) || !o.shows(s) })
	switch {
	case o.services:
		var last string
		for _, s := range all {
			if s.Service != last {
				fmt.Fprintln(c.out, s.Service)
			}
			last = s.Service
		}
		return nil
	case o.format == "table":
		return c.table(all, usage(all), o.whole)
	}
	return c.printObjects(objects(all, project, usage(all)), o.format)
}

func (c *cli) printObjects(all []object, format string) error {
	out := json.NewEncoder(c.out)
	out.SetEscapeHTML(false)
	switch format {
	case "json-array":
		return out.Encode(all)
	case "json":
		for _, o := range all {
			if err := out.Encode(o); err != nil {
				return err
			}
		}
		return nil
	}
	t, err := template.New("format").Parse(format + "\n")
	if err != nil {
		return usageError("cannot read the template of --format: %w", err)
	}
	for _, o := range all {
		if err := t.Execute(c.out, o); err != nil {
			return usageError("cannot use the template of --format: %w", err)
		}
	}
	return nil
}

// statuses asks the supervisor, or else finds out as much as can be known without
// one: what the status file says, as far as it is still so, and what is declared.
func (c *cli) statuses(ctx context.Context, dir string) (all []service.Status, project string, err error) {
	last, _ := recall(dir)
	client, err := control.Dial(ctx, runner.StateDir(dir))
	if err == nil {
		defer client.Close()
		all, err = client.Status(ctx)
		return all, last.Project, err
	}
	if errors.Is(err, fs.ErrPermission) {
		if all, _ := lastStatuses(dir); len(all) > 0 {
			c.warn("%v; this is what its status file says", err)
			return all, "", nil
		}
	}
	if !errors.Is(err, control.ErrNone) {
		return nil, "", err
	}
	all, err = lastStatuses(dir)
	if err != nil || len(all) > 0 {
		c.unsupervised(all)
		return all, last.Project, err
	}
	src, err := c.source()
	if err != nil {
		return nil, "", err
	}
	p, err := load(ctx, src, c.warn)
	return declared(p), p.Name, err
}

// unsupervised corrects statuses that nobody kept up to date.
func (c *cli) unsupervised(all []service.Status) {
	live, stale := 0, false
	for i, s := range all {
		if s.PID == 0 {
			stale = stale || s.State == service.Crashed || s.State == service.Pending
			continue
		}
		if _, err := os.Stat(filepath.Join("/proc", strconv.Itoa(s.PID))); err == nil {
			live++
			continue
		}
		all[i].PID, all[i].StartedAt, all[i].Health = 0, nil, service.HealthNone
		all[i].State, all[i].Reason = service.Crashed, "ended while no supervisor was there; `healbot up` restarts it"
	}
	switch {
	case live == 0 && stale:
		c.warn("nothing supervises this project, so nothing that is down comes back: `healbot up -d` takes over, `healbot down` ends it")
	case live > 0:
		c.warn("nothing supervises this project, though services of it run: `healbot up -d` takes over, `healbot down` ends them")
	}
}

// declared gives the services of a project that is not up.
func declared(p runner.Project) (all []service.Status) {
	for _, svc := range p.Services {
		for n := 1; n <= svc.Replicas; n++ {
			all = append(all, service.Status{
				Name: service.Key{Service: svc.Name, Replica: n}.String(), Service: svc.Name, Kind: svc.Kind,
				State: service.Stopped, Reason: "not started yet", Ports: svc.Ports, Title: svc.Title,
				LogPath: svc.LogPath(n), MaxRestarts: p.Policies[svc.Name].MaxAttempts,
			})
		}
	}
	return all
}

// An object is what ps prints of a replica as JSON: docker compose ps's keys, and
// healbot's own.
type object struct {
	ID, Name, Service, Project string
	Image, Command             string
	State, Health              string // State in Docker's words
	ExitCode                   int
	Status                     string
	RunningFor                 string
	CreatedAt                  string
	Publishers                 []publisher
	Ports                      string
	Labels, Networks           string

	Kind          service.Kind
	Heal          service.State
	Reason        string
	PID           int
	Restarts      int
	RestartsTotal int
	MaxRestarts   int
	NextRestartAt *time.Time
	Since         time.Time
	CPU           float64 // percent of one processor
	Memory        int64   // bytes
	LogPath       string
}

type publisher struct {
	URL           string
	TargetPort    int
	PublishedPort int
	Protocol      string
}

func objects(all []service.Status, project string, figures map[string]figure) []object {
	list := make([]object, 0, len(all))
	for _, s := range all {
		o := object{
			ID: s.ID, Name: s.Name, Service: s.Service, Project: project, Image: s.Image, Command: s.Command,
			State: dockerState(s), Health: s.Health, Status: dockerStatus(s), Ports: portList(s),
			Kind: s.Kind, Heal: s.State, Reason: s.Reason, PID: s.PID,
			Restarts: s.Restarts, RestartsTotal: s.RestartsTotal, MaxRestarts: s.MaxRestarts,
			NextRestartAt: s.NextRestartAt, Since: s.Since, LogPath: s.LogPath,
			CPU: figures[s.Name].cpu, Memory: figures[s.Name].memory,
			Publishers: []publisher{},
		}
		if s.ExitCode != nil {
			o.ExitCode = *s.ExitCode
		}
		if s.StartedAt != nil {
			o.CreatedAt = s.StartedAt.Format(time.RFC3339)
			o.RunningFor = uptime(s)
		}
		for _, p := range s.Ports {
			o.Publishers = append(o.Publishers, publisher{p.HostIP, p.Target, p.Published, p.Protocol})
		}
		list = append(list, o)
	}
	return list
}

// dockerState says s in the words of docker ps.
func dockerState(s service.Status) string {
	switch {
	case s.Paused && s.StartedAt != nil:
		return "paused"
	case s.StartedAt != nil:
		return "running"
	case s.State == service.Crashed, s.State == service.Unhealthy:
		return "restarting"
	case s.State == service.Pending, s.ExitCode == nil:
		return "created"
	}
	return "exited"
}

func dockerStatus(s service.Status) string {
	switch dockerState(s) {
	case "paused":
		return "Up " + uptime(s) + " (Paused)"
	case "running":
		text := "Up " + uptime(s)
		if s.Health != "" {
			text += " (" + s.Health + ")"
		}
		return text
	case "exited":
		return fmt.Sprintf("Exited (%d)", *s.ExitCode)
	}
	return string(s.State)
}

func portList(s service.Status) string {
	var all []string
	for _, p := range s.Ports {
		all = append(all, p.String())
	}
	return strings.Join(all, ", ")
}
