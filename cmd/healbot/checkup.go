package main

import (
	"cmp"
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/docker/go-units"
	"golang.org/x/sys/unix"

	"github.com/healing-bot/healbot/native"
	"github.com/healing-bot/healbot/runner"
	"github.com/healing-bot/healbot/service"
)

// pythons looks at what there is, and at what each service that needs one would get.
func (k *checkup) pythons(ctx context.Context) {
	found := k.native.Pythons(ctx, os.Getenv("PATH"))
	if len(found) > 0 {
		k.add(good, "", "Python %s", strings.Join(found, ", "))
	}
	needed := false
	for _, svc := range k.project.Services {
		if svc.Process == nil || svc.Process.Python == nil {
			continue
		}
		needed = true
		if _, err := k.native.Interpreter(ctx, svc); err != nil {
			k.add(bad, "", "%v", err)
		}
	}
	if len(found) == 0 && !needed {
		k.add(note, "", "no Python on PATH; nothing declared needs one")
	}
}

// engine asks the Docker engine who it is, if there is one.
func (k *checkup) engine(ctx context.Context) {
	var images []string
	for _, svc := range k.project.Services {
		if svc.Image != nil && svc.Image.Config.Image != "" {
			images = append(images, svc.Image.Config.Image)
		}
	}
	version, api, err := k.docker.About(ctx)
	switch {
	case err != nil && len(images) == 0:
		k.add(note, "only containers need it", "%v", err)
		return
	case err != nil:
		k.add(bad, "native services run without it; containers wait for it", "%v", err)
		return
	}
	k.add(good, "", "Docker engine %s, API %s", version, api)
	slices.Sort(images)
	for _, ref := range slices.Compact(images) {
		if !k.docker.HasImage(ctx, ref) {
			k.add(note, "healbot pull fetches it now", "image %s is not here yet; it will be pulled", ref)
		}
	}
}

// programs looks up the commands of native services. What a venv will bring is not
// looked for before it is there.
func (k *checkup) programs() {
	for _, svc := range k.project.Services {
		if svc.Process == nil || svc.Process.Python != nil {
			continue
		}
		if err := native.Program(svc); err != nil {
			k.add(bad, "", "%s: %v", svc.Name, err)
		}
	}
}

// ports looks who holds what the services will listen on.
func (k *checkup) ports() {
	free, own := 0, 0
	for _, svc := range k.project.Services {
		for _, p := range svc.Ports {
			if p.Published == 0 {
				continue
			}
			p.Target = p.Published
			err := k.native.Port(p)
			switch {
			case err == nil:
				free++
			case k.live(svc.Name):
				own++
			default:
				k.add(bad, "stop what holds it, or declare another port", "%s: %v", svc.Name, err)
			}
		}
	}
	switch {
	case own > 0:
		k.add(good, "", "%s free, %s in use by the project itself", count(free, "declared port"), count(own, "port"))
	case free > 0:
		k.add(good, "", "%s free", count(free, "declared port"))
	}
}

func (k *checkup) controlGroups() {
	kinds, unified := native.Limitable()
	hierarchy := "v1"
	if unified {
		hierarchy = "v2"
	}
	if len(kinds) == 3 {
		k.add(good, "", "control groups (%s): cpu, memory and pids can be limited", hierarchy)
		return
	}
	limited := slices.ContainsFunc(k.project.Services, func(s service.Service) bool {
		return s.Process != nil && (s.Process.Limits.CPUs > 0 || s.Process.Limits.Memory > 0 || s.Process.Limits.PIDs > 0)
	})
	advice := "no service asks for a limit"
	if limited {
		advice = "run healbot as root, or under systemd-run --user --scope -p Delegate=yes"
	}
	k.add(note, advice, "control groups: of cpu, memory and pids we may limit %s", cmp.Or(strings.Join(kinds, ", "), "none"))
}

// Free space below which logs and environments get into trouble.
const (
	littleSpace = 1 << 30
	noSpace     = 50 << 20
)

func (k *checkup) disk() {
	var st unix.Statfs_t
	if err := unix.Statfs(k.project.Dir, &st); err != nil {
		k.add(bad, "", "cannot look at the disk of %s: %v", k.project.Dir, err)
		return
	}
	free := st.Bavail * uint64(st.Bsize)
	text := units.BytesSize(float64(free)) + " free in " + k.project.Dir
	switch {
	case free < noSpace:
		k.add(bad, "make room: logs and state can't be written", "only %s", text)
	case free < littleSpace:
		k.add(note, "logs are rotated, but a Python environment may not fit", "only %s", text)
	default:
		k.add(good, "", "%s", text)
	}
}

// stateFolder makes sure that we may write the project's state, and nobody else.
func (k *checkup) stateFolder() {
	if unix.Access(k.project.Dir, unix.W_OK) != nil {
		k.add(bad, "run healbot as its owner, or correct its mode", "%s can't be written", k.project.Dir)
		return
	}
	state := runner.StateDir(k.project.Dir)
	info, err := os.Lstat(state)
	switch {
	case os.IsNotExist(err):
		k.add(good, "", "%s can be written", k.project.Dir)
	case err != nil:
		k.add(bad, "", "cannot look at %s: %v", state, err)
	case !info.IsDir() || info.Mode().Perm()&0o077 != 0:
		k.add(bad, "chmod 700 "+state, "%s must be a folder of mode 0700, and is %v", state, info.Mode())
	case unix.Access(state, unix.W_OK) != nil:
		k.add(bad, "healbot down by the user who brought the project up, or chown it", "%s is somebody else's", state)
	default:
		k.add(good, "", "%s can be written, by nobody else", state)
	}
}

// systemd looks whether a unit that we run in would take the services along.
func (k *checkup) systemd(ctx context.Context) {
	unit := ownUnit(os.DirFS("/"))
	if unit == "" || strings.HasPrefix(unit, "user@") { // a person's session is no unit of ours
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "systemctl", "show", "-p", "KillMode", "--value", unit).Output()
	if err != nil {
		return
	}
	if mode := strings.TrimSpace(string(out)); mode == "process" || mode == "none" {
		k.add(good, "", "systemd unit %s leaves services alive when healbot ends (KillMode=%s)", unit, mode)
	} else {
		k.add(note, "set KillMode=process, as the unit of healbot systemd does", "systemd unit %s would kill all services when healbot ends (KillMode=%s)", unit, mode)
	}
}

// ownUnit gives the systemd service that this process is part of; "" if it is in none.
func ownUnit(root fs.FS) string {
	text, _ := fs.ReadFile(root, "proc/self/cgroup")
	for line := range strings.Lines(string(text)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) == 3 && (f[1] == "" || f[1] == "name=systemd") && strings.HasSuffix(f[2], ".service") {
			return path.Base(f[2])
		}
	}
	return ""
}
