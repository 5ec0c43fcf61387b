// Package control is how commands reach a project's supervisor: both ends of the
// API on its unix socket, and the lock that makes sure there is only one.
//
// # What a user may rely on
//
// Whoever holds the lock file .healbot/lock is the project's supervisor; the kernel
// lets go of it when the holder dies, however it dies. The file holds the holder's
// pid, for people. It is never removed, since two processes could otherwise hold
// locks on two files of the same name.
//
// The socket .healbot/control.sock is the owner's alone: the folder is 0700, the
// socket 0600, and the server also asks the kernel who is calling and answers the
// owner and root only. A socket that a dead supervisor left is replaced.
//
// A command that was accepted is carried out, whether or not the caller waits.
package control
