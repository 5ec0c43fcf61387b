// Package relay is the small process that lets containers reach native services which
// listen on this host's loopback only, and the client that speaks to it.
//
// There is at most one relay a project, a child of its keeper: connections through it
// outlive the supervisor. It listens on the gateway addresses of container networks, on
// ports that it is told, passes each connection on to loopback, and knows nothing else.
// What a user may rely on:
//
//   - It listens nowhere else, and takes connections from its network's own addresses
//     only.
//   - It passes bytes inside the kernel, and an end of one direction as such: the other
//     goes on. A connection that nobody takes on loopback is reset.
//   - A table that it is given replaces the one before. Connections that are open stay.
//
// It is told over relay.sock in .healbot, for its owner alone.
package relay
