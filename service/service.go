package service

import (
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
)

// A Kind tells the two worlds apart.
type Kind string

// The two kinds of service.
const (
	Native    Kind = "native"    // a process tree on this host
	Container Kind = "container" // a container of the Docker engine
)

// A Service is one service of a Compose file: what to run, what it needs, and how
// its health is checked. How it is restarted stands in a policy.Policy beside it.
type Service struct {
	Name     string // as in the file
	Kind     Kind
	Project  string // name of the project
	Dir      string // absolute project directory
	Title    string // name of the log file, without .log; Name unless the file says otherwise
	Replicas int    // instances wanted; 0 or more

	Needs      []Need        // services that must be ready before this one starts
	Check      *Check        // nil: running means up
	StopSignal string        // "SIGTERM" unless the file says otherwise
	Grace      time.Duration // from StopSignal to SIGKILL
	Ports      []Port        // declared ports, in the file's order
	Quiet      bool          // attach: false: its output is not shown by `up` in the foreground
	Notify     []Notice      // who is told of what becomes of it

	PostStart []Hook // run once it has started; one that fails ends it
	PreStop   []Hook // run before it is asked to stop

	// Hash is the configuration hash: equal for two files exactly when an instance
	// made from one need not be replaced for the other.
	Hash string

	// Renew asks for a new container, even where one of the same configuration rests.
	Renew bool

	Process *Process // set for Native
	Image   *Image   // set for Container
}

// A Process says how a native service is run.
type Process struct {
	Argv   []string // entrypoint and command; never through a shell
	Entry  int      // how many words of Argv are the entrypoint
	Dir    string   // absolute working directory
	Env    []string // KEY=VALUE, sorted: the whole environment, the inherited part included
	Python *Python  // nil: no environment is built
	Log    Log
	Limits Limits // who it is, and how much it may use
	Files  []File // secrets and configs

	Watch []Trigger // files whose change restarts it, when they are watched

	TTY       bool // its standard streams are a terminal
	StdinOpen bool // it reads from a FIFO that never ends, rather than from /dev/null
}

// A Trigger is one entry of develop.watch.
type Trigger struct {
	Path    string   // absolute, of a file or folder
	Ignore  []string // patterns below Path that are not meant, as in a .dockerignore file
	Include []string // patterns that are; none: everything
	Rebuild bool     // set up the Python environment, or build the image, again before the restart

	// What follows is for a container only.

	Target  string // absolute, in the container: what Path is copied to; "" for nothing
	Initial bool   // copy what is there already when the watching begins
	Restart bool   // restart the service
	Exec    *Hook  // run in the container after the copying; nil for nothing
}

// A Hook is a command that runs beside an instance: in its container, or on this host.
type Hook struct {
	Argv []string
	Dir  string   // absolute working directory; "": the container's
	Env  []string // KEY=VALUE, sorted: the whole environment, or what a container's has on top

	// What follows is for a container only.

	User       string // "": the container's
	Privileged bool
}

// A Python says what Python environment a native service runs in.
type Python struct {
	Version      string   // constraint such as ">=3.8"; "" accepts any
	Venv         string   // absolute path of the virtual environment; "" for none
	Requirements []string // absolute paths of requirement files
}

// A Log says how the output of a native service is kept.
type Log struct {
	None     bool  // keep nothing
	MaxSize  int64 // bytes at which the file is rotated
	MaxFiles int   // files kept, the live one included; at least 1
}

// An Image says how a container is made. Its words are Compose's own, so it holds
// compose-go's types rather than a second copy of ninety fields.
type Image struct {
	Config   types.ServiceConfig
	Networks types.Networks // the project's networks that Config names
	Volumes  types.Volumes  // the project's volumes that Config names
	Secrets  types.Secrets  // the project's secrets that Config names
	Configs  types.Configs  // the project's configs that Config names

	Natives []string // native services that listen on TCP ports: names by which the container finds them

	BuildSecrets types.Secrets // the project's secrets that Config.Build names
	Watch        []Trigger     // files whose change updates it, when they are watched
	RenewVolumes bool          // a container that replaces another does not get its unnamed volumes
}

// A Need is one dependency of a service.
type Need struct {
	Service   string
	Condition Condition
	Optional  bool // Compose's required: false: not waited for when it can't be had
	Restart   bool // restart the dependent after Service was restarted

	Endpoint *Endpoint // told to a native dependent once Service has an address; nil: it was told, or nobody asked
}

// A Condition is what a Need waits for, in Compose's words.
type Condition string

// The conditions of depends_on.
const (
	Started   Condition = "service_started"
	Healthy   Condition = "service_healthy"
	Completed Condition = "service_completed_successfully"
)

// A Port is one port a service listens on. For a native service Published equals
// Target; for a container Published is 0 when the port is not published.
type Port struct {
	HostIP    string `json:"host_ip,omitempty"` // "" for every address
	Target    int    `json:"target"`
	Published int    `json:"published,omitempty"`
	Protocol  string `json:"protocol"` // "tcp" or "udp"
}

