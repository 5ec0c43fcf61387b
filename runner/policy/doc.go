// Package policy decides what happens next to one instance of a service. It is
// pure: no clock, no goroutine, no system call, and it knows nothing of processes
// or containers. Time comes in with each event; what is to be done goes out as one
// Action.
//
// # What a user may rely on
//
// An instance that ends when it should not have is started again, after a delay
// that grows with each restart of a streak: Delay, Delay·Factor, Delay·Factor² … up
// to MaxDelay. A streak ends only when an instance stayed running for a whole
// Window; then the count is 0 again and the delay is the first one. While its probes
// fail, that is left open until it is healthy again or has used up its retries.
// Restart number MaxAttempts + 1 of one streak never happens: the status becomes
// max_restarts.
//
// Two rules follow. In any stretch of time as long as Window there are at most
// MaxAttempts counted restarts: more would need a streak to end in between, and
// that takes a whole Window without a failure. And every rhythm of failure that is
// faster than Window ends in max_restarts, however slow: a fixed window would let
// twice the number through at its edge, and a sliding count would never trip for a
// service that hangs, because its rhythm outgrows the window.
//
// An instance that fails Retries health checks in a row counts like one that
// crashed. A restart that has to wait for a dependency is not counted, nor is one
// that somebody asked for. A start that fails for a reason outside the project is
// tried again with the same delays and costs nothing.
//
// # How it works
//
// State is a plain value with two words in it. Phase says what the engine is doing
// (an instance is being launched, lives, is being ended …), Status is the one word
// that people are shown. They differ where they must: an instance that is being
// stopped keeps its status, and a crashed one may be in back-off or on its way up.
//
// A State has one deadline, Due. When it comes, the caller passes Tick; there are
// no other timers, so none can outlive what it was set for. Each instance has a
// number, Run; an event about an earlier one changes nothing.
//
// Decide builds no text: an event brings its reason in words, State keeps them, and
// State.Says makes the sentence when somebody looks.
package policy
