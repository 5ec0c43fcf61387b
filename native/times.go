package native

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/healing-bot/healbot/native/keeper"
	"github.com/healing-bot/healbot/service"
)

// logFor says where the keeper puts the output of a replica.
func logFor(svc service.Service, replica int) keeper.Log {
	log := keeper.Log{Path: svc.LogPath(replica), MaxSize: svc.Process.Log.MaxSize, MaxFiles: svc.Process.Log.MaxFiles}
	if log.Path != "" {
		log.Times = timesOf(log.Path)
	}
	return log
}

// timesOf is where it is noted when the lines of the log at path were written: for
// logs/TITLE.log it is logs/.times/TITLE.log.
func timesOf(path string) string {
	return filepath.Join(filepath.Dir(path), ".times", filepath.Base(path))
}

// logsBetween is Logs with bounds. When the end lies before the end of the log, which of
// its lines are the last ones is known only once they were read.
func logsBetween(ctx context.Context, path string, o service.LogOptions, emit func(time.Time, []byte) error) error {
	if !o.Until.IsZero() && o.Follow {
		var stop context.CancelFunc
		ctx, stop = context.WithDeadline(ctx, o.Until)
		defer stop()
	}
	within := func(at time.Time) bool {
		return !at.IsZero() && !at.Before(o.Since) && (o.Until.IsZero() || !at.After(o.Until))
	}
	last := lastOf{n: o.Tail}
	over := !o.Until.IsZero() && time.Now().After(o.Until)
	give := func(at time.Time, line []byte) error {
		if !within(at) {
			return nil
		}
		if !over || o.Tail < 0 {
			return emit(at, line)
		}
		last.add(at, line)
		return nil
	}
	read := o
	if over {
		read.Tail, read.Follow = -1, false
	}
	if err := logs(ctx, &follower{path: path, times: timesOf(path), since: o.Since, emit: give}, read); err != nil {
		return err
	}
	return last.give(emit)
}

// Timed reports whether it is known of every line of the log at path when it was written.
func Timed(path string) bool {
	files := openAll(path)
	known := true
	for _, f := range files {
		if st, err := f.Stat(); err == nil && st.Size() > 0 {
			index := keeper.ReadIndex(timesOf(path), inode(st))
			known = known && !index.At(0).IsZero()
			index.Close()
		}
		f.Close()
	}
	return known
}

// lastOf keeps the last n lines.
type lastOf struct {
	n     int
	next  int
	lines []timedLine
}

type timedLine struct {
	at   time.Time
	text []byte
}

func (l *lastOf) add(at time.Time, line []byte) {
	kept := timedLine{at, bytes.Clone(line)}
	switch {
	case len(l.lines) < l.n:
		l.lines = append(l.lines, kept)
	case l.n > 0:
		l.lines[l.next] = kept
		l.next = (l.next + 1) % l.n
	}
}

func (l *lastOf) give(emit func(time.Time, []byte) error) error {
	for i := range l.lines {
		line := l.lines[(l.next+i)%len(l.lines)]
		if err := emit(line.at, line.text); err != nil {
			return err
		}
	}
	return nil
}

// look finds out what is known by now of the times of the open file.
func (f *follower) look() {
	if f.times == "" {
		return
	}
	if f.index != nil && f.known == f.file {
		f.index.Refresh()
		return
	}
	if f.index != nil {
		f.index.Close()
		f.index = nil
	}
	if st, err := f.file.Stat(); err == nil {
		f.index, f.known = keeper.ReadIndex(f.times, inode(st)), f.file
	}
}

// time says when the byte at an offset of the open file came.
func (f *follower) time(offset int64) time.Time {
	if f.index == nil {
		return time.Time{}
	}
	return f.index.At(offset)
}

// skip finds a place before which nothing is wanted: in which file, and the offset at
// which a line begins there.
func (f *follower) skip(files []*os.File) (int, int64) {
	if f.since.IsZero() || f.times == "" {
		return 0, 0
	}
	for i := len(files) - 1; i >= 0; i-- {
		st, err := files[i].Stat()
		if err != nil {
			return 0, 0
		}
		index := keeper.ReadIndex(f.times, inode(st))
		offset := index.Before(f.since)
		index.Close()
		if offset > 0 {
			return i, lineStart(files[i], offset)
		}
	}
	return 0, 0
}

// lineStart gives the offset of the first line that begins at offset or later.
func lineStart(file *os.File, offset int64) int64 {
	buf := make([]byte, 4<<10)
	for offset--; ; {
		n, err := file.ReadAt(buf, offset)
		if i := bytes.IndexByte(buf[:n], '\n'); i >= 0 {
			return offset + int64(i) + 1
		}
		if offset += int64(n); err != nil {
			return offset
		}
	}
}
