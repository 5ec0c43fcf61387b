package native

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/healing-bot/healbot/native/keeper"
	"github.com/healing-bot/healbot/service"
)

// A keeper that is stopped holds up nobody for ever: who asks it is told what to do, and
// what was to start meanwhile does not start behind their back.
func TestKeeperThatDoesNotAnswer(t *testing.T) {
	dir := t.TempDir()
	b := newBackend(t, dir)
	in := start(t, b, sh(dir, "exec sleep 1000"))
	k := keeperPID(t, dir)
	if err := syscall.Kill(k, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Kill(k, syscall.SIGCONT) }()
	until(t, "stop of the keeper", func() bool { return strings.Contains(read(t, fmt.Sprintf("/proc/%d/status", k)), "State:\tT") })
	other := sh(dir, "exec sleep 1000")
	other.Name, other.Title = "other", "other"
	results := make(chan error, 3)
	go func() { results <- in.Signal(context.Background(), "SIGTERM") }()
	go func() { _, err := b.Adopt(context.Background(), "test"); results <- err }()
	go func() {
		_, err := b.Start(context.Background(), other, 1, 1)
		if !errors.Is(err, service.ErrOutside) {
			t.Errorf("a start may be tried again: %v", err)
		}
		results <- err
	}()
	for range 3 {
		select {
		case err := <-results:
			mute := new(keeper.MuteError)
			if !errors.As(err, &mute) || mute.PID != k || !strings.Contains(err.Error(), fmt.Sprintf("kill -CONT %d", k)) {
				t.Errorf("told: %v", err)
			}
		case <-deadline(t).Done():
			t.Fatal("it hangs")
		}
	}
	if err := syscall.Kill(k, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if e := wait(t, in); e.Signal != "SIGTERM" {
		t.Errorf("exit: %v", e)
	}
	found, err := b.Adopt(deadline(t), "test")
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range found {
		if in.About().Service == "other" {
			t.Error("it started after all")
		}
	}
}
