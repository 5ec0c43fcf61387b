package keeper

import (
	"errors"
	"fmt"
	"syscall"
	"time"
)

// Version is the version of the protocol. Both ends must speak the same.
const Version = 1

// A Label says what an instance is. It is written down before the instance starts.
type Label struct {
	ID      string        `json:"id"`   // unique; HEALBOT_ID in the instance's environment
	Name    string        `json:"name"` // of the replica: names its record and its lock; a plain file name
	Service string        `json:"service"`
	Replica int           `json:"replica"`
	Run     int           `json:"run"`
	Hash    string        `json:"hash"`
	Job     bool          `json:"job,omitempty"` // a helper such as an environment build, not a service
	Log     Log           `json:"log"`
	Mark    Mark          `json:"mark,omitzero"`   // where its output begins
	Lock    string        `json:"lock"`            // absolute path of the lock that the instance holds while it lives
	Group   string        `json:"group,omitempty"` // folder of a cgroup v2 that is the instance's own; "" for none
	Stop    int           `json:"stop"`            // number of the signal that asks it to stop; SIGTERM always does
	Grace   time.Duration `json:"grace"`           // how long its leader's children may take to end after that signal
}

// A Log says where the output of an instance is kept.
type Log struct {
	Path     string `json:"path"` // absolute; "" keeps nothing
	MaxSize  int64  `json:"max_size"`
	MaxFiles int    `json:"max_files"` // the live one included

	// Times is the folder of the log's own in which it is noted when what was written,
	// see ReadIndex; "" notes nothing.
	Times string `json:"times,omitempty"`
}

// A Mark is a place in a log: the end of its newest file when the instance started. The
// zero Mark is the beginning.
type Mark struct {
	Inode  uint64 `json:"inode"`
	Offset int64  `json:"offset"`
}

// A Spec is all that is needed to start an instance.
type Spec struct {
	Label
	Argv  []string `json:"argv"` // the first is an absolute path
	Dir   string   `json:"dir"`
	Env   []string `json:"env"` // never written down
	Umask int      `json:"umask"`
	TTY   bool     `json:"tty,omitempty"`   // it gets a terminal, which also is its controlling one
	Stdin bool     `json:"stdin,omitempty"` // it reads from .healbot/fifo/NAME.in, which never ends

	// Enters says that Argv begins with a program of ours, which tells how that went.
	Enters bool `json:"enters,omitempty"`
}

// A Unit is what the keeper knows of one instance; also the form of its record.
type Unit struct {
	Label
	PID      int       `json:"pid"`                // of the leader, which is also its session and group; 0 until it was forked
	Ticks    uint64    `json:"ticks"`              // when the leader started, in clock ticks since the boot
	Inode    uint64    `json:"inode,omitempty"`    // of the leader's pidfd: tells two processes that had one pid within one tick; 0 if not known
	Boot     string    `json:"boot"`               // id of the boot that PID and Ticks belong to
	Terminal *Process  `json:"terminal,omitempty"` // carries what is written to its terminal; nil if it has none
	FIFO     string    `json:"fifo"`
	Started  time.Time `json:"started"`
	Stopping time.Time `json:"stopping,omitzero"` // when it was asked to stop
	Exit     *Exit     `json:"exit,omitempty"`    // nil while anything of it lives
}

// An Exit is how an instance ended.
type Exit struct {
	Code   int       `json:"code"`           // -1 if a signal ended it or nobody saw the end
	Signal int       `json:"signal"`         // 0 if none
	Core   bool      `json:"core,omitempty"` // the signal left a core dump
	Left   int       `json:"left"`           // processes that outlived the leader and were killed
	Lost   int64     `json:"lost"`           // bytes of output that the disk refused
	At     time.Time `json:"at"`
}

// A Fault is an error that the keeper answered with. It unwraps to its Errno.
type Fault struct {
	Text  string        `json:"text"`
	Errno syscall.Errno `json:"errno,omitempty"`
}

func (f *Fault) Error() string { return f.Text }

// Unwrap gives the system's error, or nil if there was none.
func (f *Fault) Unwrap() error {
	if f.Errno == 0 {
		return nil
	}
	return f.Errno
}

// A request is one line from the client.
type request struct {
	ID      int       `json:"id"`
	Verb    string    `json:"verb"` // hello, spawn, signal, kill, list, forget or quit
	Version int       `json:"version,omitempty"`
	Until   time.Time `json:"until,omitzero"` // nobody waits for the answer any longer
	Unit    string    `json:"unit,omitempty"`
	Signal  int       `json:"signal,omitempty"`
	Spec    *Spec     `json:"spec,omitempty"`
}

// A reply is one line from the keeper: the answer to request ID, or, when ID is 0,
// the news that Units[0] ended.
type reply struct {
	ID    int    `json:"id"`
	PID   int    `json:"pid,omitempty"`
	Units []Unit `json:"units,omitempty"`
	Fault *Fault `json:"fault,omitempty"`
}

// faultOf turns err into what goes over the wire.
func faultOf(err error) *Fault {
	if err == nil {
		return nil
	}
	f := &Fault{Text: err.Error()}
	errors.As(err, &f.Errno)
	return f
}

// plain reports whether name can be a file name in a folder of ours.
func plain(name string) error {
	if name == "" || len(name) > 128 || name[0] == '.' || name[0] == '-' {
		return fmt.Errorf("bad name %q", name)
	}
	for _, c := range []byte(name) {
		if c == '/' || c < ' ' || c == 0x7f {
			return fmt.Errorf("bad name %q", name)
		}
	}
	return nil
}
