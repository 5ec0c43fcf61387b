package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/healing-bot/healbot/control"
	"github.com/healing-bot/healbot/runner"
	"github.com/healing-bot/healbot/service"
)

// A parameter is one of provider.options, as Compose asks for them.
type parameter struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Required    bool   `json:"required"`
	Type        string `json:"type"`
}

var parameters = []parameter{
	{"python", `constraint on Python's version, such as ">=3.8"`, false, "string"},
	{"venv", "virtual environment, made when missing", false, "string"},
	{"requirements", "requirement files to install into it", false, "string"},
	{"file", "compose file to read, where it has no usual name", false, "string"},
}

// providerCommand is Compose's side door: `docker compose up` runs it for each native
// service of a file. On standard output it speaks Compose's protocol and nothing else.
func (c *cli) providerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:    "compose",
		Short:  "Serve docker compose as a provider",
		Hidden: true,
		Args:   noArgs,
		RunE:   func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.Flags().StringVar(&c.project, "project-name", "", "Compose's project name")
	cmd.AddCommand(c.metadataCommand(),
		c.providing("up", "Start a native service and wait until it is ready", c.provide),
		c.providing("stop", "Stop a native service", func(ctx context.Context, name string) error {
			return c.unprovide(ctx, name, false)
		}),
		c.providing("down", "Stop a native service; the last one ends the project", func(ctx context.Context, name string) error {
			return c.unprovide(ctx, name, true)
		}))
	return cmd
}

func (c *cli) metadataCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "metadata",
		Short: "Describe the options of a native service",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			list := map[string]any{"parameters": parameters}
			out := json.NewEncoder(c.out)
			out.SetEscapeHTML(false)
			return out.Encode(map[string]any{
				"description": "Runs services as processes on this host, and heals them", "up": list, "down": list, "stop": list,
			})
		},
	}
}

// providing makes one verb of the protocol. Its errors are messages, too.
func (c *cli) providing(verb, short string, run func(context.Context, string) error) *cobra.Command {
	cmd := &cobra.Command{Use: verb + " SERVICE", Short: short}
	for _, p := range parameters { // the file says the same; only file tells something new
		cmd.Flags().StringArray(p.Name, nil, p.Description)
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return c.refuse(err) })
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return c.refuse(fmt.Errorf("healbot compose %s takes the name of one service", verb))
		}
		c.files, _ = cmd.Flags().GetStringArray("file")
		if err := run(cmd.Context(), args[0]); err != nil {
			return c.refuse(err)
		}
		return nil
	}
	return cmd
}

// say sends Compose a message.
func (c *cli) say(kind, format string, args ...any) {
	out := json.NewEncoder(c.out)
	out.SetEscapeHTML(false)
	_ = out.Encode(struct {
		Type    string `json:"type"`
		Message string `json:"message"`
	}{kind, fmt.Sprintf(format, args...)})
}

// refuse tells Compose of an error; nothing more is to be said on the way out.
func (c *cli) refuse(err error) error {
	text := err.Error()
	var h hinted
	if errors.As(err, &h) {
		text += "; " + h.hint
	}
	c.say("error", "%s", strings.ReplaceAll(text, "\n", "; "))
	return &exitError{code: exitFailed}
}

// provide starts a service through the project's supervisor and waits until it is
// ready. The containers of the file are Compose's, and so is the order.
func (c *cli) provide(ctx context.Context, name string) error {
	src, err := c.source()
	if err != nil {
		return err
	}
	p, err := load(ctx, src, func(format string, args ...any) { c.say("debug", format, args...) })
	if err != nil {
		return err
	}
	users := lost(p.Services, name)
	src.NativeOnly, p.Services = true, nativeOnly(p.Services)
	svc, err := find(p, name)
	if err != nil {
		return err
	}
	client, err := c.reach(ctx, p.Dir, src)
	if err != nil {
		return err
	}
	defer client.Close()
	watching, stop := context.WithCancel(ctx)
	defer stop()
	changes, err := client.Changes(watching)
	if err != nil {
		return err
	}
	report, err := client.Do(ctx, service.Command{Verb: service.VerbUp, Services: []string{name}, Source: &src, NoDeps: true})
	if err != nil {
		return err
	}
	for _, note := range report.Notes {
		c.say("debug", "%s", note)
	}
	if err := c.provided(ctx, client, changes, name); err != nil {
		return err
	}
	c.setenv(svc, users)
	return nil
}

