package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/healing-bot/healbot/docker"
	"github.com/healing-bot/healbot/native"
	"github.com/healing-bot/healbot/service"
)

// A call is a command that a user runs inside a service, as its flags say.
type call struct {
	env        []string
	dir, user  string
	noTTY      bool
	privileged bool
	detach     bool
	input      bool
	index      int
	argv       []string
}

// flags adds the flags that exec and run share.
func (o *call) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "no-TTY" { // as docker compose run spells it
			name = "no-tty"
		}
		return pflag.NormalizedName(name)
	})
	f.SetInterspersed(false) // what follows the service belongs to the command
	f.StringArrayVarP(&o.env, "env", "e", nil, "variable for the command, as KEY=VALUE or KEY; may be given several times")
	f.StringVarP(&o.dir, "workdir", "w", "", "working directory instead of the service's")
	f.StringVarP(&o.user, "user", "u", "", "user instead of the service's; for containers")
	f.BoolVarP(&o.detach, "detach", "d", false, "leave the command running; that of a native service writes to its log, and down ends it")
	f.BoolVarP(&o.input, "interactive", "i", true, "with standard input")
	f.BoolVarP(&o.noTTY, "no-tty", "T", false, "no terminal in the container, even if there is one here")
}

func (c *cli) execCommand() *cobra.Command {
	var o call
	cmd := &cobra.Command{
		Use:   "exec SERVICE COMMAND [ARG...]",
		Short: "Run a command in a running service",
		Long: `Run a command in a running service: in its container, or, for a native service, on
this host with its environment, its directory and its Python environment. The
terminal is passed through, and so is the exit code.`,
	}
	o.flags(cmd)
	cmd.Flags().IntVar(&o.index, "index", 1, "which replica, from 1")
	cmd.Flags().BoolVar(&o.privileged, "privileged", false, "with all rights; for containers")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) < 2 {
			return usageError("healbot exec takes the name of a service and a command")
		}
		o.argv = args[1:]
		return c.exec(cmd.Context(), args[0], o)
	}
	return cmd
}

func (c *cli) exec(ctx context.Context, name string, o call) error {
	dir, s, err := c.replica(ctx, name, o.index)
	if err != nil {
		return err
	}
	if s.StartedAt == nil {
		err := fmt.Errorf("%s is not running: it is %s, %s", s.Name, s.State, s.Reason)
		return hinted{err, fmt.Sprintf("healbot start %s starts it, healbot run %s runs a command without it", s.Service, s.Service)}
	}
	env, err := o.environment()
	if err != nil {
		return err
	}
	if s.Kind == service.Container {
		containers := c.engine(dir)
		defer containers.Close()
		return o.inContainer(func(call docker.Call) (int, error) {
			call.Env = env
			return containers.Exec(ctx, s.ID, call)
		})
	}
	p, _, err := c.known(ctx, dir)
	if err != nil {
		return err
	}
	svc, err := find(p, s.Service)
	if err != nil {
		return err
	}
	self, err := keeperArgv()
	if err != nil {
		return err
	}
	backend := native.New(dir, self)
	defer backend.Close()
	return o.beside(ctx, backend, svc, keyOf(s).Replica, env)
}

// beside runs the command with what a native service has: it becomes a child of the
// keeper if it is to be left running, or else this process, so that terminal, signals
// and exit code are its own.
func (o *call) beside(ctx context.Context, b *native.Backend, svc service.Service, replica int, env []string) error {
	if o.user != "" || o.privileged {
		return fmt.Errorf("%s is a native service: a command beside it has its user, --user and --privileged are for containers", svc.Name)
	}
	if o.detach {
		if err := b.Detach(ctx, svc, replica, o.argv, o.dir, env); err != nil {
			return fmt.Errorf("cannot run %s: %w", o.argv[0], err)
		}
		return nil
	}
	cmd, err := b.Command(svc, o.argv, o.dir, append([]string{fmt.Sprintf("HEALBOT_REPLICA=%d", replica)}, env...))
	if err == nil {
		err = os.Chdir(cmd.Dir)
	}
	if err == nil {
		err = syscall.Exec(cmd.Path, cmd.Args, cmd.Env)
	}
	return fmt.Errorf("cannot run %s: %w", o.argv[0], err)
}

// environment reads the flags --env.
func (o *call) environment() ([]string, error) {
	env := slices.Clone(o.env)
	for i, kv := range env {
		name, _, given := strings.Cut(kv, "=")
		if name == "" {
			return nil, usageError("--env takes KEY=VALUE or KEY, not %q", kv)
		}
		if !given {
			env[i] = kv + "=" + os.Getenv(name)
		}
	}
	return env, nil
}

// inContainer runs a call with this process's streams, on a terminal in raw mode, and
// carries its exit code on.
func (o *call) inContainer(run func(docker.Call) (int, error)) error {
	in := int(os.Stdin.Fd())
	call := docker.Call{
		Argv: o.argv, Dir: o.dir, User: o.user, Privileged: o.privileged,
		TTY: !o.noTTY && !o.detach && o.input && term.IsTerminal(in), Detach: o.detach,
		Out: os.Stdout, Err: os.Stderr,
	}
	if o.input && !o.detach {
		call.In = os.Stdin
	}
	if call.TTY {
		before, err := term.MakeRaw(in)
		if err != nil {
			return fmt.Errorf("cannot use the terminal: %w", err)
		}
		defer term.Restore(in, before)
		sizes, stop := terminalSizes(in)
		defer stop()
		call.Resize = sizes
	}
	code, err := run(call)
	switch {
	case errors.Is(err, context.Canceled):
		return &exitError{code: 130}
	case err != nil || code == 0:
		return err
	}
	return &exitError{code: code}
}

// terminalSizes tells of the size that a terminal has, and of each that it gets.
func terminalSizes(fd int) (<-chan docker.Size, func()) {
	sizes := make(chan docker.Size)
	done := make(chan struct{})
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, syscall.SIGWINCH)
	changed <- syscall.SIGWINCH
	go func() {
		for {
			select {
			case <-changed:
			case <-done:
				return
			}
			width, height, err := term.GetSize(fd)
			if err != nil {
				continue
			}
			select {
			case sizes <- docker.Size{Width: width, Height: height}:
			case <-done:
				return
			}
		}
	}()
	return sizes, func() { signal.Stop(changed); close(done) }
}
