package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/healing-bot/healbot/service"
)

// A spectator is a command whose output is read when the test wants it.
type spectator struct {
	*exec.Cmd
	out  io.Reader
	said bytes.Buffer // on stderr
}

func (s *stack) spectator(args ...string) *spectator {
	s.Helper()
	r := &spectator{Cmd: exec.Command(program, args...)}
	r.Dir, r.Stderr = s.dir, &r.said
	out, err := r.StdoutPipe()
	if err == nil {
		err = r.Start()
	}
	if err != nil {
		s.Fatal(err)
	}
	r.out = out
	s.Cleanup(func() { _ = r.Process.Kill(); _ = r.Wait() })
	return r
}

func (r *spectator) signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	if err := r.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// until reads until the output ends in text.
func (r *spectator) until(t testing.TB, text string) string {
	t.Helper()
	var got bytes.Buffer
	buf := make([]byte, 64<<10)
	for !bytes.HasSuffix(got.Bytes(), []byte(text)) {
		n, err := r.out.Read(buf)
		if got.Write(buf[:n]); err != nil {
			t.Fatalf("%v after %d bytes: %s", err, got.Len(), r.said.String())
		}
	}
	return got.String()
}

// tells reads until something was said.
func (r *spectator) tells(t testing.TB, text string) {
	t.Helper()
	got, buf := "", make([]byte, 64<<10)
	for !strings.Contains(got, text) {
		n, err := r.out.Read(buf)
		if err != nil {
			t.Fatalf("%v before %q: %s", err, text, r.said.String())
		}
		got = got[max(0, len(got)-len(text)):] + string(buf[:n])
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// E9: logs -f is stopped. Neither the service nor the keeper waits for it, and it misses
// nothing once it goes on.
func TestFaultE9(t *testing.T) {
	const n = 1_000_000
	s := newStack(t, t.TempDir(), fmt.Sprintf("  web:\n    provider: {type: healbot}\n    command: [sh, -c, 'echo 0; while ! test -e go; do sleep 0.01; done; seq 1 %d; touch wrote; exec sleep 1000']\n", n))
	s.healbot("up", "-d")
	logs := s.spectator("logs", "-f", "--no-log-prefix")
	logs.until(t, "0\n")
	logs.signal(t, syscall.SIGSTOP)
	if err := os.WriteFile(filepath.Join(s.dir, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := eventually(func() bool { return exists(filepath.Join(s.dir, "wrote")) }); err != nil {
		t.Fatal("the service waits for a reader: ", err)
	}
	end := fmt.Sprintf("%d\n", n)
	err := eventually(func() bool {
		text, err := os.ReadFile(filepath.Join(s.dir, "logs", "web.log"))
		return err == nil && bytes.HasSuffix(text, []byte(end))
	})
	if err != nil {
		t.Fatal("the keeper waits for a reader: ", err)
	}
	logs.signal(t, syscall.SIGCONT)
	var want strings.Builder
	for i := 1; i <= n; i++ {
		fmt.Fprintln(&want, i)
	}
	if got := logs.until(t, "\n"+end); got != want.String() {
		t.Errorf("%d bytes instead of %d", len(got), want.Len())
	}
}

// E9: events and an attached up are stopped. The supervisor lets go of them, goes on, and
// they say so once they can.
func TestFaultE9OfChanges(t *testing.T) {
	s := newStack(t, t.TempDir(), "  web:\n    provider: {type: healbot}\n    command: [FIXTURE, exit, \"1\"]\n    deploy: {replicas: 8, restart_policy: {delay: 1ms, window: 0s, x-factor: 1}}\n")
	s.healbot("up", "-d")
	supervisor := s.pidIn(".healbot", "lock")
	sockets := func() (n int) {
		fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", supervisor))
		for _, fd := range fds {
			if to, _ := os.Readlink(fd); strings.HasPrefix(to, "socket:") {
				n++
			}
		}
		return n
	}
	up := s.spectator("up", "--force-recreate")
	up.tells(t, "replaced on request") // it has its answer, and asks no more
	events := s.spectator("events")
	events.tells(t, "\n") // it is being told
	readers := []*spectator{events, up}
	connected := sockets()
	for _, r := range readers {
		r.signal(t, syscall.SIGSTOP)
	}
	if err := eventually(func() bool { return sockets() <= connected-len(readers) }); err != nil {
		t.Fatal("the supervisor holds on to who does not read: ", err)
	}
	was := s.supervised("web").RestartsTotal
	if err := eventually(func() bool { return s.supervised("web").RestartsTotal > was+5 }); err != nil {
		t.Error("the supervisor waits: ", err)
	}
	for _, r := range readers {
		r.signal(t, syscall.SIGCONT)
		_, _ = io.Copy(io.Discard, r.out)
		exit := new(exec.ExitError)
		if err := r.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(r.said.String(), "what happened was not read in time") {
			t.Errorf("%v ended with %v: %s", r.Args[1:], err, r.said.String())
		}
	}
}

// E3: a line of 100 MiB is shown in marked pieces, in bounded memory.
func TestFaultE3(t *testing.T) {
	const size = 100<<20 + 7
	s := newStack(t, t.TempDir(), fmt.Sprintf("  web:\n    provider: {type: healbot}\n    command: [sh, -c, 'head -c %d /dev/zero | tr \"\\0\" x; echo; echo end']\n    logging: {options: {max-size: 200m}}\n", size))
	s.healbot("up", "-d")
	s.await("web", service.Done)
	logs := s.spectator("logs", "-f", "-n", "2")
	got := logs.until(t, "end\n")
	var peak int
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", logs.Process.Pid))
	if _, rest, _ := strings.Cut(string(status), "VmHWM:"); err == nil {
		_, err = fmt.Sscan(rest, &peak)
	}
	if err != nil || peak > 200<<10 {
		t.Errorf("it took %d KiB: %v", peak, err)
	}
	lines := strings.Split(strings.TrimSuffix(got, "\n"), "\n")
	t.Logf("%d lines, %d KiB", len(lines), peak)
	if n := strings.Count(got, "x"); n != size {
		t.Errorf("%d bytes shown", n)
	}
	for i, line := range lines[:len(lines)-1] {
		last := i == len(lines)-2
		if strings.Contains(line, "… x") != (i > 0) || strings.HasSuffix(line, "x …") == last {
			t.Fatalf("piece %d of %d is not marked well: %.40s … %s", i, len(lines), line, line[len(line)-10:])
		}
	}
}
