// Package bench measures what healbot promises of its speed and size, each figure
// beside that of the plainest program that does the same, in the same run:
//
//	make bench
//
// BenchmarkOutput compares the keeper's way into a log with cat. BenchmarkHeal compares
// the time from a kill -9 to the next instance with a loop that starts a process when
// the last one has ended. BenchmarkMemory gives the proportional set size of supervisor
// and keeper. BenchmarkContainers compares up and down of containers with the engine's own
// calls for the same, eight at a time. Nothing here passes or fails by time: a busy machine
// makes every figure worse, and the comparison less so.
package bench
