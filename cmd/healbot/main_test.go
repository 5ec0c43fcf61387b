package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/healing-bot/healbot/internal/healtest"
	"github.com/healing-bot/healbot/runner"
	"github.com/healing-bot/healbot/service"
)

// program is the real healbot, built once for all tests here: it starts itself again
// as keeper and as supervisor, which a test binary can't stand in for.
var program string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "healbot-test")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	program = filepath.Join(dir, "healbot")
	build := exec.Command("go", "build", "-race", "-o", program, ".")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "cannot build healbot: %v\n%s", err, out)
		os.Exit(1)
	}
	os.Setenv("GORACE", raceOptions(dir))
	code := m.Run()
	if races := racesIn(dir); races != "" {
		fmt.Fprintln(os.Stderr, races)
		code = 1
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

// raceOptions makes the program write what the race detector finds into a file of dir,
// and end at once rather than a second later.
func raceOptions(dir string) string {
	return "atexit_sleep_ms=0 log_path=" + filepath.Join(dir, "race")
}

// racesIn gives what the race detector found in all runs of the program.
func racesIn(dir string) string {
	files, _ := filepath.Glob(filepath.Join(dir, "race.*"))
	var found strings.Builder
	for _, f := range files {
		text, _ := os.ReadFile(f)
		found.Write(text)
	}
	return found.String()
}

// TestScenes plays the scripts of testdata/scenes: what a user types and sees.
func TestScenes(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/scenes",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", filepath.Dir(program)+string(os.PathListSeparator)+e.Getenv("PATH"))
			e.Setenv("GORACE", raceOptions(filepath.Dir(program)))
			e.Setenv("FIXTURE", healtest.Fixture(t))
			e.Setenv("PORT", strconv.Itoa(healtest.Port(t)))
			e.Defer(func() { endProject(t, e.WorkDir) })
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"await":     await,
			"awaitfile": awaitFile,
			"killpid":   killPID,
			"edited":    edited,
		},
		UpdateScripts: os.Getenv("UPDATE") != "",
	})
}

// endProject leaves nothing of a scene that failed half-way.
func endProject(t *testing.T, dir string) {
	cmd := exec.Command(program, "down", "-t", "1")
	cmd.Dir = dir
	if _, err := os.Stat(filepath.Join(dir, ".healbot")); err == nil {
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Logf("down after the scene: %v\n%s", err, out)
		}
	}
}

// await NAME STATE waits until a service is in a state.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: await NAME STATE")
	}
	var last string
	err := eventually(func() bool {
		all, err := statusFile(ts.MkAbs("."))
		st := all[args[0]]
		last = fmt.Sprintf("%s (%s) %v", st.State, st.Reason, err)
		return string(st.State) == args[1]
	})
	if err != nil {
		ts.Fatalf("%s is not %s: %s", args[0], args[1], last)
	}
}

// awaitfile FILE waits until a file is there.
func awaitFile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: awaitfile FILE")
	}
	path := ts.MkAbs(args[0])
	if err := eventually(func() bool { _, err := os.Stat(path); return err == nil }); err != nil {
		ts.Fatalf("%s is not there: %v", args[0], err)
	}
}

// edited FILE NAME changes a file, once more each second, until a service has a new pid.
func edited(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: edited FILE NAME")
	}
	pid := func() int {
		all, err := statusFile(ts.MkAbs("."))
		ts.Check(err)
		return all[args[1]].PID
	}
	before, last := pid(), time.Time{}
	err := eventually(func() bool {
		if now := time.Now(); now.Sub(last) > time.Second {
			last = now
			ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(now.String()), 0o600))
		}
		now := pid()
		return now != before && now > 0
	})
	if err != nil {
		ts.Fatalf("%s was not restarted for %s: %v", args[1], args[0], err)
	}
}

// killpid SIGNAL FILE sends a signal to the pid that a file holds, and waits until a
// KILL or TERM has ended that process, and a STOP stopped it.
func killPID(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: killpid SIGNAL FILE")
	}
	pid := strings.TrimSpace(ts.ReadFile(args[1]))
	ts.Check(ts.Exec("kill", "-"+args[0], pid))
	state := map[string]string{"KILL": "ZX", "TERM": "ZX", "STOP": "T"}[args[0]]
	if state == "" {
		return
	}
	err := eventually(func() bool {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		_, rest, _ := strings.Cut(string(stat), ") ")
		return err != nil && state != "T" || rest != "" && strings.Contains(state, rest[:1])
	})
	if err != nil {
		ts.Fatalf("%s did nothing to %s: %v", args[0], pid, err)
	}
}

var errLate = errors.New("not within " + healtest.Deadline.String())

// eventually waits until so is true.
func eventually(so func() bool) error {
	late := time.After(healtest.Deadline)
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for !so() {
		select {
		case <-again.C:
		case <-late:
			return errLate
		}
	}
	return nil
}

// objects of `healbot ps --json` in dir, by name.
func objectsIn(dir string) (map[string]object, error) {
	cmd := exec.Command(program, "ps", "--json")
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	var list []object
	if err := json.NewDecoder(bytes.NewReader(out)).Decode(&list); err != nil {
		return nil, err
	}
	byName := map[string]object{}
	for _, o := range list {
		byName[o.Name] = o
	}
	return byName, nil
}

// statusFile reads .service_status.json of dir, by name.
func statusFile(dir string) (all map[string]service.Status, err error) {
	data, err := os.ReadFile(runner.StatusPath(dir))
	if err == nil {
		err = json.Unmarshal(data, &all)
	}
	return all, err
}
