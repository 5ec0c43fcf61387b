package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A scene is a folder with a follower, and the lines it shipped since they were last
// asked for.
type scene struct {
	*testing.T
	folder   string
	follower *follower
	shipped  []string // "name: line"
}

func newScene(t *testing.T) *scene {
	s := &scene{T: t, folder: t.TempDir()}
	s.follower = newFollower(s.folder, func(file, line string) error {
		s.shipped = append(s.shipped, filepath.Base(file)+": "+line)
		return nil
	})
	t.Cleanup(s.follower.close)
	return s
}

func (s *scene) add(name, text string) {
	s.Helper()
	file, err := os.OpenFile(filepath.Join(s.folder, name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err == nil {
		_, err = file.WriteString(text)
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		s.Fatal(err)
	}
}

func (s *scene) rename(from, to string) {
	s.Helper()
	if err := os.Rename(filepath.Join(s.folder, from), filepath.Join(s.folder, to)); err != nil {
		s.Fatal(err)
	}
}

// expect scans and compares what was shipped.
func (s *scene) expect(want ...string) {
	s.Helper()
	if err := s.follower.scan(); err != nil {
		s.Fatal(err)
	}
	if diff := cmp.Diff(want, s.shipped); diff != "" {
		s.Fatalf("shipped (-want +got):\n%s", diff)
	}
	s.shipped = nil
}

func TestFollowsNewLinesAndNewFiles(t *testing.T) {
	s := newScene(t)
	s.expect()
	s.add("DDoS Model API.log", "one\ntwo\n")
	s.add("notes.txt", "not a log\n")
	s.add("old.log.1", "rotated before\n")
	s.expect("DDoS Model API.log: one", "DDoS Model API.log: two")
	s.expect()
	s.add("DDoS Model API.log", "three\n")
	s.add("web.log", "first\n")
	s.expect("DDoS Model API.log: three", "web.log: first")
}

func TestWaitsForTheEndOfALine(t *testing.T) {
	s := newScene(t)
	s.add("web.log", "ha")
	s.expect()
	s.add("web.log", "lf\n")
	s.expect("web.log: half")
}

func TestCutsALineWithoutEnd(t *testing.T) {
	s := newScene(t)
	s.add("web.log", strings.Repeat("x", maxLine+1)+"\n")
	s.expect("web.log: "+strings.Repeat("x", maxLine), "web.log: x")
}

func TestRotationLosesNothing(t *testing.T) {
	s := newScene(t)
	s.add("web.log", "one\n")
	s.expect("web.log: one")
	s.add("web.log", "two\nthree, cut short")
	s.rename("web.log", "web.log.1")
	s.add("web.log", "four\n")
	s.expect("web.log: two", "web.log: three, cut short", "web.log: four")
}

func TestRemovedFileIsReadToItsEnd(t *testing.T) {
	s := newScene(t)
	s.add("web.log", "one\n")
	s.expect("web.log: one")
	s.add("web.log", "two\n")
	s.rename("web.log", "web.log.1")
	s.expect("web.log: two")
}

func TestFileEmptiedInPlaceIsReadFromItsStart(t *testing.T) {
	s := newScene(t)
	s.add("web.log", "a long first line\n")
	s.expect("web.log: a long first line")
	if err := os.Truncate(filepath.Join(s.folder, "web.log"), 0); err != nil {
		t.Fatal(err)
	}
	s.add("web.log", "new\n")
	s.expect("web.log: new")
}

func TestFailureToShipIsReported(t *testing.T) {
	s := newScene(t)
	s.follower.ship = func(string, string) error { return io.ErrClosedPipe }
	s.add("web.log", "one\n")
	if err := s.follower.scan(); !errors.Is(err, io.ErrClosedPipe) {
		t.Fatalf("scan: %v, want %v", err, io.ErrClosedPipe)
	}
}

// TestRun looks at the whole program from outside: records, addresses and its end.
func TestRun(t *testing.T) {
	s := newScene(t)
	s.add("web.log", "<one>\n")
	ctx, cancel := context.WithCancel(t.Context())
	out, outWriter := io.Pipe()
	notes, notesWriter := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, s.folder, "127.0.0.1:0", outWriter, notesWriter) }()

	note, err := bufio.NewReader(notes).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	records := json.NewDecoder(out)
	expectRecord(t, records, filepath.Join(s.folder, "web.log"), "<one>")

	url := regexp.MustCompile(`http://\S+`).FindString(note)
	expectAnswer(t, url+"/api/v1/health", 200, "ok\n")
	expectAnswer(t, url+"/", 200, `{"stand-in":{"for":"fluent-bit"}}`+"\n")
	expectAnswer(t, url+"/api/v1/metrics", 200, `{"input":{"tail.0":{"bytes":5,"records":1}}}`+"\n")
	expectAnswer(t, url+"/elsewhere", 404, "404 page not found\n")

	s.add("web.log", "last words\n")
	cancel()
	expectRecord(t, records, filepath.Join(s.folder, "web.log"), "last words")
	if err := <-ended; err != nil {
		t.Fatalf("run: %v", err)
	}
}

func TestRunSaysThatItsAddressIsTaken(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	notes, notesWriter := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, t.TempDir(), "127.0.0.1:0", io.Discard, notesWriter) }()
	note, err := bufio.NewReader(notes).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	_, address, _ := strings.Cut(strings.TrimSpace(note), "http://")

	err = run(ctx, t.TempDir(), address, io.Discard, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("run: %v, want address already in use", err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("first run: %v", err)
	}
}

func expectRecord(t *testing.T, records *json.Decoder, file, log string) {
	t.Helper()
	var got map[string]string
	if err := records.Decode(&got); err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$`).MatchString(got["date"]) {
		t.Errorf("date %q is not in Fluent Bit's iso8601", got["date"])
	}
	delete(got, "date")
	if diff := cmp.Diff(map[string]string{"file": file, "log": log}, got); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
}

func expectAnswer(t *testing.T, url string, status int, body string) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != status || string(got) != body {
		t.Errorf("%s: %d %q, want %d %q", url, response.StatusCode, got, status, body)
	}
}