// String gives the port as docker ps does: "0.0.0.0:8080->80/tcp", "80/tcp".
func (p Port) String() string {
	if p.Published == 0 {
		return fmt.Sprintf("%d/%s", p.Target, p.Protocol)
	}
	host := p.HostIP
	if host == "" {
		host = "0.0.0.0"
	}
	return fmt.Sprintf("%s:%d->%d/%s", host, p.Published, p.Target, p.Protocol)
}

// A Check is one kind of health check; exactly one of HTTP, TCP, Command, Log and
// Engine is set. When it runs and what follows from its verdicts is policy.
type Check struct {
	HTTP    *HTTPCheck
	TCP     string   // host:port
	Command []string // argv, run on this host with the service's directory and environment
	Log     string   // regular expression: healthy once a line of the instance's output matches
	Engine  bool     // the Docker engine runs the check; its verdicts come as events

	Timeout time.Duration // one total deadline for one probe
}

// An HTTPCheck is one GET request and what its answer must be.
type HTTPCheck struct {
	URL      string
	Min, Max int // accepted status codes, both included
	Headers  map[string]string
	Body     string // regular expression that the first 64 KiB must match; "" accepts any
}

// A Verdict is what one health check found.
type Verdict struct {
	Healthy bool
	Unable  bool   // the check itself could not run: says nothing about the service
	Why     string // for people: "connection refused", "status 503"
}

// A Key names one replica of a service; replicas count from 1.
type Key struct {
	Service string
	Replica int
}

// String gives the key's name in ps, status file and pid files: "web", "web-2".
func (k Key) String() string {
	if k.Replica <= 1 {
		return k.Service
	}
	return k.Service + "-" + strconv.Itoa(k.Replica)
}

// An Instance is what is known of one process tree or container.
type Instance struct {
	Key
	Run     int       // number of the start, counted from 1 for the life of the project; 0 if its backend can't tell
	ID      string    // a pid, or a container id
	PID     int       // on this host; 0 if unknown
	Hash    string    // Service.Hash that it was made from; "" if docker compose made it
	Address string    // under which this host reaches a container; "" if it has none of its own
	Stop    string    // the signal that asks it to stop, "SIGTERM", as it was when it was made; "": the service's
	Started time.Time // when it came up
	Ended   bool      // it had ended before it was adopted: Wait answers at once
}

// An Exit is how an instance ended.
type Exit struct {
	Code    int    // exit code; -1 if a signal ended a native instance, or nobody was left to see it
	Signal  string // "SIGKILL" if a signal ended it, else ""
	ByUser  bool   // somebody stopped it with the engine's own stop command
	Removed bool   // the container itself is gone
	OOM     bool   // the kernel killed it for its memory
	Engine  bool   // the engine itself went away and took it along
	Kept    bool   // it lives on: docker compose made it, and healbot only let go of it
	Left    int    // processes that outlived it and were killed
	Reason  string // what the backend knows beyond the above, for people; "" if nothing
	At      time.Time
}

// Unknown is the Exit of an instance whose end nobody saw.
func Unknown(at time.Time) Exit { return Exit{Code: -1, At: at} }

// OK reports whether the instance ended as a finished job does.
func (e Exit) OK() bool { return e.Code == 0 && e.Signal == "" && !e.Removed }

// String says how the instance ended: "exit code 1", "killed by SIGKILL".
func (e Exit) String() string {
	var s string
	switch {
	case e.Engine:
		s = "ended with its engine"
	case e.Kept:
		s = "left to docker compose, which made it"
	case e.Removed:
		s = "container removed by hand"
	case e.OOM:
		s = "killed for using too much memory"
	case e.Signal != "":
		s = "killed by " + e.Signal
	case e.Code < 0:
		s = "ended, exit code unknown"
	default:
		s = "exit code " + strconv.Itoa(e.Code)
	}
	if e.Reason != "" {
		s += " (" + e.Reason + ")"
	}
	switch {
	case e.Left == 1:
		s += ", left 1 process behind, killed"
	case e.Left > 1:
		s += fmt.Sprintf(", left %d processes behind, killed", e.Left)
	}
	return s
}

// LogPath is the file that keeps the output of one replica: logs/TITLE.log, or
// logs/TITLE-2.log for the second. It is "" where no file is kept: for a container,
// whose output stays with the engine, and where the file says so.
func (s Service) LogPath(replica int) string {
	if s.Process == nil || s.Process.Log.None {
		return ""
	}
	return filepath.Join(s.Dir, "logs", Key{s.Title, replica}.String()+".log")
}

// LogOptions says which lines of a service's output are wanted.
type LogOptions struct {
	Tail   int  // last lines wanted; negative for all
	Follow bool // go on with what is written later, also by later instances

	Since, Until time.Time // only what was written in between; zero for no bound
}
