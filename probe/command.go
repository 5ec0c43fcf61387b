package probe

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/healing-bot/healbot/internal/brief"
	"github.com/healing-bot/healbot/service"
)

// command runs argv once. What it started does not outlive it.
func command(ctx context.Context, argv []string, dir string, env []string) service.Verdict {
	path, err := find(argv[0], dir, env)
	if err != nil {
		return unable(err.Error())
	}
	c := exec.CommandContext(ctx, path, argv[1:]...)
	c.Args[0], c.Dir, c.Env = argv[0], dir, env
	said, err := brief.Run(c)
	return result(err, c.ProcessState, said)
}

// result turns the end of a command into a verdict. 126 and 127 are a shell's codes for
// a command that it could not run.
func result(err error, end *os.ProcessState, said string) service.Verdict {
	var failed *exec.ExitError
	switch {
	case err == nil:
		return service.Verdict{Healthy: true, Why: said}
	case end == nil, !errors.As(err, &failed):
		return unable(brief.Line(err.Error()))
	}
	why := said
	if why == "" {
		why = strings.Replace(end.String(), "exit status", "exit code", 1)
	}
	code := end.ExitCode()
	return service.Verdict{Unable: code == 126 || code == 127, Why: why}
}

// find looks a command up as a shell started in dir with env would.
func find(command, dir string, env []string) (string, error) {
	if strings.Contains(command, "/") {
		if !filepath.IsAbs(command) {
			command = filepath.Join(dir, command)
		}
		return command, executable(command)
	}
	paths := ""
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, "PATH="); ok {
			paths = v
		}
	}
	for _, folder := range filepath.SplitList(paths) {
		if !filepath.IsAbs(folder) {
			folder = filepath.Join(dir, folder)
		}
		if path := filepath.Join(folder, command); executable(path) == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("command %s not found on the service's PATH", command)
}

func executable(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return fmt.Errorf("command %s not found", path)
	case info.IsDir() || info.Mode()&0o111 == 0:
		return fmt.Errorf("command %s is not executable", path)
	}
	return nil
}
