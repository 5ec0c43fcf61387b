package native

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/healing-bot/healbot/service"
)

// Command makes argv a command of this host that has the environment, the working
// directory, the Python environment and the secrets of a native service: what a user
// runs beside it. dir, if not empty, stands instead of working_dir, and env goes on
// top. The limits of the service do not bind it; a service that runs as another user
// is refused, since the command would have healbot's own rights.
func (b *Backend) Command(svc service.Service, argv []string, dir string, env []string) (*exec.Cmd, error) {
	if svc.Process == nil {
		return nil, fmt.Errorf("service %s is no native service", svc.Name)
	}
	if user := svc.Process.Limits.User; user != "" {
		return nil, fmt.Errorf("cannot run a command as %s does: it has a user of its own, %s, and a command would have healbot's rights", svc.Name, user)
	}
	files, err := b.deliver(svc)
	if err != nil {
		return nil, err
	}
	p := *svc.Process
	p.Argv, p.Env = argv, environment(p.Env, slices.Concat(files, []string{"HEALBOT_PROJECT_DIR=" + b.dir}, env)...)
	if dir != "" {
		if p.Dir = dir; !filepath.IsAbs(dir) {
			p.Dir = filepath.Join(svc.Process.Dir, dir)
		}
	}
	program, err := lookUp(&p)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(program)
	cmd.Args, cmd.Dir, cmd.Env = argv, p.Dir, p.Env
	return cmd, nil
}
