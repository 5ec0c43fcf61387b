package native

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/healing-bot/healbot/service"
)

// A controller is a place below which control groups of one kind can be made.
type controller struct {
	dir     string
	unified bool // cgroup v2
}

// controllers finds, once, where cpu, memory and pids can be limited: in version 2 the
// topmost group above this process that we may divide, in version 1 this process's own.
var controllers = sync.OnceValue(func() map[string]controller {
	found := map[string]controller{}
	own := ownGroups()
	mounts, _ := os.ReadFile("/proc/self/mounts")
	for line := range strings.Lines(string(mounts)) {
		f := strings.Fields(line)
		if len(f) < 4 {
			continue
		}
		for _, kind := range []string{"cpu", "memory", "pids"} {
			dir := ""
			switch {
			case f[2] == "cgroup2":
				dir = divisible(f[1], own[""], kind)
			case f[2] == "cgroup" && slices.Contains(strings.Split(f[3], ","), kind):
				dir = firstWritable(filepath.Join(f[1], own[kind]), f[1])
			}
			if _, done := found[kind]; dir != "" && !done {
				found[kind] = controller{dir, f[2] == "cgroup2"}
			}
		}
	}
	return found
})

// ownGroups gives the path of this process in each hierarchy; "" is version 2.
func ownGroups() map[string]string {
	own := map[string]string{}
	text, _ := os.ReadFile("/proc/self/cgroup")
	for line := range strings.Lines(string(text)) {
		if f := strings.SplitN(strings.TrimSpace(line), ":", 3); len(f) == 3 {
			for _, kind := range strings.Split(f[1], ",") {
				own[kind] = f[2]
			}
		}
	}
	return own
}

// divisible gives the topmost group on the way to path in which groups with the
// controller can be made.
func divisible(mount, path, kind string) string {
	dir := mount
	for _, part := range append([]string{""}, strings.Split(strings.Trim(path, "/"), "/")...) {
		dir = filepath.Join(dir, part)
		if writable(dir) && (has(dir, "cgroup.subtree_control", kind) || has(dir, "cgroup.controllers", kind) &&
			os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+kind), 0) == nil) {
			return dir
		}
	}
	return ""
}

func has(dir, file, word string) bool {
	b, _ := os.ReadFile(filepath.Join(dir, file))
	return slices.Contains(strings.Fields(string(b)), word)
}

func firstWritable(dirs ...string) string {
	for _, dir := range dirs {
		if writable(dir) {
			return dir
		}
	}
	return ""
}

func writable(dir string) bool { return unix.Access(dir, unix.W_OK) == nil }

// knobs gives what is to be written into the files of each controller's group.
func knobs(l service.Limits) map[string][][2]string {
	const period = 100_000 // microseconds
	all := map[string][][2]string{}
	found := controllers()
	if l.CPUs > 0 {
		quota := strconv.Itoa(max(int(l.CPUs*period), 1000))
		all["cpu"] = [][2]string{{"cpu.cfs_period_us", strconv.Itoa(period)}, {"cpu.cfs_quota_us", quota}}
		if found["cpu"].unified {
			all["cpu"] = [][2]string{{"cpu.max", fmt.Sprint(quota, " ", period)}}
		}
	}
	if l.Memory > 0 {
		size := strconv.FormatInt(l.Memory, 10)
		all["memory"] = [][2]string{{"memory.limit_in_bytes", size}}
		if found["memory"].unified {
			all["memory"] = [][2]string{{"memory.max", size}}
		}
	}
	if l.PIDs > 0 {
		all["pids"] = [][2]string{{"pids.max", strconv.FormatInt(l.PIDs, 10)}}
	}
	return all
}

// groupName names the control groups of a replica; it is the same for every run.
func (b *Backend) groupName(replica string) string {
	sum := sha256.Sum256([]byte(b.dir))
	return "healbot-" + hex.EncodeToString(sum[:4]) + "-" + replica
}

// confine makes the control groups of a replica, empty, and gives their folders. What
// this machine can't limit is left out; Warnings says so.
func (b *Backend) confine(l service.Limits, replica string) (dirs []string, err error) {
	b.release(replica)
	for kind, files := range knobs(l) {
		at, there := controllers()[kind]
		if !there {
			continue
		}
		dir := filepath.Join(at.dir, b.groupName(replica))
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("cannot make its control group: %w", err)
		}
		for _, f := range files {
			if err := os.WriteFile(filepath.Join(dir, f[0]), []byte(f[1]), 0); err != nil {
				return nil, fmt.Errorf("cannot limit its %s: %w", kind, err)
			}
		}
		if !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs, nil
}

// release removes the control groups of a replica that has ended; "*" stands for all.
func (b *Backend) release(replica string) {
	for _, at := range controllers() {
		dirs, _ := filepath.Glob(filepath.Join(at.dir, b.groupName(replica)))
		for _, dir := range dirs {
			_ = unix.Rmdir(dir)
		}
	}
}

// starved says how many processes of a replica the kernel killed for their memory.
func (b *Backend) starved(replica string) int {
	at, there := controllers()["memory"]
	file := "memory.oom_control"
	if at.unified {
		file = "memory.events"
	}
	text, err := os.ReadFile(filepath.Join(at.dir, b.groupName(replica), file))
	if !there || err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if n, ok := strings.CutPrefix(strings.TrimSpace(line), "oom_kill "); ok {
			count, _ := strconv.Atoi(n)
			return count
		}
	}
	return 0
}

// Warnings says which limits of the services this machine can't enforce for us.
func Warnings(services []service.Service) []string {
	var names, kinds []string
	for _, svc := range services {
		if svc.Process == nil {
			continue
		}
		lacks := false
		for kind := range knobs(svc.Process.Limits) {
			if _, there := controllers()[kind]; !there {
				lacks, kinds = true, append(kinds, kind)
			}
		}
		if lacks {
			names = append(names, svc.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(kinds)
	return []string{fmt.Sprintf("limits of %s are not enforced for %s: no control group of this machine lets us set them; run healbot as root, or under systemd-run --user --scope",
		strings.Join(slices.Compact(kinds), ", "), strings.Join(names, ", "))}
}
