package native

import (
	"testing"

	"github.com/healing-bot/healbot/internal/healtest"
	"github.com/healing-bot/healbot/runner"
	"github.com/healing-bot/healbot/service"
)

func TestConformance(t *testing.T) {
	dir := t.TempDir()
	b := newBackend(t, dir)
	fixture := healtest.Fixture(t)
	healtest.TestBackend(t, runner.Of(b), func(t *testing.T, name string, args ...string) service.Service {
		svc := testService(dir, append([]string{fixture}, args...)...)
		svc.Name, svc.Title = name, name
		return svc
	}, func(t *testing.T) runner.Backend {
		again := New(dir, b.argv)
		t.Cleanup(again.Close)
		return runner.Of(again)
	})
}
