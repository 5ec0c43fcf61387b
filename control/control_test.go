package control_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/healing-bot/healbot/control"
	"github.com/healing-bot/healbot/service"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a supervisor that answers what the test wants.
type fake struct {
	statuses []service.Status
	changes  chan service.Change
	did      chan service.Command
	release  chan struct{} // Do answers when it is closed
}

func (f *fake) Status(context.Context) ([]service.Status, error) { return f.statuses, nil }

func (f *fake) Changes(context.Context) (<-chan service.Change, error) { return f.changes, nil }

func (f *fake) Do(_ context.Context, c service.Command) (service.Report, error) {
	f.did <- c
	<-f.release
	if c.Verb == service.VerbStop {
		return service.Report{}, errors.New("no such service: wep")
	}
	return service.Report{Notes: []string{"done"}}, nil
}

// serve gives a client of a supervisor in a private folder.
func serve(t *testing.T, f *fake) (state string, c *control.Client) {
	t.Helper()
	state = filepath.Join(t.TempDir(), ".healbot")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	return state, serveIn(t, state, f)
}

func serveIn(t *testing.T, state string, f *fake) *control.Client {
	t.Helper()
	lock, err := control.Acquire(state)
	if err != nil {
		t.Fatal(err)
	}
	s, err := control.Serve(t.Context(), lock, f)
	if err != nil {
		t.Fatal(err)
	}
	c, err := control.Dial(t.Context(), state)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := errors.Join(s.Close(ctx), lock.Release()); err != nil {
			t.Error("Close:", err)
		}
	})
	return c
}

func TestBothEndsAgree(t *testing.T) {
	code := 3
	f := &fake{
		statuses: []service.Status{{Name: "web", State: service.Crashed, ExitCode: &code, Since: time.Now().UTC()}},
		changes:  make(chan service.Change, 2),
		did:      make(chan service.Command, 1),
		release:  make(chan struct{}),
	}
	close(f.release)
	_, c := serve(t, f)
	got, err := c.Status(t.Context())
	if diff := cmp.Diff(f.statuses, got); diff != "" || err != nil {
		t.Error("Status:", err, diff)
	}
	grace := 3 * time.Second
	want := service.Command{Verb: service.VerbRestart, Services: []string{"web"}, Grace: &grace}
	report, err := c.Do(t.Context(), want)
	if diff := cmp.Diff(want, <-f.did, cmpopts.EquateComparable(netip.Prefix{})); diff != "" || err != nil || report.Notes[0] != "done" {
		t.Error("Do:", err, report, diff)
	}
	_, err = c.Do(t.Context(), service.Command{Verb: service.VerbStop})
	if <-f.did; err == nil || err.Error() != "no such service: wep" {
		t.Errorf("the supervisor's error came as %v", err)
	}
	f.changes <- service.Change{From: service.Running, Status: f.statuses[0]}
	close(f.changes)
	changes, err := c.Changes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if first := <-changes; first.From != service.Running || first.Status.Name != "web" {
		t.Errorf("change: %+v", first)
	}
	if _, open := <-changes; open {
		t.Error("the changes go on after the supervisor's ended")
	}
}

func TestACallerThatLeavesEndsNothing(t *testing.T) {
	f := &fake{did: make(chan service.Command, 1), release: make(chan struct{})}
	_, c := serve(t, f)
	ctx, cancel := context.WithCancel(t.Context())
	answered := make(chan error, 1)
	go func() {
		_, err := c.Do(ctx, service.Command{Verb: service.VerbDown})
		answered <- err
	}()
	<-f.did
	cancel()
	if err := <-answered; !errors.Is(err, context.Canceled) {
		t.Errorf("Do answered %v", err)
	}
	close(f.release)
}

// curt hangs up on its second caller: the first is Dial's own connection.
type curt struct {
	net.Listener
	calls int
}

func (l *curt) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if l.calls++; err == nil && l.calls == 2 {
		return conn, conn.Close()
	}
	return conn, err
}

