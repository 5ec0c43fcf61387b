// Package probe runs one health check, once, and says what it found.
//
// A caller may rely on this:
//
//   - Run returns within the check's timeout, plus a moment to clean up, whatever the
//     other side does: a body without end, an answer at one byte a second, a command
//     that hangs or leaves a child with its output open.
//   - At most 64 KiB of an answer's body and 64 KiB of its header are read. Redirects
//     are followed on the same host only, ten at most; one that leads elsewhere is the
//     answer that is judged. No proxy is used, whatever the environment says, and no
//     connection is kept.
//   - A command runs in a session of its own, without terminal and input. Its whole
//     process group is killed at the timeout, and also when it ends and leaves
//     something behind.
//   - Verdict.Why is short and for people: "connection refused", "status 503", "no
//     answer within 3s", or the last line that a command wrote.
//   - A check that could not run at all, such as a command that does not exist, is
//     Unable: it says nothing about the service.
//
// When a check runs and what follows from its verdict is not decided here.
package probe
