// Package notify delivers one message about a service, once: to a URL or to a command.
// When that is due, and how long it may take, is not its business.
package notify
