// Package service holds the words that every other package shares: what a file
// declares (Service), what runs of it (Instance), how that ended (Exit) and what
// is known about it (Status).
//
// The values are plain data. A Service is never changed after compose.Load made
// it, so any goroutine may read it. The package starts nothing, reads no file and
// imports no other package of healbot.
package service
