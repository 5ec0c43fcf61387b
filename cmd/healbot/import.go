package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"
)

func (c *cli) importCommand() *cobra.Command {
	var output string
	var force bool
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Make a compose file from what another tool reads",
		Long: `Make a compose file from a start script with lines like
SERVICES[name]="Title|directory|script|port|variables|health URL", a Procfile, a
process-compose file or a supervisord.conf, whichever FILE is. What has no
counterpart becomes a warning with its place. Nothing is started.`,
	}
	cmd.Flags().StringVarP(&output, "output", "o", "-", "file to write; - is standard output")
	cmd.Flags().BoolVar(&force, "force", false, "write over a file that is there")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usageError("healbot import takes the name of one file")
		}
		return c.importFile(args[0], output, force)
	}
	return cmd
}

// A reader makes a draft from the text of one kind of file.
type reader struct {
	kind string
	is   *regexp.Regexp // what is in such a file, and in none of a kind before it
	read func(d *draft, text string) error
}

var readers = []reader{
	{"a supervisord.conf", regexp.MustCompile(`(?m)^\s*\[program:`), (*draft).supervisord},
	{"a process-compose file", regexp.MustCompile(`(?m)^processes\s*:`), (*draft).processCompose},
	{"a start script", regexp.MustCompile(`(?m)^\s*(SERVICES\b|declare -A SERVICES)`), (*draft).script},
	{"a Procfile", regexp.MustCompile(`\A(?:\n|\S[^\n]*\n?)+\z`), (*draft).procfile},
}

func (c *cli) importFile(file, output string, force bool) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("cannot import: %w", err)
	}
	d, err := draftOf(file, string(text))
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := d.write(&out); err != nil {
		return fmt.Errorf("cannot write the compose file: %w", err)
	}
	for _, w := range d.warnings {
		c.warn("%s", w)
	}
	if output == "-" {
		_, err = c.out.Write(out.Bytes())
		return err
	}
	if _, err := os.Lstat(output); err == nil && !force {
		return hinted{fmt.Errorf("cannot write %s: it is there already", output), "--force writes over it"}
	} else if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("cannot write %s: %w", output, err)
	}
	if err := renameio.WriteFile(output, out.Bytes(), 0o644); err != nil {
		return fmt.Errorf("cannot write %s: %w", output, err)
	}
	c.warn("%s has %s of %s; look it over, then healbot config -q and healbot up", output, count(len(d.services), "service"), file)
	return nil
}

// draftOf reads a file as the first kind that it looks like.
func draftOf(file, text string) (*draft, error) {
	at, err := filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	d := &draft{file: file, dir: filepath.Dir(at)}
	text = strings.ReplaceAll(text, "\r\n", "\n")
	for _, r := range readers {
		if !r.is.MatchString(text) {
			continue
		}
		if err := r.read(d, text); err != nil {
			return nil, fmt.Errorf("cannot read %s as %s: %w", file, r.kind, err)
		}
		if len(d.services) == 0 {
			return nil, fmt.Errorf("cannot import %s: it looks like %s, but declares no service", file, r.kind)
		}
		return d, nil
	}
	err = fmt.Errorf("cannot import %s: it is no file of a kind that healbot knows", file)
	return nil, hinted{err, `those are start scripts with SERVICES[name]="…" lines, Procfiles, process-compose files and supervisord.conf`}
}