// A caller that was let go of before it could ask, since it had been stopped, asks again.
func TestHungUpOnBeforeTheQuestion(t *testing.T) {
	state := t.TempDir()
	listener, err := net.Listen("unix", filepath.Join(state, "control.sock"))
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		asked++
		var c service.Command
		if err := json.NewDecoder(req.Body).Decode(&c); err != nil || c.Verb != service.VerbUp {
			t.Errorf("asked for %+v: %v", c, err)
		}
		_, _ = io.WriteString(w, "{}")
	})}
	l := &curt{Listener: listener}
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	c, err := control.Dial(t.Context(), state)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Do(t.Context(), service.Command{Verb: service.VerbUp}); err != nil || asked != 1 {
		t.Errorf("asked %d times: %v", asked, err)
	}
}

func TestSocketIsPrivateAndItsPathMayBeLong(t *testing.T) {
	state := filepath.Join(t.TempDir(), strings.Repeat("long/", 40), ".healbot")
	if err := os.MkdirAll(state, 0o700); err != nil {
		t.Fatal(err)
	}
	c := serveIn(t, state, &fake{})
	if _, err := c.Status(t.Context()); err != nil {
		t.Error(err)
	}
	info, err := os.Stat(filepath.Join(state, "control.sock"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket: %v, %v", info.Mode(), err)
	}
}

func TestDialWithoutASupervisor(t *testing.T) {
	dir := t.TempDir()
	if _, err := control.Dial(t.Context(), filepath.Join(dir, "nothing")); !errors.Is(err, control.ErrNone) {
		t.Errorf("without a folder: %v", err)
	}
	if _, err := control.Dial(t.Context(), dir); !errors.Is(err, control.ErrNone) {
		t.Errorf("without a socket: %v", err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "control.sock"))
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	if _, err := control.Dial(t.Context(), dir); !errors.Is(err, control.ErrNone) {
		t.Errorf("with the socket of a dead supervisor: %v", err)
	}
	serveIn(t, dir, &fake{}) // which takes its place
}

func TestOneSupervisorOnly(t *testing.T) {
	state := filepath.Join(t.TempDir(), ".healbot")
	defer goleak.VerifyNone(t) // who gave up waiting still opens the file
	first, err := control.Acquire(state)
	if err != nil {
		t.Fatal(err)
	}
	var held *control.HeldError
	if _, err := control.Acquire(state); !errors.As(err, &held) || held.PID != os.Getpid() {
		t.Errorf("the second lock: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := control.Await(ctx, state); !errors.Is(err, context.Canceled) {
		t.Errorf("Await with an ended context: %v", err)
	}
	waited := make(chan error, 1)
	go func() {
		l, err := control.Await(t.Context(), state)
		if err == nil {
			err = l.Release()
		}
		waited <- err
	}()
	if err := errors.Join(first.Release(), <-waited); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(filepath.Join(state, "lock")); string(text) != fmt.Sprintln(os.Getpid()) {
		t.Errorf("the lock file holds %q, %v", text, err)
	}
}

// A folder that somebody removed is made anew, and lets nobody else in meanwhile.
func TestFolderRemoved(t *testing.T) {
	state, _ := serve(t, &fake{})
	for range 2 {
		if err := os.RemoveAll(state); err != nil {
			t.Fatal(err)
		}
		var held *control.HeldError
		if _, err := control.Acquire(state); !errors.As(err, &held) {
			t.Fatalf("the lock of a folder that was removed: %v", err)
		}
		for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
			c, err := control.Dial(t.Context(), state)
			if err == nil {
				c.Close()
				break
			}
			if time.Now().After(end) {
				t.Fatal(err)
			}
		}
		if _, err := control.Acquire(state); !errors.As(err, &held) || held.PID != os.Getpid() {
			t.Errorf("the lock of the new folder: %v", err)
		}
	}
}

// Who may not look into the private folder is told whose it is.
func TestDialOfAStranger(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can act as somebody else")
	}
	dir := t.TempDir()
	state := filepath.Join(dir, ".healbot")
	if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Mkdir(state, 0o700)); err != nil {
		t.Fatal(err)
	}
	told := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		_ = unix.Setfsuid(65534)
		_, err := control.Dial(t.Context(), state)
		told <- err
	}()
	if err := <-told; !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "root's; call healbot as that user") {
		t.Errorf("told: %v", err)
	}
}
