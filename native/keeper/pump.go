package keeper

import (
	"errors"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// A pump moves the output of one instance from its FIFO into a sink.
type pump struct {
	in     *os.File
	sink   *sink
	before int64 // bytes that the sink had lost when the pump began
	ending atomic.Bool
	done   chan struct{}
}

// pumpFor starts a pump into the log, which it shares with the pumps that write
// there already.
func (k *keeper) pumpFor(in *os.File, log Log) *pump {
	k.mu.Lock()
	s := k.sinks[log.Path]
	if s == nil {
		s = &sink{null: int(k.null.Fd()), home: k.home}
		k.sinks[log.Path] = s
	}
	s.users++
	k.mu.Unlock()
	s.mu.Lock()
	s.log = log
	if log.Path != "" {
		_, _ = s.ready() // so that it can be followed before the first line
	}
	p := &pump{in: in, sink: s, before: s.lost, done: make(chan struct{})}
	s.mu.Unlock()
	if raw, err := in.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, chunk) })
	}
	go p.run()
	return p
}

// release gives up a drained pump, and its sink with the last of them.
func (k *keeper) release(u *unit) {
	u.out.in.Close()
	s := u.out.sink
	k.mu.Lock()
	defer k.mu.Unlock()
	if s.users--; s.users == 0 {
		delete(k.sinks, s.log.Path)
		s.close()
	}
}

func (p *pump) run() {
	defer close(p.done)
	raw, err := p.in.SyscallConn()
	if err != nil {
		logf("cannot read %s: %v", p.in.Name(), err)
		return
	}
	for !p.ending.Load() {
		err := raw.Read(func(fd uintptr) bool { return p.empty(int(fd)) })
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			logf("cannot read %s: %v", p.in.Name(), err)
			return
		}
	}
}

// empty moves what there is and reports false when the FIFO is empty, which makes
// the runtime wait for more.
func (p *pump) empty(fd int) bool {
	for !p.ending.Load() {
		if errors.Is(p.sink.take(fd), unix.EAGAIN) {
			return false
		}
	}
	return true
}

// drain stops the pump and moves what is left. All writers have ended, but for
// strangers that were handed the FIFO: they are not waited for.
func (p *pump) drain() (lost int64) {
	p.ending.Store(true)
	_ = p.in.SetReadDeadline(time.Now())
	<-p.done
	end := time.Now().Add(10 * time.Second)
	raw, err := p.in.SyscallConn()
	if err == nil {
		_ = raw.Control(func(fd uintptr) {
			for !errors.Is(p.sink.take(int(fd)), unix.EAGAIN) && time.Now().Before(end) {
			}
		})
	}
	p.sink.mu.Lock()
	defer p.sink.mu.Unlock()
	return p.sink.lost - p.before
}
