package healtest

import "github.com/healing-bot/healbot/runner"

// Backend gives b as a runner.Backend, as cmd/healbot does with the real ones.
func Backend[I runner.Instance](b runner.Concrete[I]) runner.Backend { return runner.Of(b) }
