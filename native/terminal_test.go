package native

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/healing-bot/healbot/service"
)

func onTerminal(svc service.Service) service.Service {
	svc.Process.TTY = true
	return svc
}

// carrierOf gives the process that carries what web writes to its terminal.
func carrierOf(t *testing.T, in *Instance) int {
	t.Helper()
	if in.unit.Terminal == nil {
		t.Fatal("it has no terminal")
	}
	return in.unit.Terminal.PID
}

// All three streams are the terminal, which is the controlling one, and what is written
// comes into the log as it is.
func TestTerminal(t *testing.T) {
	for _, c := range []struct{ user, term, want string }{
		{"", "", "on /dev/pts/N, 24 80, xterm\nby name\nin control\nlast"},
		{"", "vt100", "on /dev/pts/N, 24 80, vt100\nby name\nin control\nlast"},
		{"nobody", "", "on /dev/pts/N, 24 80, xterm\nby name\nin control\nlast"},
	} {
		t.Run(c.user+c.term, func(t *testing.T) {
			dir := t.TempDir()
			if c.user != "" {
				needsRoot(t)
				dir = openTo(t)
			}
			svc := onTerminal(sh(dir, `test -t 0 && test -t 1 && test -t 2 && echo "on $(tty | tr -d 0-9)N, $(stty size), $TERM"; echo by name >/dev/stdout; echo in control >/dev/tty; printf last; exit 3`))
			svc.Process.Env = []string{"PATH=" + os.Getenv("PATH")}
			if c.term != "" {
				svc.Process.Env = append(svc.Process.Env, "TERM="+c.term)
			}
			svc.Process.Limits.User = c.user
			in := start(t, newBackend(t, dir), svc)
			if e := wait(t, in); e.Code != 3 || e.Left != 0 {
				t.Errorf("exit: %v", e)
			}
			if got := read(t, filepath.Join(dir, "logs", "web.log")); got != c.want {
				t.Errorf("log: %q", got)
			}
			gone(t, carrierOf(t, in), "the carrier")
		})
	}
}

// Lines that are written to a terminal are all there, once each, whatever becomes of the
// keeper.
func TestTerminalUnderKills(t *testing.T) {
	for _, kills := range []bool{false, true} {
		t.Run(fmt.Sprint(kills), func(t *testing.T) {
			n, dir := 60000, t.TempDir()
			b, enough := newBackend(t, dir), filepath.Join(dir, "enough")
			var in *Instance
			if kills {
				in = start(t, b, onTerminal(self(dir, "lines", fmt.Sprint(n), "9", "1ms", enough)))
				n = killing(t, dir, in, enough, 15*time.Millisecond)
			} else {
				in = start(t, b, onTerminal(self(dir, "lines", fmt.Sprint(n), "9")))
			}
			if e := wait(t, in); e.Code != 9 || e.Left != 0 {
				t.Errorf("exit: %v", e)
			}
			numbered(t, n, dir)
			gone(t, carrierOf(t, in), "the carrier")
		})
	}
}

// Everything on the terminal goes with the instance, by a stop and by a kill.
func TestTerminalStops(t *testing.T) {
	for name, end := range map[string]func(*Instance) error{
		"stop": func(in *Instance) error { return in.Signal(deadline(t), "SIGTERM") },
		"kill": func(in *Instance) error { return in.Kill(deadline(t)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			svc := onTerminal(sh(dir, `trap '' HUP; setsid sh -c 'echo child $$; exec sleep 1000' & while :; do sleep 0.1; done`))
			svc.Grace = 200 * time.Millisecond
			in := start(t, newBackend(t, dir), svc)
			child := pidAfter(t, dir, "child ")
			if err := end(in); err != nil {
				t.Fatal(err)
			}
			wait(t, in)
			gone(t, in.About().PID, "the leader")
			gone(t, child, "its child")
			gone(t, carrierOf(t, in), "the carrier")
		})
	}
}

// A stranger that was handed the terminal holds up the end of the instance for seconds only.
func TestTerminalInOtherHands(t *testing.T) {
	dir := t.TempDir()
	in := start(t, newBackend(t, dir), onTerminal(sh(dir, `echo on $(tty); while ! test -e go; do sleep 0.01; done; echo last`)))
	log := logOf(t, dir, "\n")
	f, err := os.OpenFile(strings.TrimSpace(strings.TrimPrefix(log, "on ")), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	file(t, filepath.Join(dir, "go"), "")
	wait(t, in)
	if got := read(t, filepath.Join(dir, "logs", "web.log")); got != log+"last\n" {
		t.Errorf("log: %q", got)
	}
	gone(t, carrierOf(t, in), "the carrier")
}

// What is written to its FIFO is what an instance reads, also when its keeper was replaced.
func TestStdinOpen(t *testing.T) {
	for _, tty := range []bool{false, true} {
		t.Run(fmt.Sprint(tty), func(t *testing.T) {
			dir := t.TempDir()
			b := newBackend(t, dir)
			svc := sh(dir, `echo ready; while read -r line; do echo "got $line"; test "$line" = end && exit 4; done; echo no more`)
			svc.Process.StdinOpen, svc.Process.TTY = true, tty
			in := start(t, b, svc)
			logOf(t, dir, "ready\n")
			path := filepath.Join(dir, ".healbot", "fifo", "web.in")
			if st, err := os.Stat(path); err != nil || st.Mode() != os.ModeNamedPipe|0o600 {
				t.Fatalf("%v %v", st, err)
			}
			say := func(line string) {
				t.Helper()
				f, err := os.OpenFile(path, os.O_WRONLY, 0)
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				if _, err := fmt.Fprintln(f, line); err != nil {
					t.Fatal(err)
				}
			}
			say("one")
			logOf(t, dir, "got one\n")
			old := keeperPID(t, dir)
			kill9(t, old)
			until(t, "a new keeper", func() bool { k := keeperPID(t, dir); return k != 0 && k != old })
			if _, err := b.Adopt(deadline(t), "test"); err != nil { // it is ready
				t.Fatal(err)
			}
			say("two")
			say("end")
			if e := wait(t, in); e.Code != 4 {
				t.Errorf("exit: %v", e)
			}
			if got := read(t, filepath.Join(dir, "logs", "web.log")); got != "ready\ngot one\ngot two\ngot end\n" {
				t.Errorf("log: %q", got)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, ".healbot", "fifo", "*")); len(left) != 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}
