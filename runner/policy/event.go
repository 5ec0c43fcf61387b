package policy

import "time"

// An Event is one thing that happened. The types below are all there are.
type Event interface{ event() }

// Up asks for the service: what rests is started with a fresh streak.
type Up struct{}

// Stop asks for its end, as a user does. Now means without grace.
type Stop struct{ Now bool }

// Restart asks for a new instance: a user's restart, or a changed file. It clears
// the streak.
type Restart struct{ Why string }

// Changed says that the policy is another one now, for the same instance. It begins a
// new streak; what rests is left to Up.
type Changed struct{}

// Follow restarts a live instance because one that it depends on was restarted. It
// is not counted and leaves the streak as it is.
type Follow struct{ Why string }

// Ready says that all dependencies are ready.
type Ready struct{}

// NotReady says that they are not (any more).
type NotReady struct{ Why string }

// Noted says how far the start of a run is.
type Noted struct {
	Run int
	Why string
}

// Started says that the instance is live.
type Started struct{ Run int }

// StartFailed says that it could not be started. Outside marks a reason outside the
// project, which may pass.
type StartFailed struct {
	Run     int
	Why     string
	Outside bool
}

// Exited says that the instance ended and nothing of it is left.
type Exited struct {
	Run     int
	OK      bool   // as a finished job ends
	ByUser  bool   // somebody stopped it with the engine's own command
	Outside bool   // the engine itself went away and took it along: the restart is not counted
	Why     string // "exit code 1"
}

// Answered says how the backend took Action Terminate or Kill.
type Answered struct {
	Run   int
	Fault string // why it could not carry it out; "" if it did
}

// Probed answers Action Probe.
type Probed struct {
	Run     int
	Healthy bool
	Unable  bool // the probe itself can't run
	Why     string
}

// Judged is a verdict that nobody asked for, such as that of the engine's own health
// check, or that a line was heard. It means nothing to a service with an OwnProbe.
type Judged struct {
	Run     int
	Healthy bool
	Unable  bool // the check itself can't run
	Why     string
}

// Found says that a supervisor came upon a live instance that it did not start
// itself: an earlier one did, or a user by hand. For one that ended while nobody was
// there, Exited follows at once.
type Found struct {
	Run  int
	Born time.Time
}

// Resume ends adoption: what has no instance goes on where it was.
type Resume struct{}

// Eased says that what is outside the project, and kept it from starting, may be well
// again: the engine answers.
type Eased struct{}

// Tick says that Due has come.
type Tick struct{}

func (Up) event()          {}
func (Stop) event()        {}
func (Restart) event()     {}
func (Changed) event()     {}
func (Follow) event()      {}
func (Ready) event()       {}
func (NotReady) event()    {}
func (Noted) event()       {}
func (Started) event()     {}
func (StartFailed) event() {}
func (Exited) event()      {}
func (Answered) event()    {}
func (Probed) event()      {}
func (Judged) event()      {}
func (Found) event()       {}
func (Resume) event()      {}
func (Eased) event()       {}
func (Tick) event()        {}

// A Verb is a kind of action.
type Verb uint8

// The verbs.
const (
	Nothing   Verb = iota
	Begin          // start instance number Run; answered by Started or StartFailed
	Abandon        // give up the start of Run, which is answered all the same
	Terminate      // ask the instance to stop; answered by Exited
	Kill           // end it and all that it started; answered by Exited
	Probe          // check its health once; answered by Probed
)

// String gives the verb's name.
func (v Verb) String() string {
	return [...]string{"Nothing", "Begin", "Abandon", "Terminate", "Kill", "Probe"}[v]
}

// An Action is the one thing to do next, to instance number Run.
type Action struct {
	Verb Verb
	Run  int
}
