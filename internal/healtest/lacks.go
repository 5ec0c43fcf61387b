package healtest

import (
	"os"
	"testing"
)

// Lacks skips a test on a machine that lacks something, and says what. Where all tests
// must run, which CI=true says, it fails instead.
func Lacks(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("this test must run here: "+format, args...)
	}
	t.Skipf(format, args...)
}
