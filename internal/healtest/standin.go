package healtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// StandIn builds the log shipper's stand-in as `make stand-in` does, and gives the
// name of its image, which no other test has. It goes when t ends.
func StandIn(t testing.TB) string {
	t.Helper()
	return imageOf(t, "stand-in", static(t, "github.com/healing-bot/healbot/cmd/stand-in"))
}

// static compiles a program that needs nothing around it.
func static(t testing.TB, pkg string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), filepath.Base(pkg))
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, pkg)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("cannot build %s: %v\n%s", pkg, err, out)
	}
	program, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("cannot read %s: %v", pkg, err)
	}
	return program
}
