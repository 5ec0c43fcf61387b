package policy

import "time"

// A Phase says what the engine is doing about an instance.
type Phase uint8

// The phases.
const (
	Resting   Phase = iota // nothing runs and nothing will, until somebody asks
	Waiting                // wanted, but its dependencies are not ready
	Launching              // Start was asked for and is not answered yet
	Live                   // an instance is up
	Ending                 // Terminate was asked for; Kill follows at Due
	Killing                // Kill was asked for; the instance is not gone yet
	Backoff                // the next start comes at Due
)

// String gives the phase's name.
func (p Phase) String() string {
	return [...]string{"Resting", "Waiting", "Launching", "Live", "Ending", "Killing", "Backoff"}[p]
}

// A Status is the one word that people are shown.
type Status string

// The statuses, one vocabulary for processes and containers.
const (
	Pending     Status = "pending"      // waits for its dependencies, its environment or its image, or is on its way up
	Starting    Status = "starting"     // up, not yet healthy
	Running     Status = "running"      // up, and healthy if it has a health check
	Unhealthy   Status = "unhealthy"    // failed its health check too often; will be restarted, unless that is switched off
	Crashed     Status = "crashed"      // ended when it should not have; will be restarted
	Stopped     Status = "stopped"      // a user stopped it, or it was never started
	Completed   Status = "completed"    // a one-shot that ended well
	Failed      Status = "failed"       // could not start, or ended in error and may not be restarted, or can't be killed
	MaxRestarts Status = "max_restarts" // used up its restarts
)

// Health is what is known of an instance's health.
type Health uint8

// The kinds of health.
const (
	Unchecked Health = iota // there is no health check
	Unproven                // no verdict yet
	Healthy
	Sick
	Unknown // the check itself can't run
)

// String gives the word that ps shows.
func (h Health) String() string {
	return [...]string{"", "starting", "healthy", "unhealthy", "unknown"}[h]
}

// A Sequel says what follows the end of an instance, or of a start, in progress.
type Sequel uint8

// The sequels.
const (
	Judge Sequel = iota // nobody asked for the end: it is judged by the policy
	Rest                // a user stopped it
	Again               // somebody asked for a restart: start again, uncounted
	Heal                // it is unhealthy: start again, counted
	Hold                // a dependency was lost while it started: wait for it again
)

// A Start says why the next instance is started.
type Start uint8

// The kinds of start.
const (
	Asked   Start = iota // somebody asked for it
	Counted              // a restart of the streak
	Free                 // a restart that is not counted: a dependency held it, or the engine was the cause
)

// A State is all that is remembered about an instance between events: a plain
// value. The zero State is that of a service never started.
type State struct {
	Phase  Phase
	Status Status
	Health Health
	Wanted bool   // what was last asked for
	Held   string // dependencies that are not ready, in words; "" when all are

	Run    int // number of the latest instance; events about an older one are dropped
	Streak int // counted restarts without an instance that stayed running for a whole window
	Total  int // restarts in all
	Tries  int // starts in a row that failed for a reason outside the project
	Misses int // probes failed in a row

	Since   time.Time // when Status last changed
	Born    time.Time // when the instance came up
	Well    time.Time // since when it is running without a break; zero if it is not
	Probe   time.Time // when the next probe is due, or when the one under way began
	Probing bool      // a probe is under way
	Due     time.Time // the one deadline: when a Tick is next needed; zero for never

	Then   Sequel
	Next   Start
	Hurry  bool          // the end that follows is to be one without grace
	Killed bool          // the instance outlived its grace
	Grace  time.Duration // that it outlived
	Fault  string        // why the backend could not end it; "" if it could, or has not answered yet
	Why    string        // the words of the event that Status and Phase follow from
	Last   string        // why the latest instance that failed did so
	Lived  time.Duration // how long it lived
	Ill    bool          // it was ended because it was unhealthy, and Last is why
}
