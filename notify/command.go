package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/healing-bot/healbot/service"
)

// run starts argv with body on its input and waits for its end. What it started does
// not outlive it.
func run(ctx context.Context, argv []string, dir string, m service.Message, body []byte) error {
	name := argv[0]
	if strings.Contains(name, "/") && !filepath.IsAbs(name) {
		name = filepath.Join(dir, name)
	}
	var said limited
	c := exec.CommandContext(ctx, name, argv[1:]...)
	c.Args[0], c.Dir, c.Env = argv[0], dir, append(os.Environ(), environ(m)...)
	c.Stdin, c.Stdout, c.Stderr = bytes.NewReader(body), &said, &said
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	c.Cancel = func() error { return killGroup(c.Process.Pid) }
	c.WaitDelay = time.Second
	err := c.Run()
	if c.Process != nil {
		_ = killGroup(c.Process.Pid)
	}
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%s did not end in time", argv[0])
	}
	return fmt.Errorf("%s: %w%s", argv[0], err, lastWords(said.String()))
}

func killGroup(leader int) error {
	err := syscall.Kill(-leader, syscall.SIGKILL)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}

// maxSaid is how much of a command's output is remembered.
const maxSaid = 4 << 10

// limited forgets what goes beyond maxSaid.
type limited struct{ strings.Builder }

func (l *limited) Write(b []byte) (int, error) {
	l.Builder.Write(b[:min(len(b), maxSaid-l.Len())])
	return len(b), nil
}

func lastWords(said string) string {
	said = strings.TrimSpace(said)
	if said == "" {
		return ""
	}
	return fmt.Sprintf(": %q", said[strings.LastIndexByte(said, '\n')+1:])
}
