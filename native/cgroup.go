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

	"github.com/healing-bot/healbot/native/keeper"
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
				dir = topmost(f[1], own[""], divisible(kind))
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

// nursery finds, once, the folder in which each instance gets a control group of
// version 2: the one where limits are set, else the topmost that we may write to. It is
// "" where there is none, or none that can be killed as a whole (Linux 5.14).
var nursery = sync.OnceValue(func() string {
	for _, at := range controllers() {
		if at.unified {
			return at.dir
		}
	}
	mounts, _ := os.ReadFile("/proc/self/mounts")
	for line := range strings.Lines(string(mounts)) {
		f := strings.Fields(line)
		if len(f) < 4 || f[2] != "cgroup2" {
			continue
		}
		dir := topmost(f[1], ownGroups()[""], writable)
		trial := filepath.Join(dir, keeper.GroupPrefix+newID())
		if dir == "" || os.Mkdir(trial, 0o755) != nil {
			continue
		}
		_, err := os.Stat(filepath.Join(trial, "cgroup.kill"))
		_ = unix.Rmdir(trial)
		if err == nil {
			return dir
		}
	}
	return ""
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

// topmost gives the first group on the way from mount down to path that will do; "" if
// none does.
func topmost(mount, path string, will func(dir string) bool) string {
	dir := mount
	for _, part := range append([]string{""}, strings.Split(strings.Trim(path, "/"), "/")...) {
		if dir = filepath.Join(dir, part); will(dir) {
			return dir
		}
	}
	return ""
}

// divisible tells whether groups with the controller can be made in a group.
func divisible(kind string) func(dir string) bool {
	return func(dir string) bool {
		return writable(dir) && (has(dir, "cgroup.subtree_control", kind) || has(dir, "cgroup.controllers", kind) &&
			os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+kind), 0) == nil)
	}
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
	return keeper.GroupPrefix + hex.EncodeToString(sum[:4]) + "-" + replica
}

// confine makes the control groups of a replica, empty: one of version 2 that holds its
// tree together, "" if there can be none, and folders of version 1 that it enters for its
// limits. What this machine can't limit is left out; Warnings says so.
func (b *Backend) confine(l service.Limits, replica string) (group string, dirs []string, err error) {
	b.release(replica)
	if in := nursery(); in != "" {
		group = filepath.Join(in, b.groupName(replica))
		if os.Mkdir(group, 0o755) != nil {
			group = ""
		}
	}
	for kind, files := range knobs(l) {
		at, there := controllers()[kind]
		if !there {
			continue
		}
		dir := filepath.Join(at.dir, b.groupName(replica))
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", nil, fmt.Errorf("cannot make its control group: %w", err)
		}
		for _, f := range files {
			if err := os.WriteFile(filepath.Join(dir, f[0]), []byte(f[1]), 0); err != nil {
				return "", nil, fmt.Errorf("cannot limit its %s: %w", kind, err)
			}
		}
		if dir != group && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return group, dirs, nil
}

// release removes the control groups of a replica that has ended; "*" stands for all.
func (b *Backend) release(replica string) {
	places := map[string]bool{nursery(): true}
	for _, at := range controllers() {
		places[at.dir] = true
	}
	delete(places, "")
	for place := range places {
		groups, _ := filepath.Glob(filepath.Join(place, b.groupName(replica)))
		for _, group := range groups {
			removeGroup(group)
		}
	}
}

// removeGroup removes a control group with those that a service made in it. One that
// holds processes stays.
func removeGroup(dir string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() {
			removeGroup(filepath.Join(dir, e.Name()))
		}
	}
	_ = unix.Rmdir(dir)
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