// provided waits until a service is ready, and tells Compose of its changes, the last one
// in any case.
func (c *cli) provided(ctx context.Context, client *control.Client, changes <-chan service.Change, name string) error {
	var said service.State
	for {
		all, err := client.Status(ctx)
		if err != nil {
			return err
		}
		all = slices.DeleteFunc(all, func(s service.Status) bool { return s.Service != name })
		ready, in, err := judge(all)
		if ready && said != all[0].State {
			c.sayState(all[0])
		}
		if ready || err != nil {
			return err
		}
		select {
		case ch, open := <-changes:
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case ch.Missed: // how it is, is asked in any case
				if changes, err = client.Changes(ctx); err != nil {
					return err
				}
			case !open:
				return errors.New("the supervisor ended while its service was waited for")
			case ch.Status.Service == name:
				c.sayState(ch.Status)
				said = ch.Status.State
			}
		case <-time.After(in):
		}
	}
}

func (c *cli) sayState(s service.Status) {
	c.say("info", "%s", strings.TrimSuffix(fmt.Sprintf("%s: %s", s.State, s.Reason), ": "))
}

// dockerHost is the host's name in containers. On Linux each must be told of it.
const dockerHost = "host.docker.internal"

// lost gives the containers that need a service and know no dockerHost.
func lost(all []service.Service, name string) (users []string) {
	for _, svc := range all {
		needs := slices.ContainsFunc(svc.Needs, func(n service.Need) bool { return n.Service == name })
		if needs && svc.Image != nil && svc.Image.Config.ExtraHosts[dockerHost] == nil && runtime.GOOS == "linux" {
			users = append(users, svc.Name)
		}
	}
	return users
}

// setenv gives the services that depend on svc its address: Compose puts the service's
// name before each variable. They are containers, so the host goes by Docker's name, and
// those of them that are lost with it are named.
func (c *cli) setenv(svc service.Service, lost []string) {
	if len(svc.Ports) == 0 {
		return
	}
	if len(lost) > 0 {
		c.say("info", "%s can't find it without extra_hosts: [%q]", strings.Join(lost, ", "), dockerHost+":host-gateway")
	}
	port, scheme := svc.Ports[0].Target, "tcp"
	if svc.Check != nil && svc.Check.HTTP != nil {
		scheme = "http"
	}
	c.say("setenv", "HOST=%s", dockerHost)
	c.say("setenv", "PORT=%d", port)
	c.say("setenv", "URL=%s://%s:%d", scheme, dockerHost, port)
}

// unprovide stops a service. With down, the last one takes the supervisor along.
func (c *cli) unprovide(ctx context.Context, name string, down bool) error {
	dir, err := c.projectDirectory()
	if err != nil {
		return err
	}
	if !runner.Left(dir) {
		return nil
	}
	_, src, err := c.known(ctx, dir)
	if err != nil {
		return err
	}
	client, err := c.reach(ctx, dir, src)
	if err != nil {
		return err
	}
	defer client.Close()
	report, err := client.Do(ctx, service.Command{Verb: service.VerbStop, Services: []string{name}})
	if err != nil || !down || slices.ContainsFunc(report.Statuses, func(s service.Status) bool { return !s.State.Settled() || s.StartedAt != nil }) {
		return err
	}
	// Compose ends several at once: somebody else may have found the last one gone, too.
	if _, err := client.Do(ctx, service.Command{Verb: service.VerbDown}); err != nil && runner.Left(dir) {
		return err
	}
	return awaitLock(ctx, dir)
}
