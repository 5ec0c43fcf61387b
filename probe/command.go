package probe

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/healing-bot/healbot/service"
)

const (
	maxOutput = 4 << 10     // bytes of a command's output that are remembered
	maxWhy    = 200         // characters of a reason
	lastWords = time.Second // for output that is still in the pipe at the end
)

// command runs argv once. What it started does not outlive it.
func command(ctx context.Context, argv []string, dir string, env []string) service.Verdict {
	path, err := find(argv[0], dir, env)
	if err != nil {
		return unable(err.Error())
	}
	r, w, err := os.Pipe()
	if err != nil {
		return unable(err.Error())
	}
	defer r.Close()
	c := exec.CommandContext(ctx, path, argv[1:]...)
	c.Args[0], c.Dir, c.Env = argv[0], dir, env
	c.Stdout, c.Stderr = w, w
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	c.Cancel = func() error { return killGroup(c.Process.Pid) }
	c.WaitDelay = time.Second
	err = c.Start()
	w.Close()
	if err != nil {
		return unable(short(err.Error()))
	}
	said := make(chan string, 1)
	go func() { said <- lastLine(r) }()
	err = c.Wait()
	_ = killGroup(c.Process.Pid) // what it left behind would hold the pipe open
	_ = r.SetReadDeadline(time.Now().Add(lastWords))
	return result(err, c.ProcessState, <-said)
}

// result turns the end of a command into a verdict. 126 and 127 are a shell's codes for
// a command that it could not run.
func result(err error, end *os.ProcessState, said string) service.Verdict {
	var failed *exec.ExitError
	switch {
	case err == nil:
		return service.Verdict{Healthy: true, Why: said}
	case end == nil, !errors.As(err, &failed):
		return unable(short(err.Error()))
	}
	why := said
	if why == "" {
		why = strings.Replace(end.String(), "exit status", "exit code", 1)
	}
	code := end.ExitCode()
	return service.Verdict{Unable: code == 126 || code == 127, Why: why}
}

func killGroup(leader int) error {
	err := syscall.Kill(-leader, syscall.SIGKILL)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
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

// lastLine reads r to its end and gives the last line that is not empty.
func lastLine(r *os.File) string {
	var kept []byte
	buffer := make([]byte, maxOutput)
	for {
		n, err := r.Read(buffer)
		kept = append(kept, buffer[:n]...)
		if over := len(kept) - maxOutput; over > 0 {
			kept = kept[:copy(kept, kept[over:])]
		}
		if err != nil {
			break
		}
	}
	text := strings.TrimRightFunc(string(kept), unicode.IsSpace)
	return short(text[strings.LastIndexByte(text, '\n')+1:])
}

// short makes text fit for one line of a table.
func short(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(strings.TrimSpace(text), "?"))
	if runes := []rune(text); len(runes) > maxWhy {
		return string(runes[:maxWhy-1]) + "…"
	}
	return text
}
