// Package home finds the directory of a project again that somebody has renamed.
package home

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A Dir is the directory of a project. Somebody may rename it while the project is up,
// and even put another one in its place.
type Dir struct {
	path string
	open *os.File // nil if it could not be opened
}

// Open opens the directory at path, until nobody refers to the Dir any more.
func Open(path string) Dir {
	open, _ := os.Open(path)
	return Dir{path, open}
}

// Of gives the directory that was opened at path.
func Of(path string, open *os.File) Dir { return Dir{path, open} }

// Path says where the directory is now. One that was removed is where it was.
func (d Dir) Path() string {
	var st unix.Stat_t
	fd := int(d.open.Fd())
	if unix.Fstat(fd, &st) != nil || st.Nlink == 0 || leadsTo(d.path, st) {
		return d.path
	}
	now, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil || !leadsTo(now, st) {
		return d.path
	}
	return now
}

// Now says where something is that lay in the directory, at path, when that was opened.
func (d Dir) Now(path string) string {
	if rest, inside := strings.CutPrefix(path, d.path+"/"); inside {
		return filepath.Join(d.Path(), rest)
	}
	return path
}

func leadsTo(path string, st unix.Stat_t) bool {
	var named unix.Stat_t
	return unix.Stat(path, &named) == nil && named.Ino == st.Ino && named.Dev == st.Dev
}
