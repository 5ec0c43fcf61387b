// Package healtest proves backends. It holds the fixture, a program that behaves
// well or badly on demand; an image made of it without any registry; and
// TestBackend, the one suite that every runner.Backend passes.
//
// A test that needs the Docker engine calls NeedEngine first. Where the environment
// has CI=true such a test fails without an engine; elsewhere it is skipped and says
// why. Nothing here sleeps to let something happen: Eventually looks until it is so,
// or until a deadline has passed.
package healtest
