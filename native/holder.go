package native

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// SetNamer has the backend ask what the container is called that has an id or an address,
// where one holds a port. "" is the answer of who does not know.
func (b *Backend) SetNamer(name func(ctx context.Context, idOrAddress string) string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.namer = name
}

// namingTime bounds how long a name is waited for, which is no more than a help.
const namingTime = 2 * time.Second

// called names a container.
func (b *Backend) called(idOrAddress string) string {
	b.mu.Lock()
	name := b.namer
	b.mu.Unlock()
	if name == nil || idOrAddress == "" {
		return ""
	}
	ctx, cancel := context.WithTimeout(context.Background(), namingTime)
	defer cancel()
	return name(ctx, idOrAddress)
}

// holder names the process that has a socket open, and to whom it belongs, as far as it
// can be seen.
func (b *Backend) holder(inode string) string {
	want := "socket:[" + inode + "]"
	fds, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && to == want {
			pid := strings.Split(fd, "/")[2]
			name, _ := os.ReadFile("/proc/" + pid + "/comm")
			about := []string{strings.TrimSpace(string(name))}
			if owner := b.owner("/proc/" + pid); owner != "" {
				about = append(about, owner)
			}
			return fmt.Sprintf("pid %s (%s)", pid, strings.Join(about, ", "))
		}
	}
	return "a process of another user"
}

// containerID is how engines name the control groups of containers.
var containerID = regexp.MustCompile(`[0-9a-f]{64}`)

// owner says to whom a process belongs: a project of healbot's, a container, or a unit of
// systemd; "" if to nobody that is known.
func (b *Backend) owner(proc string) string {
	env := words(proc + "/environ")
	if dir := variable(env, "HEALBOT_PROJECT_DIR"); dir != "" && variable(env, "HEALBOT_ID") != "" {
		return "of the project in " + dir
	}
	if args := words(proc + "/cmdline"); len(args) > 0 && path.Base(args[0]) == "docker-proxy" {
		if i := slices.Index(args, "-container-ip"); i > 0 && i+1 < len(args) {
			if name := b.called(args[i+1]); name != "" {
				return "for container " + name
			}
			return "for the container at " + args[i+1]
		}
	}
	groups, _ := os.ReadFile(proc + "/cgroup")
	if id := containerID.Find(groups); id != nil {
		if name := b.called(string(id)); name != "" {
			return "in container " + name
		}
		return fmt.Sprintf("in container %.12s", id)
	}
	for line := range strings.Lines(string(groups)) {
		if unit := path.Base(strings.TrimSpace(line)); strings.HasSuffix(unit, ".service") {
			return unit
		}
	}
	return ""
}

// words reads what the kernel separates by zero bytes.
func words(file string) []string {
	text, _ := os.ReadFile(file)
	return strings.FieldsFunc(string(text), func(c rune) bool { return c == 0 })
}
