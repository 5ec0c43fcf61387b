// Package native runs a service as a process tree on this host. What a user may
// rely on:
//
//   - A service is the child of the project's keeper (package keeper), not of the
//     supervisor. The supervisor may die; the services, their output and their exit
//     codes stay, and Adopt gives them back.
//   - Start checks before it starts: the declared ports are free, the working
//     directory and the program are there. A port held by somebody else is an error
//     that names the holder and may pass; the rest is final and says what to do.
//   - An instance has ended when nothing that it started is left.
//   - Prepare builds the Python environment of a service once, and again when its
//     interpreter or its requirement files change.
//   - Values of the environment appear in no error, no record and no log.
//
// The log of an instance is a plain file. Logs reads it back and follows it across
// rotation and restarts.
package native
