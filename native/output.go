package native

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/healing-bot/healbot/native/keeper"
)

// Output gives the lines that the instance wrote since it started, without their
// newline, and then those that it writes, until ctx or the instance ends; neither is an
// error. A slice is emit's only until it returns. It fails at once if no log is kept.
func (in *instance) Output(ctx context.Context, emit func(line []byte)) error {
	path := in.unit.Log.Path
	if path == "" {
		return errors.New("no log is kept of its output")
	}
	f := &follower{path: path, emit: func(_ time.Time, line []byte) error { emit(line); return nil }}
	defer f.close()
	watch, err := watchFolder(filepath.Dir(path)) // before the first look, so that nothing falls between
	if err != nil {
		return fmt.Errorf("cannot watch its log: %w", err)
	}
	defer watch.Close()
	if err := f.from(in.unit.Mark); err != nil {
		return err
	}
	living, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		select {
		case <-in.done: // by then its last line is in the log
			stop()
		case <-living.Done():
		}
	}()
	return f.follow(living, watch)
}

// markOf gives the end of a log as it is now.
func markOf(path string) keeper.Mark {
	for _, name := range []string{path, path + ".1"} {
		if st, err := os.Stat(name); err == nil && path != "" {
			return keeper.Mark{Inode: inode(st), Offset: st.Size()}
		}
	}
	return keeper.Mark{}
}

func inode(st os.FileInfo) uint64 {
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		return sys.Ino
	}
	return 0
}

// from gives the lines after a mark and stays at the end of the live file. When the
// marked file was rotated away, all that is left came after it.
func (f *follower) from(mark keeper.Mark) error {
	files := openAll(f.path)
	defer func() {
		for _, old := range files {
			if old != f.file {
				old.Close()
			}
		}
	}()
	first, off := 0, int64(0)
	for i, file := range files {
		if st, err := file.Stat(); err == nil && inode(st) == mark.Inode {
			first, off = i, mark.Offset
		}
	}
	for i := first; i < len(files); i++ {
		f.file, f.off = files[i], off
		if err := f.read(); err != nil {
			return err
		}
		off = 0
	}
	return nil
}
