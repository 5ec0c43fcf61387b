package keeper

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// ready opens the log, or opens it anew when its name means another file now, and
// says how long it is. Bytes always go to the end, wherever that has moved.
func (s *sink) ready() (int64, error) {
	var open unix.Stat_t
	if s.file != nil {
		if err := unix.Fstat(int(s.file.Fd()), &open); err != nil {
			return 0, err
		}
		if names(s.log.Path, open) || names(s.now().Path, open) {
			return open.Size, nil
		}
		s.file.Close()
		s.index.close()
		s.file, s.index = nil, nil
	}
	log := s.now()
	f, err := openLog(log.Path)
	if err != nil {
		return 0, err
	}
	s.file = f
	err = unix.Fstat(int(f.Fd()), &open)
	if err == nil {
		s.index = openIndex(log, open.Ino, open.Size)
	}
	return open.Size, err
}

// now is the log where it lies now.
func (s *sink) now() Log {
	log := s.log
	log.Path, log.Times = s.home.Now(log.Path), s.home.Now(log.Times)
	return log
}

// names reports whether path is a name of the file that st is of.
func names(path string, st unix.Stat_t) bool {
	var named unix.Stat_t
	return unix.Lstat(path, &named) == nil && named.Ino == st.Ino && named.Dev == st.Dev
}

// openLog opens a log for writing and makes it when it is not there. It refuses
// what is no plain file of ours: a link, a device, a second name of another file.
func openLog(path string) (*os.File, error) {
	const flags = unix.O_RDWR | unix.O_NOFOLLOW | unix.O_CLOEXEC | unix.O_NONBLOCK
	fd, err := unix.Open(path, flags, 0)
	if err == unix.ENOENT {
		// Only its folder: a project that is gone, or elsewhere now, is not made anew.
		if err := os.Mkdir(filepath.Dir(path), 0o750); err != nil && !errors.Is(err, os.ErrExist) {
			return nil, err
		}
		if fd, err = unix.Open(path, flags|unix.O_CREAT|unix.O_EXCL, 0o640); err == nil {
			err = unix.Fchmod(fd, 0o640)
		}
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Nlink != 1 || int(st.Uid) != os.Geteuid() {
		unix.Close(fd)
		return nil, fmt.Errorf("%s is not a plain file of its own: remove it", path)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// rotate gives the log the name .1, the older ones a higher number each, and begins
// a new one. Only the file beyond MaxFiles is given up. A rotation that was cut off
// leaves a gap in the numbers; the next one fills it.
func (s *sink) rotate() error {
	path := s.now().Path
	old := func(i int) string { return path + "." + strconv.Itoa(i) }
	last := s.log.MaxFiles - 1
	// The file that goes is freed elsewhere, since that takes as long as writing it.
	if fd, err := unix.Open(old(last), unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0); err == nil {
		defer func() { go unix.Close(fd) }()
	}
	for i := last + 1; i > 0 && os.Remove(old(i)) == nil; i++ {
	}
	free := 1
	for free < last && exists(old(free)) {
		free++
	}
	for i := free; i > 1; i-- {
		if err := os.Rename(old(i-1), old(i)); err != nil {
			return err
		}
	}
	var err error
	if last >= 1 {
		err = os.Rename(path, old(1))
	} else {
		err = os.Remove(path)
	}
	if err == nil {
		_, err = s.ready()
	}
	return err
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
