package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/healing-bot/healbot/compose"
	"github.com/healing-bot/healbot/runner"
	"github.com/healing-bot/healbot/service"
)

// A cli is what every command has: the global flags, and where to write.
type cli struct {
	out, err io.Writer

	files, profiles, envFiles []string
	project, projectDir       string
	ansi                      string
	progressAs                string // auto, tty, plain, json or quiet
	parallel                  int    // 0: as many as suit the machine
	dryRun, debug             bool
}

func rootCommand(out, errOut io.Writer) *cobra.Command {
	c := &cli{out: out, err: errOut, progressAs: "auto"}
	root := &cobra.Command{
		Use:   "healbot",
		Short: "Run native processes and containers from one file, and heal them",
		Long: `healbot reads healbot-compose.yml, starts its services in dependency order, native
processes and containers alike, watches their health, and restarts what fails.`,
		RunE:             func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceErrors:    true,
		SilenceUsage:     true,
		TraverseChildren: true,
	}
	root.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		err := usageError("%q is not a healbot command", args[0])
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			return hinted{err, "did you mean " + near[0] + "?"}
		}
		return hinted{err, "healbot --help lists the commands"}
	}
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error { return c.mayPlay(cmd) }
	root.SuggestionsMinimumDistance = 2
	root.SetOut(out)
	root.SetErr(errOut)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError("%w", err) })
	root.AddGroup(groups()...)
	root.SetHelpCommandGroupID(groupMake)
	root.SetCompletionCommandGroupID(groupMake)
	f := root.Flags()
	f.StringArrayVarP(&c.files, "file", "f", nil, "Compose `FILE`; may be given several times")
	f.StringVarP(&c.project, "project-name", "p", "", "`NAME` of the project")
	f.StringArrayVar(&c.profiles, "profile", nil, "`PROFILE` to enable; may be given several times")
	f.StringArrayVar(&c.envFiles, "env-file", nil, "environment `FILE` instead of .env")
	f.StringVar(&c.projectDir, "project-directory", "", "project `DIRECTORY` instead of the file's")
	f.StringVar(&c.ansi, "ansi", "auto", "colours `WHEN`: never, always or auto")
	f.Var(&word{&c.progressAs, []string{"auto", "tty", "plain", "json", "quiet"}}, "progress", "how a command says what it does: auto, tty, plain, json or quiet")
	f.IntVar(&c.parallel, "parallel", 0, "how many services start, or images are fetched, at once; =-1 for no limit (also COMPOSE_PARALLEL_LIMIT)")
	f.BoolVar(&c.dryRun, "dry-run", false, "say what a command would do, and do nothing")
	f.BoolVar(&c.debug, "debug", os.Getenv("DEBUG") == "1", "say more (also DEBUG=1)")
	c.addCommands(root)
	return root
}

// addCommands adds all commands, in the groups that help shows them in.
func (c *cli) addCommands(root *cobra.Command) {
	root.AddCommand(c.grouped(groupLife, c.playable(
		c.upCommand(), c.downCommand(), c.startCommand(), c.stopCommand(), c.restartCommand(), c.killCommand(),
		c.rmCommand(), c.buildCommand(), c.pullCommand(),
	)...)...)
	root.AddCommand(c.grouped(groupLife, c.pauseCommand(), c.unpauseCommand(), c.scaleCommand())...)
	root.AddCommand(c.grouped(groupLook,
		c.psCommand(), c.logsCommand(), c.eventsCommand(), c.whyCommand(), c.waitCommand(), c.portCommand(),
		c.topCommand(), c.statsCommand(), c.imagesCommand(), c.lsCommand(),
	)...)
	root.AddCommand(c.grouped(groupWork, c.execCommand(), c.runCommand(), c.cpCommand(), c.watchCommand())...)
	root.AddCommand(c.grouped(groupMake,
		c.configCommand(), c.importCommand(), c.simulateCommand(), c.doctorCommand(),
		c.systemdCommand(), c.schemaCommand(), c.versionCommand(),
	)...)
	root.AddCommand(c.superviseCommand(), c.providerCommand())
}

// source is what the flags say about where the project is read from.
func (c *cli) source() (service.Source, error) {
	dir, err := os.Getwd()
	if err != nil {
		return service.Source{}, fmt.Errorf("cannot tell the current directory: %w", err)
	}
	parallel, err := c.limit()
	return service.Source{
		Dir: dir, ProjectDir: c.projectDir, Files: c.files, Name: c.project,
		Profiles: c.profiles, EnvFiles: c.envFiles, Environ: os.Environ(), Parallel: parallel,
	}, err
}

// limit is how much may be done at once: 0 for what suits the machine, -1 for no limit.
func (c *cli) limit() (int, error) {
	n, from := c.parallel, "--parallel"
	if text := os.Getenv("COMPOSE_PARALLEL_LIMIT"); n == 0 && text != "" {
		from = "COMPOSE_PARALLEL_LIMIT"
		var err error
		if n, err = strconv.Atoi(text); err != nil || n == 0 {
			n = -2
		}
	}
	if n < -1 {
		return 0, usageError("%s takes a number from 1 on, or -1 for no limit", from)
	}
	return n, nil
}

// A word is a flag that takes one of a few words.
type word struct {
	value *string
	of    []string
}

// Set implements pflag.Value.
func (w *word) Set(s string) error {
	if !slices.Contains(w.of, s) {
		return fmt.Errorf("it takes %s or %s", strings.Join(w.of[:len(w.of)-1], ", "), w.of[len(w.of)-1])
	}
	*w.value = s
	return nil
}

// String implements pflag.Value.
func (w *word) String() string { return *w.value }

// Type implements pflag.Value.
func (w *word) Type() string { return "string" }

// projectDirectory finds the directory of the project that is meant: where its file
// is, or, when there is no file any more, where an earlier `up` kept its state.
func (c *cli) projectDirectory() (string, error) {
	src, err := c.source()
	if err != nil {
		return "", err
	}
	dir, err := compose.Locate(options(src))
	if err == nil {
		return dir, nil
	}
	if len(c.files) == 0 && c.projectDir == "" {
		if at, ok := stateAbove(src.Dir); ok {
			return at, nil
		}
	}
	return "", err
}

func stateAbove(dir string) (string, bool) {
	for ; ; dir = filepath.Dir(dir) {
		if info, err := os.Stat(runner.StateDir(dir)); err == nil && info.IsDir() {
			return dir, true
		}
		if dir == filepath.Dir(dir) {
			return "", false
		}
	}
}

// warn tells people something on stderr that is no error.
func (c *cli) warn(format string, args ...any) {
	fmt.Fprintf(c.err, "healbot: "+format+"\n", args...)
}
