package native

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/fsnotify/fsnotify"
)

// follow gives what is added to the log until ctx ends, with what was added by then.
func (f *follower) follow(ctx context.Context, watch *fsnotify.Watcher) error {
	pause := time.NewTimer(quiet)
	defer pause.Stop()
	for {
		if err := f.catchUp(); err != nil {
			return err
		}
		if len(f.rest) > 0 {
			pause.Reset(quiet)
		}
		select {
		case <-ctx.Done():
			if err := f.catchUp(); err != nil {
				return err
			}
			return f.flush()
		case <-pause.C:
			if err := f.flush(); err != nil {
				return err
			}
		case _, ok := <-watch.Errors:
			// Events were lost, most likely; the look that follows makes up for them.
			if !ok {
				return nil
			}
		case ev, ok := <-watch.Events:
			if !ok {
				return nil
			}
			if ev.Name == filepath.Dir(f.path) {
				f.folderGone(ctx, watch)
			}
		}
	}
}

// catchUp reads to the end of the log, through every file that rotation has made of
// it since the last look.
func (f *follower) catchUp() error {
	for {
		if f.file == nil {
			file, err := os.Open(f.path)
			if err != nil {
				return nil
			}
			f.file, f.off = file, 0
		}
		// In this order: once the name means another file, nothing is added to this one.
		next, moved := f.successor()
		if err := f.read(); err != nil {
			return err
		}
		if !moved {
			return nil
		}
		f.file.Close()
		f.file, f.off = next, 0
		if next == nil || f.missed {
			if err := f.flush(); err != nil {
				return err
			}
		}
		if f.missed {
			f.missed = false
			if err := f.emit(f.at, []byte("healbot: lines may be missing here: the log was rotated away before they were read")); err != nil {
				return err
			}
		}
	}
}

// successor opens the file that follows the open one, if the log's name means another
// file by now: the one with the next lower number, or the live one.
func (f *follower) successor() (next *os.File, moved bool) {
	mine, err := f.file.Stat()
	if err != nil {
		return nil, true
	}
	if live, err := os.Stat(f.path); err == nil && os.SameFile(mine, live) {
		return nil, false
	}
	for i := 1; ; i++ {
		old, err := os.Stat(f.path + "." + strconv.Itoa(i))
		if err != nil {
			break
		}
		if !os.SameFile(mine, old) {
			continue
		}
		name := f.path
		if i > 1 {
			name += "." + strconv.Itoa(i-1)
		}
		next, err = os.Open(name)
		if err != nil {
			// Renamed, and the new one is not there yet: its creation wakes us.
			return nil, false
		}
		// Still in its place? Else the one just opened may not be the very next.
		if old, err := os.Stat(f.path + "." + strconv.Itoa(i)); err == nil && os.SameFile(mine, old) {
			return next, true
		}
		next.Close()
		i = 0
	}
	return f.overtaken(mine), true
}

// overtaken gives what follows an open file that has no name any more: somebody removed
// it, or it was rotated away before a slow reader came to its end. Then it is the oldest
// that was written to later, and what lay between is lost to that reader, who is told.
func (f *follower) overtaken(mine os.FileInfo) (next *os.File) {
	for _, file := range openAll(f.path) {
		st, err := file.Stat()
		live, lerr := os.Stat(f.path)
		isLive := err == nil && lerr == nil && os.SameFile(st, live)
		if next == nil && err == nil && (isLive || st.ModTime().After(mine.ModTime())) {
			next, f.missed = file, !isLive
		} else {
			file.Close()
		}
	}
	return next
}

// folderGone waits until the folder of the log is there again.
func (f *follower) folderGone(ctx context.Context, watch *fsnotify.Watcher) {
	for ctx.Err() == nil {
		if _, err := os.Stat(filepath.Dir(f.path)); err == nil && watch.Add(filepath.Dir(f.path)) == nil {
			return
		}
		_ = sleep(ctx, 200*time.Millisecond, nil)
	}
}
