package keeper

import (
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// GroupPrefix begins the name of every control group that healbot makes.
const GroupPrefix = "healbot-"

// grouped gives the processes in the unit's control group and in those below it.
func (u *unit) grouped() map[int]bool {
	in := map[int]bool{}
	if u.Group == "" {
		return in
	}
	_ = filepath.WalkDir(u.Group, func(dir string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil
		}
		text, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		for line := range strings.Lines(string(text)) {
			if pid, err := strconv.Atoi(strings.TrimSpace(line)); err == nil {
				in[pid] = true
			}
		}
		return nil
	})
	return in
}

// killGroup kills everything in the unit's control group (Linux 5.14), also what forks
// meanwhile and what is frozen.
func (u *unit) killGroup() {
	if u.Group != "" {
		_ = os.WriteFile(filepath.Join(u.Group, "cgroup.kill"), []byte("1"), 0)
	}
}
