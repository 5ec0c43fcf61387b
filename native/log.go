package native

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/healing-bot/healbot/native/keeper"
	"github.com/healing-bot/healbot/service"
)

// LineMax is how many bytes Logs gives of a line at once. A line is split if it has as
// many: a piece that has fewer is its end.
const LineMax = 64 << 10

const (
	block = 64 << 10
	quiet = 500 * time.Millisecond // after which the beginning of a line is given as it is
)

// Logs gives the lines of the log at path, oldest first and without their newline: the
// last o.Tail of them, from the rotated files too. With o.Follow it goes on until ctx
// ends or emit fails, across rotation, removal and restarts, woken by the file
// system's own events; the end of ctx is then no error. A long line comes in pieces
// of LineMax bytes. A line that is not ended comes when the log ends, or when nothing
// was added to it for half a second. The slice is emit's only until it returns. A log
// that is not there is empty.
//
// The time of a line is when it came, to 100 ms, from what the keeper notes beside the
// log; zero where nothing was noted, as before that was kept. With o.Since or o.Until
// such lines are left out.
func Logs(ctx context.Context, path string, o service.LogOptions, emit func(at time.Time, line []byte) error) error {
	if !o.Since.IsZero() || !o.Until.IsZero() {
		return logsBetween(ctx, path, o, emit)
	}
	return logs(ctx, &follower{path: path, times: timesOf(path), emit: emit}, o)
}

func logs(ctx context.Context, f *follower, o service.LogOptions) error {
	path := f.path
	defer f.close()
	var watch *fsnotify.Watcher
	if o.Follow { // before the first look, so that nothing falls between
		w, err := watchFolder(filepath.Dir(path))
		if err != nil {
			return err
		}
		defer w.Close()
		watch = w
	}
	if err := f.tail(o.Tail); err != nil {
		return err
	}
	if !o.Follow {
		return f.flush()
	}
	return f.follow(ctx, watch)
}

// watchFolder watches the folder of a log, which may not be there yet.
func watchFolder(dir string) (*fsnotify.Watcher, error) {
	if err := os.Mkdir(dir, 0o750); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	if err := w.Add(dir); err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

// A follower reads a log that is written and rotated meanwhile.
type follower struct {
	path  string
	times string // folder in which the times of its lines are noted; "" if nobody wants them
	emit  func(time.Time, []byte) error
	since time.Time // nothing older is wanted
	file  *os.File
	off   int64         // of what is read next
	rest  []byte        // of a line that is not ended
	at    time.Time     // of rest
	index *keeper.Times // of file, once it was read
	known *os.File      // the file that index is of

	missed bool // the open file is not the one that followed the one before
}

// tail gives the last n lines and stays at the end of the live file.
func (f *follower) tail(n int) error {
	files := openAll(f.path)
	defer func() {
		for _, old := range files {
			if old != f.file {
				old.Close()
			}
		}
	}()
	first, off, err := begin(files, n)
	if err != nil {
		return err
	}
	if i, o := f.skip(files); i > first || i == first && o > off {
		first, off = i, o
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

// openAll opens the log and its rotated files, oldest first. A rotation meanwhile can
// show one file under two names, which is then taken once.
func openAll(path string) []*os.File {
	var files []*os.File
	var infos []os.FileInfo
	add := func(name string) bool {
		f, err := os.Open(name)
		if err != nil {
			return false
		}
		st, err := f.Stat()
		for _, known := range infos {
			if err == nil && os.SameFile(known, st) {
				err = fs.ErrExist
			}
		}
		if err != nil || !st.Mode().IsRegular() {
			f.Close()
			return errors.Is(err, fs.ErrExist)
		}
		files, infos = append(files, f), append(infos, st)
		return true
	}
	add(path)
	for i := 1; add(path + "." + strconv.Itoa(i)); i++ {
	}
	for i, j := 0, len(files)-1; i < j; i, j = i+1, j-1 {
		files[i], files[j] = files[j], files[i]
	}
	return files
}

// begin finds where the last n lines begin: in which file, and at which byte.
func begin(files []*os.File, n int) (int, int64, error) {
	if n < 0 {
		return 0, 0, nil
	}
	buf := make([]byte, block)
	last := true // a newline at the very end ends the last line, and begins none
	for i := len(files) - 1; i >= 0; i-- {
		st, err := files[i].Stat()
		if err != nil {
			return 0, 0, err
		}
		if n == 0 {
			return i, st.Size(), nil
		}
		for end := st.Size(); end > 0; {
			size := min(end, block)
			m, err := files[i].ReadAt(buf[:size], end-size)
			if err != nil && err != io.EOF {
				return 0, 0, err
			}
			for j := m - 1; j >= 0; j-- {
				if buf[j] == '\n' && !last {
					if n--; n == 0 {
						return i, end - size + int64(j) + 1, nil
					}
				}
				last = false
			}
			end -= size
		}
	}
	return 0, 0, nil
}

// read gives the lines between the offset and the end of the open file. A file that
// was cut is read from its start.
func (f *follower) read() error {
	if st, err := f.file.Stat(); err == nil && st.Size() < f.off {
		f.off = 0
	}
	buf := make([]byte, block)
	for {
		n, err := f.file.ReadAt(buf, f.off)
		f.look()
		if err := f.lines(buf[:n]); err != nil {
			return err
		}
		if err == io.EOF || n == 0 && err == nil {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// lines gives what b, which begins at the offset, completes and keeps the rest.
func (f *follower) lines(b []byte) error {
	end := f.off + int64(len(b))
	defer func() { f.off = end }()
	for len(b) > 0 {
		if len(f.rest) == 0 {
			f.at = f.time(end - int64(len(b)))
		}
		i := bytes.IndexByte(b, '\n')
		take := i
		if i < 0 {
			take = len(b)
		}
		if room := LineMax - len(f.rest); take >= room {
			f.rest = append(f.rest, b[:room]...)
			b = b[room:]
			if err := f.flush(); err != nil {
				return err
			}
			continue
		}
		f.rest = append(f.rest, b[:take]...)
		if i < 0 {
			return nil
		}
		b = b[i+1:]
		err := f.emit(f.at, f.rest)
		f.rest = f.rest[:0]
		if err != nil {
			return err
		}
	}
	return nil
}

// flush gives the line that is not ended.
func (f *follower) flush() error {
	if len(f.rest) == 0 {
		return nil
	}
	err := f.emit(f.at, f.rest)
	f.rest = f.rest[:0]
	return err
}

func (f *follower) close() {
	if f.file != nil {
		f.file.Close()
	}
	if f.index != nil {
		f.index.Close()
	}
}

// logEnd is the size of a log; 0 if it is not there.
func logEnd(path string) int64 {
	st, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return st.Size()
}

// readFrom reads at most the last max bytes that a log got since it had start bytes.
func readFrom(path string, start, max int64) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	end := logEnd(path)
	if end < start {
		start = 0
	}
	buf := make([]byte, min(max, end-start))
	n, _ := f.ReadAt(buf, end-int64(len(buf)))
	return string(buf[:n])
}
