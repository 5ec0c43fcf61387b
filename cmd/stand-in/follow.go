package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
)

// maxLine is where a line without end is cut.
const maxLine = 64 << 10

// A follower reads what is appended to the *.log files of a folder: those that are
// there, those that come, and those that are rotated away, to their end.
type follower struct {
	folder  string
	ship    func(file, line string) error
	sources map[string]*source // by path
	records atomic.Int64       // lines shipped
	bytes   atomic.Int64       // their length
}

// A source is one open file and what was read of it.
type source struct {
	file   *os.File
	offset int64
	rest   []byte // the line whose end was not read yet
}

func newFollower(folder string, ship func(file, line string) error) *follower {
	return &follower{folder: folder, ship: ship, sources: map[string]*source{}}
}

// scan ships each line that was finished since the last scan. A file that can't be
// read is tried again next time; the error is that of ship.
func (f *follower) scan() error {
	paths := f.logs()
	for path, s := range f.sources {
		if !slices.Contains(paths, path) || replaced(path, s.file) {
			if err := f.end(path, s); err != nil {
				return err
			}
		}
	}
	for _, path := range paths {
		s := f.sources[path]
		if s == nil {
			file, err := os.Open(path)
			if err != nil {
				continue
			}
			s = &source{file: file}
			f.sources[path] = s
		}
		if err := f.read(path, s); err != nil {
			return err
		}
	}
	return nil
}

// logs gives the paths of the files to follow, sorted. Unlike filepath.Glob it takes
// the folder's own name for what it is, not for a pattern.
func (f *follower) logs() []string {
	entries, _ := os.ReadDir(f.folder)
	var paths []string
	for _, entry := range entries {
		if filepath.Ext(entry.Name()) == ".log" && entry.Type().IsRegular() {
			paths = append(paths, filepath.Join(f.folder, entry.Name()))
		}
	}
	return paths
}

// replaced reports whether another file than the open one is at path.
func replaced(path string, file *os.File) bool {
	now, err := os.Stat(path)
	if err != nil {
		return errors.Is(err, os.ErrNotExist)
	}
	was, err := file.Stat()
	return err != nil || !os.SameFile(now, was)
}

// read ships the lines that were added to a source.
func (f *follower) read(path string, s *source) error {
	if info, err := s.file.Stat(); err == nil && info.Size() < s.offset {
		s.offset, s.rest = 0, nil // emptied in place
	}
	buffer := make([]byte, maxLine)
	for {
		n, err := s.file.ReadAt(buffer, s.offset)
		s.offset += int64(n)
		s.rest = append(s.rest, buffer[:n]...)
		if err := f.shipLines(path, s); err != nil {
			return err
		}
		if n == 0 || err != nil && err != io.EOF {
			return nil
		}
	}
}

// shipLines ships the whole lines of what was read.
func (f *follower) shipLines(path string, s *source) error {
	for {
		line, rest, found := bytes.Cut(s.rest, []byte("\n"))
		switch {
		case found:
			s.rest = rest
		case len(s.rest) >= maxLine:
			line, s.rest = s.rest[:maxLine], s.rest[maxLine:]
		default:
			s.rest = bytes.Clone(s.rest)
			return nil
		}
		if err := f.shipLine(path, line); err != nil {
			return err
		}
	}
}

func (f *follower) shipLine(path string, line []byte) error {
	f.records.Add(1)
	f.bytes.Add(int64(len(line)))
	return f.ship(path, string(line))
}

// end ships the rest of a file that was rotated away or removed, and forgets it.
func (f *follower) end(path string, s *source) error {
	delete(f.sources, path)
	defer s.file.Close()
	if err := f.read(path, s); err != nil {
		return err
	}
	if len(s.rest) == 0 {
		return nil
	}
	return f.shipLine(path, s.rest)
}

func (f *follower) close() {
	for _, s := range f.sources {
		s.file.Close()
	}
}
