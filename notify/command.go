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

	"github.com/healing-bot/healbot/internal/brief"
	"github.com/healing-bot/healbot/service"
)

// run starts argv with body on its input and waits for its end. What it started does
// not outlive it.
func run(ctx context.Context, argv []string, dir string, m service.Message, body []byte) error {
	name := argv[0]
	if strings.Contains(name, "/") && !filepath.IsAbs(name) {
		name = filepath.Join(dir, name)
	}
	c := exec.CommandContext(ctx, name, argv[1:]...)
	c.Args[0], c.Dir, c.Env = argv[0], dir, append(os.Environ(), environ(m)...)
	c.Stdin = bytes.NewReader(body)
	said, err := brief.Run(c)
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%s did not end in time", argv[0])
	case said != "":
		return fmt.Errorf("%s: %w: %q", argv[0], err, said)
	}
	return fmt.Errorf("%s: %w", argv[0], err)
}
