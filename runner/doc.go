// Package runner supervises a project: it starts the services in dependency order,
// learns how they fare, asks package policy what follows, and obeys.
//
// # What a user may rely on
//
// One goroutine, the loop of Run, owns all state. It never waits for anything but
// the next event: whatever takes time (a start, a probe, a signal, a file) happens
// in a goroutine of its own, and its outcome comes back as an event with the number
// of the instance that it is about. So nothing that one service does can delay
// another, and an answer that comes late is recognized as such.
//
// A service is started when its dependencies are ready at that moment, and ended
// before them. Each change of a service becomes a service.Status on a board, which
// everybody else reads: the terminal, the socket, and the files.
//
// Files in the project directory: .service_status.json, .pids/NAME.pid, and in
// .healbot/ the journal (state.json) and the history (events.jsonl). The first
// three are replaced whole, never written in place, at once after a change and at
// most ten times a second. When a supervisor dies, the next one reads the journal,
// asks the backends what still lives, and goes on: same instances, same counts,
// same pending restarts.
package runner
