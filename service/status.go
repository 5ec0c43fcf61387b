package service

import "time"

// A State is the one word for what a service is doing; see the README's table.
type State string

// The states, in both worlds alike.
const (
	Pending     State = "pending"
	Starting    State = "starting"
	Running     State = "running"
	Unhealthy   State = "unhealthy"
	Crashed     State = "crashed"
	Stopped     State = "stopped"
	Done        State = "completed"
	Failed      State = "failed"
	MaxRestarts State = "max_restarts"
)

// Settled reports whether the state is left by a command only.
func (s State) Settled() bool {
	switch s {
	case Stopped, Done, Failed, MaxRestarts:
		return true
	}
	return false
}

// Health words of Status.Health.
const (
	HealthNone      = ""          // no health check
	HealthStarting  = "starting"  // not yet proven
	HealthHealthy   = "healthy"   //
	HealthUnhealthy = "unhealthy" //
	HealthUnknown   = "unknown"   // the check can't run
)

// A Status is all that is shown of one replica. Its JSON form is an object of
// .service_status.json: pid and status come first, times are RFC 3339.
type Status struct {
	PID           int        `json:"pid"`
	State         State      `json:"status"`
	Name          string     `json:"name"` // Key.String of the replica
	Service       string     `json:"service"`
	Kind          Kind       `json:"kind"`
	Health        string     `json:"health"`
	Reason        string     `json:"reason"`
	ID            string     `json:"id,omitempty"`
	Ports         []Port     `json:"ports,omitempty"`
	Restarts      int        `json:"restarts"`       // in this streak
	RestartsTotal int        `json:"restarts_total"` // since the project was first brought up
	MaxRestarts   int        `json:"max_restarts"`   // 0: no limit
	NextRestartAt *time.Time `json:"next_restart_at,omitempty"`
	Since         time.Time  `json:"since"`                // when State last changed
	StartedAt     *time.Time `json:"started_at,omitempty"` // when the live instance came up
	ExitCode      *int       `json:"exit_code,omitempty"`  // of the last instance that ended; -1 if unknown or by a signal
	Image         string     `json:"image,omitempty"`
	Command       string     `json:"command,omitempty"`
	Title         string     `json:"title"`
	LogPath       string     `json:"log_path,omitempty"`
	Quiet         bool       `json:"quiet,omitempty"` // its output is not shown by `up` in the foreground
	Seq           int        `json:"seq"`             // number of transitions so far; never falls

	// Held counts the starts in a row that failed for a reason outside the project.
	Held int `json:"held,omitempty"`
	// Stopping says that the instance is being ended.
	Stopping bool `json:"stopping,omitempty"`
	// Orphan says that the file no longer names the service.
	Orphan bool `json:"orphan,omitempty"`
	// Paused says that somebody suspended its processes.
	Paused bool `json:"paused,omitempty"`
}

// Ready reports whether the replica is what `up --wait` waits for: healthy, if it
// has a health check; else running for SettleTime; or completed. If only time is
// missing, in says how much.
func (s Status) Ready(now time.Time) (ready bool, in time.Duration) {
	switch {
	case s.State == Done:
		return true, 0
	case s.State != Running || s.Stopping:
		return false, 0
	case s.Health != HealthNone:
		return true, 0
	}
	left := SettleTime - now.Sub(s.Since)
	return left <= 0, max(left, 0)
}

// SettleTime is how long a replica without a health check must run to be called
// ready, so that one that falls over at once is not.
const SettleTime = time.Second
