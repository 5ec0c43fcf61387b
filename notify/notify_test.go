package notify

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/healing-bot/healbot/service"
)

var message = service.Message{
	On: service.EdgeMaxRestarts, Project: "shop", Service: "web", Name: "web-2", State: service.MaxRestarts, From: service.Running,
	Reason: `exit code 1 after 2s, "quoted" & 5 more`, At: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC),
}

func TestURLGetsTheMessage(t *testing.T) {
	var got service.Message
	var method, kind string
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		method, kind = r.Method, r.Header.Get("Content-Type")
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Error(err)
		}
	}))
	defer s.Close()
	if err := Send(t.Context(), service.Notice{URL: s.URL + "/hook"}, message, ""); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(message, got); diff != "" || method != "POST" || kind != "application/json" {
		t.Errorf("%s of %s: %s", method, kind, diff)
	}
}

// Whatever goes wrong, the address stays secret.
func TestURLIsNeverShown(t *testing.T) {
	const secret = "hunter2"
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") }))
	defer other.Close()
	answers := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/moved/"+secret {
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
			return
		}
		w.WriteHeader(http.StatusForbidden)
	}))
	defer answers.Close()
	gone := httptest.NewServer(nil)
	gone.Close()
	for _, to := range []string{answers.URL + "/" + secret, answers.URL + "/moved/" + secret, gone.URL + "/" + secret, "http://\x7f/" + secret} {
		err := Send(t.Context(), service.Notice{URL: to}, message, "")
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", to, err)
		}
	}
}

func TestURLThatHangsIsGivenUp(t *testing.T) {
	free := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-free }))
	defer s.Close()
	defer close(free)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := Send(ctx, service.Notice{URL: s.URL}, message, ""); err == nil {
		t.Error("no error")
	}
}

func TestCommandGetsTheMessage(t *testing.T) {
	dir := t.TempDir()
	script(t, dir, "tell", "#!/bin/sh\ncat > input; env | grep ^HEALBOT_ | sort > env; echo \"$1\" > arg; pwd > pwd\n")
	if err := Send(t.Context(), service.Notice{Command: []string{"./tell", "$HOME; x"}}, message, dir); err != nil {
		t.Fatal(err)
	}
	var got service.Message
	if err := json.Unmarshal([]byte(read(t, dir, "input")), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(message, got); diff != "" {
		t.Error(diff)
	}
	want := "HEALBOT_AT=2026-01-02T03:04:05.000000006Z\nHEALBOT_FROM=running\nHEALBOT_NAME=web-2\nHEALBOT_ON=max_restarts\n" +
		"HEALBOT_PROJECT=shop\nHEALBOT_REASON=" + message.Reason + "\nHEALBOT_SERVICE=web\nHEALBOT_STATE=max_restarts\n"
	if diff := cmp.Diff(want, read(t, dir, "env")); diff != "" {
		t.Error(diff)
	}
	if arg := read(t, dir, "arg"); arg != "$HOME; x\n" {
		t.Errorf("the argument came as %q", arg)
	}
}

func TestCommandThatFails(t *testing.T) {
	dir := t.TempDir()
	script(t, dir, "fails", "#!/bin/sh\nseq 9000\necho no such channel >&2\nexit 3\n")
	err := Send(t.Context(), service.Notice{Command: []string{"./fails"}}, message, dir)
	if err == nil || err.Error() != `./fails: exit status 3: "no such channel"` {
		t.Error(err)
	}
	if err := Send(t.Context(), service.Notice{Command: []string{"./missing"}}, message, dir); err == nil {
		t.Error("a command that is not there was no error")
	}
}

// Nothing that a command started outlives its time.
func TestCommandThatHangsDies(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "alive")
	script(t, dir, "hangs", "#!/bin/sh\nmkfifo alive\n(exec 9<>alive; echo up > up; sleep 1000) &\nsleep 1000\n")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- Send(ctx, service.Notice{Command: []string{"./hangs"}}, message, dir) }()
	for late := time.After(time.Minute); ; {
		if _, err := os.Stat(filepath.Join(dir, "up")); err == nil {
			break
		}
		select {
		case <-late:
			t.Fatal("the command did not begin")
		case <-time.After(5 * time.Millisecond):
		}
	}
	cancel()
	if err := <-done; err == nil || !strings.Contains(err.Error(), "did not end in time") {
		t.Error(err)
	}
	// The FIFO has no reader any more, so a writer that does not wait is refused.
	for late := time.After(time.Minute); ; {
		f, err := os.OpenFile(fifo, os.O_WRONLY|0o4000, 0) // O_NONBLOCK
		if err != nil {
			break
		}
		f.Close()
		select {
		case <-late:
			t.Fatal("a child of the command lives on")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func script(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
