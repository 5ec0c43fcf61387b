package healtest

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Deadline bounds everything that a test waits for.
const Deadline = time.Minute

const fixturePackage = "github.com/healing-bot/healbot/internal/healtest/fixture"

var built struct {
	sync.Mutex
	program []byte
}

// Fixture gives the path of the fixture program, see internal/healtest/fixture, in a
// folder that lasts as long as t. It is compiled once per test binary.
func Fixture(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fixture")
	program := fixture(t)
	// A fork while the file is open for writing would make its exec fail with
	// "text file busy".
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, program, 0o755); err != nil {
		t.Fatalf("cannot write the fixture: %v", err)
	}
	return path
}

func fixture(t testing.TB) []byte {
	t.Helper()
	built.Lock()
	defer built.Unlock()
	if built.program != nil {
		return built.program
	}
	built.program = static(t, fixturePackage)
	return built.program
}

// Ready waits until the fixture that runs as pid has its signal handlers in place.
func Ready(t testing.TB, pid int) {
	t.Helper()
	if pid <= 0 {
		t.Fatalf("cannot see the fixture: its pid is %d", pid)
	}
	Eventually(t, "the fixture is ready", func() bool { return ignores(pid, syscall.SIGHUP) })
}

// Alive reports whether pid is a process that has not ended.
func Alive(pid int) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

// Eventually waits until so is true, and fails the test when it is not within Deadline.
func Eventually(t testing.TB, what string, so func() bool) {
	t.Helper()
	late := time.After(Deadline)
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for !so() {
		select {
		case <-again.C:
		case <-late:
			t.Fatalf("not so within %s: %s", Deadline, what)
		}
	}
}

func ignores(pid int, sig syscall.Signal) bool {
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(status)) {
		if hex, ok := strings.CutPrefix(line, "SigIgn:"); ok {
			mask, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
			return err == nil && mask&(1<<(sig-1)) != 0
		}
	}
	return false
}
