// Package keeper is the small process that owns the native services of one project
// and their output, and the client that speaks to it.
//
// There is one keeper a project. It is the parent of every native service, so that
// the supervisor may die, be killed or be replaced at any moment without a service
// noticing: no signal, no blocked write, no lost line, no lost exit code. It decides
// nothing. It reads no Compose file, opens no network connection, and knows only
// process trees and files. What a user may rely on:
//
//   - A service writes into a FIFO that it holds open for reading too. It neither
//     blocks nor fails for want of a reader while the keeper is replaced.
//   - Bytes go from the FIFO to the log inside the kernel, in order and once. A
//     keeper that is killed in the middle leaves what it did not move in the FIFO.
//   - An exit is reported after its output is in the log and after everything that
//     the service started is gone, and remembered on disk until it is forgotten.
//   - A service that ended by itself leaves nothing running: what it left is killed
//     before its exit is reported. A service that was asked to stop is given time.
//   - A process is signalled only through a pidfd whose boot, pid and start time
//     were compared with what was written down when it was made.
//   - An instance with a terminal has a carrier: a process of its own session that holds
//     the terminal's other end and writes what comes there into the FIFO, so that the
//     terminal too outlives the keeper. It ends when nobody has the terminal open any
//     more, and an exit is reported after that.
//   - A keeper that died is replaced by a new one, which takes over every service
//     from the records in .healbot/run.
//
// Everything lies in .healbot/ in the project directory, for its owner's eyes only:
// keeper.lock, keeper.sock, keeper.log, run/ (a record for each instance), fifo/ and
// locks/. A lock in locks/ is held by the service itself through an inherited
// descriptor, so that a second instance of one replica can't be made even when all
// records are lost.
package keeper
