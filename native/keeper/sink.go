package keeper

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/healing-bot/healbot/internal/home"
)

const (
	chunk   = 256 << 10 // bytes moved at once; also the size asked for a FIFO
	overrun = 1 << 20   // a line may make a log longer than its limit by so much, then it is cut
	retry   = 250 * time.Millisecond
)

// A sink is one log file. Every instance that writes into it shares it, so that no
// two write at one place. It never blocks a service: what the disk refuses is
// dropped and counted, and a line in the log says so once the disk takes bytes again.
type sink struct {
	null  int // /dev/null
	users int // pumps that write here; guarded by keeper.mu
	home  home.Dir

	mu      sync.Mutex // guards what follows
	log     Log
	file    *os.File
	index   *index      // of file
	scratch [2]*os.File // a pipe for looking ahead; made when first needed
	cause   error       // why the disk refuses; nil while it does not
	again   time.Time   // when it is asked again
	missing int64       // bytes dropped since cause was nil
	lost    int64       // bytes dropped in all
}

// take moves some of what waits in the pipe to where it belongs. EAGAIN: nothing
// waits.
func (s *sink) take(pipe int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.log.Path == "" {
		_, err := s.discard(pipe)
		return err
	}
	if s.cause == nil || time.Now().After(s.again) {
		err := s.write(pipe)
		if err == nil || errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			return err
		}
		s.cause, s.again = err, time.Now().Add(retry)
	}
	n, err := s.discard(pipe)
	s.missing += n
	s.lost += n
	return err
}

func (s *sink) discard(pipe int) (int64, error) {
	n, err := unix.Splice(pipe, nil, s.null, nil, chunk, unix.SPLICE_F_NONBLOCK|unix.SPLICE_F_MOVE)
	return max(n, 0), err
}

// write moves bytes into the log, up to its limit or to the end of the line that
// crosses it.
func (s *sink) write(pipe int) error {
	size, err := s.ready()
	if err != nil {
		return err
	}
	if s.cause != nil {
		if size, err = s.mark(size); err != nil {
			return err
		}
	}
	n := int64(chunk)
	if limit := s.log.MaxSize; limit > 0 && size < limit {
		n = min(n, limit-size)
	} else if limit > 0 {
		if n, err = s.lineRest(pipe, size); err != nil {
			return err
		}
		if n == 0 || size >= limit+overrun {
			if err := s.rotate(); err != nil {
				return err
			}
			size, n = 0, min(chunk, limit)
		}
	}
	s.index.note(pipe, size)
	_, err = unix.Splice(pipe, nil, int(s.file.Fd()), &size, int(n), unix.SPLICE_F_NONBLOCK|unix.SPLICE_F_MOVE)
	if errors.Is(err, unix.EINVAL) {
		err = s.copy(pipe, size, int(n))
	}
	return err
}

// copy does what splice does, on a file system that has no splice.
func (s *sink) copy(pipe int, size int64, n int) error {
	buf := make([]byte, min(n, 64<<10))
	n, err := unix.Read(pipe, buf)
	if err != nil {
		return err
	}
	if w, err := s.file.WriteAt(buf[:n], size); err != nil {
		s.missing += int64(n - w)
		s.lost += int64(n - w)
		return err
	}
	return nil
}

// mark writes down in the log that bytes are missing, now that there is room.
func (s *sink) mark(size int64) (int64, error) {
	line := fmt.Sprintf("healbot: %d bytes of output are missing here: %v\n", s.missing, s.cause)
	if !s.lineEnd(size) {
		line = "\n" + line
	}
	n, err := s.file.WriteAt([]byte(line), size)
	if err != nil {
		_ = s.file.Truncate(size)
		return size, err
	}
	s.cause, s.missing = nil, 0
	return size + int64(n), nil
}

// lineEnd reports whether the log, of that size, ends with a whole line.
func (s *sink) lineEnd(size int64) bool {
	var b [1]byte
	if size == 0 {
		return true
	}
	_, err := s.file.ReadAt(b[:], size-1)
	return err == nil && b[0] == '\n'
}

// lineRest says how many of the waiting bytes belong to the line that the log breaks
// off in: 0 when it breaks off in none, all when its end is not in sight. It copies
// them with tee, so that they stay in the pipe until they are in the log.
func (s *sink) lineRest(pipe int, size int64) (int64, error) {
	if s.lineEnd(size) {
		return 0, nil
	}
	if s.scratch[0] == nil {
		r, w, err := os.Pipe()
		if err != nil {
			return 0, err
		}
		s.scratch = [2]*os.File{r, w}
	}
	n, err := unix.Tee(pipe, int(s.scratch[1].Fd()), 64<<10, unix.SPLICE_F_NONBLOCK)
	if err != nil {
		return 0, err
	}
	ahead := make([]byte, n)
	for got := 0; got < len(ahead); {
		m, err := s.scratch[0].Read(ahead[got:])
		if err != nil {
			return 0, err
		}
		got += m
	}
	if i := bytes.IndexByte(ahead, '\n'); i >= 0 {
		return int64(i) + 1, nil
	}
	return n, nil
}

func (s *sink) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cause != nil {
		if size, err := s.ready(); err == nil {
			_, _ = s.mark(size)
		}
	}
	for _, f := range []*os.File{s.file, s.scratch[0], s.scratch[1]} {
		if f != nil {
			f.Close()
		}
	}
	s.index.close()
	s.file, s.index, s.scratch = nil, nil, [2]*os.File{}
}
