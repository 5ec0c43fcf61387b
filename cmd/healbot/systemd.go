package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"github.com/healing-bot/healbot/runner"
	"github.com/healing-bot/healbot/service"
)

type unitOptions struct{ system, install, force bool }

func (c *cli) systemdCommand() *cobra.Command {
	var o unitOptions
	cmd := &cobra.Command{
		Use:   "systemd",
		Short: "Print or install a systemd unit for the project",
		Long: `Print a unit with which systemd brings the project up, in the foreground of a service:
one of your own, or with --system one of the machine, which runs as the owner of the
project directory. When healbot itself dies, its services live on, and the healbot
that systemd starts next takes them over.`,
		Args: noArgs,
	}
	f := cmd.Flags()
	f.BoolVar(&o.system, "system", false, "a unit of the machine, not of this user")
	f.BoolVar(&o.install, "install", false, "write it to where systemd looks, and say how to start it")
	f.BoolVar(&o.force, "force", false, "write over a unit that is there")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return c.systemd(cmd.Context(), o) }
	return cmd
}

func (c *cli) systemd(ctx context.Context, o unitOptions) error {
	src, err := c.source()
	if err != nil {
		return err
	}
	p, err := load(ctx, src, c.warn)
	if err != nil {
		return err
	}
	text, err := c.unit(p, o.system)
	if err != nil {
		return err
	}
	if !o.install {
		_, err = fmt.Fprint(c.out, text)
		return err
	}
	name := "healbot-" + p.Name + ".service"
	dir, control := "/etc/systemd/system", "systemctl"
	if !o.system {
		config, err := os.UserConfigDir()
		if err != nil {
			return fmt.Errorf("cannot tell where your units are: %w", err)
		}
		dir, control = filepath.Join(config, "systemd", "user"), "systemctl --user"
	}
	path := filepath.Join(dir, name)
	if _, err := os.Lstat(path); err == nil && !o.force {
		return hinted{fmt.Errorf("cannot write %s: it is there already", path), "--force writes over it"}
	}
	err = os.MkdirAll(dir, 0o755)
	if err == nil {
		err = renameio.WriteFile(path, []byte(text), 0o644)
	}
	if err != nil {
		return fmt.Errorf("cannot install the unit: %w", err)
	}
	c.warn("wrote %s; start it, now and at each boot, with", path)
	c.warn("  %s daemon-reload && %s enable --now %s", control, control, name)
	if !o.system {
		c.warn("  loginctl enable-linger   # so that it runs while you are logged out")
	}
	return nil
}

// unit writes the unit. KillMode leaves the services to healbot: systemd would kill
// them when their supervisor dies, or is being restarted.
func (c *cli) unit(p runner.Project, system bool) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("cannot find healbot's own program: %w", err)
	}
	call := c.calledAs(self)
	var b strings.Builder
	fmt.Fprintf(&b, "[Unit]\nDescription=%s, supervised by healbot\n", plainUnit(p.Name))
	after := "network-online.target"
	for _, svc := range p.Services {
		if svc.Kind == service.Container && system {
			after += " docker.service"
			break
		}
	}
	target := "default.target"
	if system {
		target = "multi-user.target"
		fmt.Fprintf(&b, "Wants=network-online.target\nAfter=%s\n", after)
	}
	fmt.Fprintf(&b, "\n[Service]\nType=exec\nWorkingDirectory=%s\n", plainUnit(p.Dir))
	if system {
		who, err := owner(p.Dir)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "User=%s\n", who)
	}
	fmt.Fprintf(&b, "Environment=%s\n", quoteUnit("PATH="+os.Getenv("PATH")))
	fmt.Fprintf(&b, "ExecStart=%s up\nExecStop=%s down\n", call, call)
	fmt.Fprintf(&b, "KillMode=process\nRestart=on-failure\nRestartSec=1s\nTimeoutStopSec=%d\n", int(stopTime(p)/time.Second))
	fmt.Fprintf(&b, "\n[Install]\nWantedBy=%s\n", target)
	return b.String(), nil
}

// calledAs is the command line of healbot with the flags that say which project.
func (c *cli) calledAs(self string) string {
	words := []string{self}
	for _, f := range c.files {
		words = append(words, "-f", absolutePath(f))
	}
	for _, f := range c.envFiles {
		words = append(words, "--env-file", absolutePath(f))
	}
	for _, p := range c.profiles {
		words = append(words, "--profile", p)
	}
	if c.project != "" {
		words = append(words, "-p", c.project)
	}
	if c.projectDir != "" {
		words = append(words, "--project-directory", absolutePath(c.projectDir))
	}
	for i, w := range words {
		words[i] = quoteUnit(w)
	}
	return strings.Join(words, " ")
}

func absolutePath(path string) string {
	if at, err := filepath.Abs(path); err == nil {
		return at
	}
	return path
}

// stopTime is as long as all services may take to stop, one after the other.
func stopTime(p runner.Project) time.Duration {
	total := 30 * time.Second
	for _, svc := range p.Services {
		total += svc.Grace
	}
	return total
}

// plainUnit writes text where systemd takes the rest of the line.
func plainUnit(text string) string { return strings.ReplaceAll(text, "%", "%%") }

// quoteUnit writes a word of a command line or an assignment.
func quoteUnit(word string) string {
	word = strings.NewReplacer("%", "%%", "$", "$$", `\`, `\\`, `"`, `\"`).Replace(word)
	if strings.ContainsAny(word, " \t'\"\\;") {
		return `"` + word + `"`
	}
	return word
}

// owner gives the user whom a directory belongs to.
func owner(dir string) (string, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return "", fmt.Errorf("cannot look at the project directory: %w", err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "", errors.New("cannot tell whose the project directory is")
	}
	uid := strconv.Itoa(int(st.Uid))
	if u, err := user.LookupId(uid); err == nil {
		return u.Username, nil
	}
	return uid, nil
}
