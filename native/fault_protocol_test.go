package native

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/healing-bot/healbot/internal/healtest"
	"github.com/healing-bot/healbot/native/keeper"
)

// talk says lines to the keeper of dir, on one connection, and gives its answers.
func talk(t *testing.T, dir string, lines ...string) (faults []string) {
	t.Helper()
	state, err := os.Open(filepath.Join(dir, ".healbot"))
	if err != nil {
		t.Fatal(err)
	}
	defer state.Close()
	c, err := net.Dial("unix", fmt.Sprintf("/proc/self/fd/%d/keeper.sock", state.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(healtest.Deadline))
	answers := json.NewDecoder(bufio.NewReader(c))
	for _, line := range lines {
		var r struct{ Fault *keeper.Fault }
		_, err := fmt.Fprintln(c, line)
		if err == nil {
			err = answers.Decode(&r)
		}
		switch {
		case err != nil:
			t.Fatal(err)
		case r.Fault != nil:
			faults = append(faults, r.Fault.Text)
		default:
			faults = append(faults, "")
		}
	}
	return faults
}

// B13: a keeper does nothing for a healbot that speaks another version, and says what to
// do. Its services live on.
func TestFaultB13(t *testing.T) {
	dir := t.TempDir()
	b := newBackend(t, dir)
	in := start(t, b, sh(dir, "exec sleep 1000"))
	said := talk(t, dir,
		fmt.Sprintf(`{"id":1,"verb":"hello","version":%d}`, keeper.Version+1),
		fmt.Sprintf(`{"id":2,"verb":"kill","unit":%q}`, in.unit.ID),
		`{"id":3,"verb":"quit"}`)
	want := fmt.Sprintf("the keeper of this project, pid %d, speaks version %d and this healbot version %d: use the healbot that started it",
		keeperPID(t, dir), keeper.Version, keeper.Version+1)
	if !strings.HasPrefix(said[0], want) || said[1] == "" || said[2] == "" {
		t.Errorf("%q", said)
	}
	if !alive(in.About().PID) || keeperPID(t, dir) == 0 {
		t.Error("it obeyed")
	}
	if said := talk(t, dir, fmt.Sprintf(`{"id":1,"verb":"hello","version":%d}`, keeper.Version), `{"id":2,"verb":"list"}`); said[0] != "" || said[1] != "" {
		t.Errorf("to its own version: %q", said)
	}
}

// A keeper of another version is neither replaced nor asked for anything.
func TestKeeperOfAnotherVersion(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, ".healbot"), 0o700); err != nil {
		t.Fatal(err)
	}
	state, err := os.Open(filepath.Join(dir, ".healbot"))
	if err != nil {
		t.Fatal(err)
	}
	defer state.Close()
	l, err := net.Listen("unix", fmt.Sprintf("/proc/self/fd/%d/keeper.sock", state.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			_, _ = bufio.NewReader(c).ReadString('\n')
			fmt.Fprintln(c, `{"id":1,"fault":{"text":"the keeper of this project speaks version 9"}}`)
		}
	}()
	exe, _ := os.Executable()
	b := New(dir, []string{exe, "keeper"})
	defer b.Close()
	_, err = b.Start(deadline(t), sh(dir, "exec sleep 1000"), 1, 1)
	if err == nil || !strings.Contains(err.Error(), "speaks version 9") || findKeeper(dir) != 0 {
		t.Errorf("start: %v, keeper %d", err, findKeeper(dir))
	}
}
