package native

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A command beside a service is the service's user, leaves the streams that it was given as
// they are, and says what it can't run.
func TestCommandOfAUser(t *testing.T) {
	needsRoot(t)
	dir := openTo(t)
	b := newBackend(t, dir)
	svc := sh(dir, "exec sleep 1000")
	svc.Process.Env = []string{"PATH=" + os.Getenv("PATH")}
	svc.Process.Limits.User = "nobody"
	file(t, filepath.Join(dir, "mine"), "#!/bin/sh\n")
	if err := os.Chmod(filepath.Join(dir, "mine"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		argv []string
		code int
		want string
	}{
		{[]string{"sh", "-c", "echo $(id -u) $HOME $(pwd); exit 7"}, 7, "65534 /nonexistent " + dir + "\n"},
		{[]string{"./mine"}, 127, "healbot: cannot run " + filepath.Join(dir, "mine") + ": permission denied\n"},
	} {
		cmd, err := b.Command(svc, c.argv, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		out, err := os.OpenFile(filepath.Join(dir, "out"), os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stdout, cmd.Stderr = out, out
		_ = cmd.Run()
		out.Close()
		st, err := os.Stat(out.Name())
		if err != nil {
			t.Fatal(err)
		}
		if got := read(t, out.Name()); got != c.want || cmd.ProcessState.ExitCode() != c.code || st.Mode().Perm() != 0o600 {
			t.Errorf("%v: code %d, mode %v, %q", c.argv, cmd.ProcessState.ExitCode(), st.Mode(), got)
		}
	}
}

// A command that is left running beside a service writes to its log, belongs to no
// instance, and ends with the project.
func TestCommandLeftRunning(t *testing.T) {
	dir := t.TempDir()
	b := newBackend(t, dir)
	svc := sh(dir, "exec sleep 1000")
	if err := b.Detach(deadline(t), svc, 1, []string{"sh", "-c", "echo beside $HEALBOT_REPLICA $X $$; exec sleep 1000"}, "", []string{"X=y"}); err != nil {
		t.Fatal(err)
	}
	pid := pidAfter(t, dir, "beside 1 y ")
	b.Close() // as the command that left it there does
	b = newBackend(t, dir)
	if found, err := b.Adopt(deadline(t), "test"); err != nil || len(found) > 0 {
		t.Errorf("adopted: %v, %v", found, err)
	}
	if err := b.Remove(deadline(t), "test"); err != nil {
		t.Fatal(err)
	}
	gone(t, pid, "the command")
	if err := b.Detach(deadline(t), svc, 1, []string{"nosuch"}, "", nil); err == nil || !strings.Contains(err.Error(), "nosuch") {
		t.Errorf("a command that is not there: %v", err)
	}
}
