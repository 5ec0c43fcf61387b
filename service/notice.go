package service

import "time"

// A Notice says whom to tell of what becomes of a service; exactly one of URL and
// Command is set.
type Notice struct {
	On      []Edge
	URL     string   // gets a Message as JSON with POST; secret: such an address often is one
	Command []string // argv, never through a shell; gets the Message on its input
}

// An Edge is a turn in the life of a service that somebody may want to know of.
type Edge string

// The edges.
const (
	EdgeMaxRestarts Edge = "max_restarts" // it used up its restarts
	EdgeFailed      Edge = "failed"       // it could not start, or ended and may not be restarted
	EdgeRecovered   Edge = "recovered"    // it runs again after one of those, or its streak of failures is over
)

// A Message tells of one edge of one replica.
type Message struct {
	On      Edge      `json:"on"`
	Project string    `json:"project"`
	Service string    `json:"service"`
	Name    string    `json:"name"` // of the replica
	State   State     `json:"state"`
	From    State     `json:"from"` // what it was: crashed for the end of a streak
	Reason  string    `json:"reason"`
	At      time.Time `json:"at"`
}
