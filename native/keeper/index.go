package keeper

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	indexEntry = 16                     // bytes: an offset and a time, both big-endian
	indexEvery = 100 * time.Millisecond // at most one entry in so long …
	indexThin  = 16 << 10               // … which doubles with each so many entries
)

// An index says when the bytes of one log file were written: beside the log, since
// that holds nothing but what the service wrote. It is named after the inode of its log,
// so that rotation, which only renames, does not touch it. An entry is written before
// the bytes that it speaks of: a keeper that is killed between the two leaves one that
// its successor replaces. The index of a log that can't have one is nil.
type index struct {
	file *os.File
	n    int64     // entries
	last int64     // offset of the last one
	at   time.Time // of the last one; zero if another process wrote it
}

// openIndex opens the index of the log file that has inode and size.
func openIndex(log Log, inode uint64, size int64) *index {
	if log.Times == "" {
		return nil
	}
	sweepIndexes(log)
	flags := os.O_RDWR | os.O_CREATE | unix.O_NOFOLLOW | unix.O_NONBLOCK
	if size == 0 {
		flags |= os.O_TRUNC // what lies there is of a file that is gone
	}
	name := filepath.Join(log.Times, strconv.FormatUint(inode, 10))
	f, err := os.OpenFile(name, flags, 0o600)
	if errors.Is(err, os.ErrNotExist) {
		if err = os.MkdirAll(log.Times, 0o700); err == nil {
			f, err = os.OpenFile(name, flags, 0o600)
		}
	}
	if err != nil {
		logf("cannot note when %s is written: %v", log.Path, err)
		return nil
	}
	x := &index{file: f}
	if st, err := f.Stat(); err == nil && st.Size() >= indexEntry {
		var e [indexEntry]byte
		x.n = st.Size() / indexEntry
		if _, err := f.ReadAt(e[:], (x.n-1)*indexEntry); err == nil {
			x.last = int64(binary.BigEndian.Uint64(e[:]))
		}
	}
	return x
}

// note writes down that what comes to offset comes now, if something waits in the pipe
// and the last entry is old enough. An index that can't be written is tried again.
func (x *index) note(pipe int, offset int64) {
	if x == nil {
		return
	}
	now := time.Now()
	if offset < x.last { // the log was cut
		if x.file.Truncate(0) != nil {
			return
		}
		x.n, x.last, x.at = 0, 0, time.Time{}
	}
	if !x.at.IsZero() && now.Sub(x.at) < indexEvery<<min(x.n/indexThin, 16) {
		return
	}
	if waiting, err := unix.IoctlGetInt(pipe, unix.TIOCINQ); err != nil || waiting == 0 {
		return
	}
	place := x.n
	if x.n > 0 && offset == x.last {
		place-- // nothing came after that entry
	}
	var e [indexEntry]byte
	binary.BigEndian.PutUint64(e[:], uint64(offset))
	binary.BigEndian.PutUint64(e[8:], uint64(now.UnixNano()))
	if _, err := x.file.WriteAt(e[:], place*indexEntry); err == nil {
		x.n, x.last, x.at = place+1, offset, now
	}
}

func (x *index) close() {
	if x != nil {
		x.file.Close()
	}
}

// sweepIndexes removes the indexes of log files that are gone.
func sweepIndexes(log Log) {
	indexes, err := os.ReadDir(log.Times)
	if err != nil {
		return
	}
	live := map[string]bool{}
	files, err := os.ReadDir(filepath.Dir(log.Path))
	for _, f := range files {
		var st unix.Stat_t
		path := filepath.Join(filepath.Dir(log.Path), f.Name())
		if strings.HasPrefix(path, log.Path) && unix.Lstat(path, &st) == nil {
			live[strconv.FormatUint(st.Ino, 10)] = true
		}
	}
	for _, x := range indexes {
		if err == nil && !live[x.Name()] {
			_ = os.Remove(filepath.Join(log.Times, x.Name()))
		}
	}
}

// forgetIndex makes the sink open its index anew, since somebody removed it.
func (s *sink) forgetIndex() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file != nil {
		var st unix.Stat_t
		if unix.Fstat(int(s.file.Fd()), &st) == nil {
			s.index.close()
			s.index = openIndex(s.now(), st.Ino, st.Size)
		}
	}
}
