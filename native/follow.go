package native

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/fsnotify/fsnotify"
)

// follow gives what is added to the log until ctx ends.
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
			return nil
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
		if next == nil {
			if err := f.flush(); err != nil {
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
	live, err := os.Stat(f.path)
	if err == nil && os.SameFile(mine, live) {
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
	if live == nil {
		return nil, true
	}
	next, _ = os.Open(f.path)
	return next, true
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
