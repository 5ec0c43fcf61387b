package service

import (
	"net/netip"
	"time"
)

// A Change is one step of one replica, as subscribers are told of it.
type Change struct {
	At     time.Time `json:"at"`
	From   State     `json:"from"` // the state before; equal to Status.State if only the reason is new
	Status Status    `json:"status"`
	Note   string    `json:"note,omitempty"` // what else led to it: a user's command, a new supervisor
	Gone   bool      `json:"gone,omitempty"` // the replica is no longer part of the project

	// Missed says nothing of a replica, but that the reader did not keep up and is told
	// no more. It is the last change of a reader's.
	Missed bool `json:"missed,omitempty"`
}

// A Verb is what a user asks a supervisor to do.
type Verb string

// The verbs of Command.
const (
	VerbUp      Verb = "up"      // read the file anew and start what is not up
	VerbStart   Verb = "start"   // start what rests
	VerbStop    Verb = "stop"    // end, keep the supervisor
	VerbRestart Verb = "restart" // a new instance of each, from the file as it is now
	VerbKill    Verb = "kill"    // end at once, or deliver Signal
	VerbLook    Verb = "look"    // see which instances are paused now
	VerbReach   Verb = "reach"   // let the containers of Network reach native services
	VerbDown    Verb = "down"    // end everything and the supervisor, and take away what they made
)

// A Command is one wish of a user.
type Command struct {
	Verb     Verb           `json:"verb"`
	Services []string       `json:"services,omitempty"` // none: all
	Signal   string         `json:"signal,omitempty"`   // for kill
	Grace    *time.Duration `json:"grace,omitempty"`    // for stop, restart, down and up: instead of the file's
	Network  netip.Prefix   `json:"network,omitzero"`   // for reach: its gateway's address, with its length
	Source   *Source        `json:"source,omitempty"`   // for up: where the project is read from
	Orphans  bool           `json:"orphans,omitempty"`  // for up and kill: remove what the file no longer names
	NoDeps   bool           `json:"no_deps,omitempty"`  // for up: leave dependencies alone; for restart: dependents
	Recreate bool           `json:"recreate,omitempty"` // for up: replace also what did not change
	Deep     bool           `json:"deep,omitempty"`     // for up: replace the dependencies of the services named, too
	Keep     bool           `json:"keep,omitempty"`     // for up: replace nothing
	DryRun   bool           `json:"dry_run,omitempty"`  // for up: only say in the report what would be done
}

// A Source says where a project is read from: the words of `healbot up`, which
// later commands use again.
type Source struct {
	Dir        string   `json:"dir"` // where the caller stood
	ProjectDir string   `json:"project_dir,omitempty"`
	Files      []string `json:"files,omitempty"`
	Name       string   `json:"name,omitempty"`
	Profiles   []string `json:"profiles,omitempty"`
	Named      []string `json:"named,omitempty"` // services whose profiles are active, too: somebody named them
	EnvFiles   []string `json:"env_files,omitempty"`
	Environ    []string `json:"environ,omitempty"` // secret: never shown

	Scale        map[string]int `json:"scale,omitempty"`         // replicas by service, instead of the file's
	Pull         string         `json:"pull,omitempty"`          // pull policy, instead of the file's
	NoBuild      bool           `json:"no_build,omitempty"`      // build no image
	RenewVolumes bool           `json:"renew_volumes,omitempty"` // unnamed volumes do not go along to a new container
	Parallel     int            `json:"parallel,omitempty"`      // starts at once; 0 for what suits the machine, -1 for no limit
	NativeOnly   bool           `json:"native_only,omitempty"`   // docker compose runs the containers of the file
}

// A Report is what a supervisor answers to a Command that it carried out.
type Report struct {
	Notes    []string `json:"notes,omitempty"` // what people should know: "model: replaced, its environment changed"
	Statuses []Status `json:"statuses,omitempty"`
}
