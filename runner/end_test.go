package runner

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/healing-bot/healbot/runner/policy"
	"github.com/healing-bot/healbot/service"
)

func TestStopRestartAndKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakes()
		s := run(t, b, project(t, t.TempDir(), svc("web"), svc("db")))
		s.up()
		b.take()
		do := func(verb service.Verb, name string) {
			t.Helper()
			s.must(service.Command{Verb: verb, Services: []string{name}})
		}
		do(service.VerbStop, "web")
		s.want("web", service.Stopped, "stopped by a user")
		do(service.VerbStart, "web")
		do(service.VerbRestart, "web")
		do(service.VerbKill, "web")
		s.want("web", service.Stopped, "killed by a user")
		want := []string{"SIGTERM web", "start web", "SIGTERM web", "start web", "kill web"}
		if diff := cmp.Diff(want, b.take()); diff != "" {
			t.Error(diff)
		}
		if _, err := s.Do(s.ctx, service.Command{Verb: service.VerbStop, Services: []string{"wep"}}); err == nil ||
			err.Error() != "no such service: wep (there are db, web)" {
			t.Errorf("stop of an unknown service: %v", err)
		}
		s.end()
	})
}

func TestAStubbornInstanceIsKilledAfterItsGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakes()
		s := run(t, b, project(t, t.TempDir(), svc("web")))
		s.up()
		b.instance("web").stubborn = true
		began := time.Now()
		s.must(service.Command{Verb: service.VerbStop})
		if took := time.Since(began); took != always.Grace {
			t.Errorf("stop took %v, want %v", took, always.Grace)
		}
		s.want("web", service.Stopped, "stopped by a user, killed after 10s")
		start := service.Command{Verb: service.VerbStart}
		if _, err := s.Do(s.ctx, start); err != nil {
			t.Fatal(err)
		}
		b.instance("web").stubborn = true
		second := time.Second
		for _, c := range []service.Command{{Verb: service.VerbRestart, Grace: &second}, {Verb: service.VerbStop}} {
			if _, err := s.Do(s.ctx, c); err != nil {
				t.Fatal(err)
			}
			if i := b.instance("web"); i != nil {
				i.stubborn = true
			}
		}
		s.want("web", service.Stopped, "stopped by a user, killed after 10s") // the second was the restart's
		if _, err := s.Do(s.ctx, start); err != nil {
			t.Fatal(err)
		}
		b.instance("web").stubborn = true
		s.must(service.Command{Verb: service.VerbStop, Grace: &second})
		s.want("web", service.Stopped, "stopped by a user, killed after 1s")
		s.end()
	})
}

// A backend that can't end an instance is the reason that people are told, by every
// command that waits for the end, in bounded time.
func TestAnEndThatTheBackendCannotBring(t *testing.T) {
	for _, verb := range []service.Verb{service.VerbStop, service.VerbRestart, service.VerbKill, service.VerbDown} {
		synctest.Test(t, func(t *testing.T) {
			b := newFakes()
			s := run(t, b, project(t, t.TempDir(), svc("web")))
			s.up()
			web := b.instance("web")
			mute := errors.New("cannot end web: the keeper, pid 7, does not answer")
			web.silence(mute)
			began := time.Now()
			_, err := s.Do(s.ctx, service.Command{Verb: verb})
			if err == nil || !strings.Contains(err.Error(), mute.Error()) {
				t.Errorf("%s: %v", verb, err)
			}
			if took := time.Since(began); took > 40*time.Second {
				t.Errorf("%s took %v", verb, took)
			}
			if st := s.status("web"); st.State != service.Failed || !strings.HasSuffix(st.Reason, mute.Error()) {
				t.Errorf("after %s: %s (%s)", verb, st.State, st.Reason)
			}
			web.silence(nil) // and whoever asks again hears of that
			if _, err := s.Do(s.ctx, service.Command{Verb: verb}); err != nil && verb != service.VerbKill {
				t.Errorf("%s, once more: %v", verb, err)
			}
			if verb == service.VerbDown {
				if err := <-s.ended; err != nil {
					t.Error("Run, once it could end:", err)
				}
				return
			}
			if st := s.status("web"); strings.Contains(st.Reason, "keeper") || st.State == service.Failed {
				t.Errorf("ended after all: %s (%s)", st.State, st.Reason)
			}
			s.end()
		})
	}
}

func TestDownTakesAwayAllButTheHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, dir := newFakes(), t.TempDir()
		s := run(t, b, project(t, dir, svc("web")))
		s.up()
		time.Sleep(time.Second)
		var status map[string]service.Status
		data, err := os.ReadFile(StatusPath(dir))
		if err == nil {
			err = json.Unmarshal(data, &status)
		}
		if err != nil || status["web"].State != service.Running {
			t.Errorf("status file: %s, %v", data, err)
		}
		if !strings.HasPrefix(string(data), "{\n  \"web\": {\"pid\":1001,\"status\":\"running\"") {
			t.Errorf("status file begins %.60q", data)
		}
		if pid, _ := os.ReadFile(filepath.Join(dir, ".pids/web.pid")); string(pid) != "1001\n" {
			t.Errorf("pid file: %q", pid)
		}
		s.must(service.Command{Verb: service.VerbDown})
		if err := <-s.ended; err != nil {
			t.Error("Run:", err)
		}
		var left []string
		filepath.WalkDir(dir, func(path string, d os.DirEntry, _ error) error {
			if !d.IsDir() {
				left = append(left, filepath.Base(path))
			}
			return nil
		})
		if !slices.Equal(left, []string{"events.jsonl"}) || !b.removed {
			t.Errorf("left: %q, backend told: %v", left, b.removed)
		}
	})
}

// A down starts nothing, whatever the last supervisor was about to.
func TestDownOfWhatWasToBeStarted(t *testing.T) {
	for _, phase := range []policy.Phase{policy.Resting, policy.Waiting, policy.Launching, policy.Backoff} {
		synctest.Test(t, func(t *testing.T) {
			dir := t.TempDir()
			s := run(t, newFakes(), project(t, dir, svc("web")))
			s.up()
			b := s.die()
			b.live, b.left, b.slow = map[service.Key]*fake{}, nil, time.Second
			b.prepare = func(service.Service) error { b.note("prepare"); return nil }
			path := filepath.Join(StateDir(dir), "state.json")
			var j journal
			data, err := os.ReadFile(path)
			if err == nil {
				err = json.Unmarshal(data, &j)
			}
			if err != nil {
				t.Fatal(err)
			}
			web := j.Units["web"]
			web.State.Phase, web.State.Status, web.Live = phase, policy.Failed, nil
			j.Units["web"] = web
			if data, err = json.Marshal(j); err == nil {
				err = os.WriteFile(path, data, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			s = run(t, b, project(t, dir, svc("web")))
			s.must(service.Command{Verb: service.VerbDown})
			if err := <-s.ended; err != nil {
				t.Error(err)
			}
			if did := b.take(); len(did) > 0 {
				t.Errorf("%s: %q", phase, did)
			}
		})
	}
}

// A down that comes before the backend has said what runs ends also what no journal knows
// of.
func TestDownWaitsForTheListOfWhatRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakes()
		web := newFake(b, svc("web"), service.Key{Service: "web", Replica: 1}, 1)
		b.live[web.about.Key], b.left, b.slow = web, []Instance{web}, 3*time.Second
		s := run(t, b, project(t, t.TempDir(), svc("web")))
		s.must(service.Command{Verb: service.VerbDown})
		if err := <-s.ended; err != nil {
			t.Error("Run:", err)
		}
		if b.instance("web") != nil || !b.removed {
			t.Errorf("web lives: %v, backend told: %v", b.instance("web") != nil, b.removed)
		}
	})
}

func TestDownWithoutAnEngineThatNeverAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, engine := newFakes(), newFakes()
		engine.refuse = errEngine
		box := svc("box")
		box.Kind = service.Container
		p := project(t, t.TempDir(), svc("web"), box)
		s := runWith(t, b, p, Config{Backends: map[service.Kind]Backend{service.Native: b, service.Container: engine}})
		s.up()
		s.must(service.Command{Verb: service.VerbDown})
		if err := <-s.ended; err != nil || !b.removed || engine.removed {
			t.Errorf("Run: %v; natives removed: %v; containers, of which there were none: %v", err, b.removed, engine.removed)
		}
	})
}

// What was made with one stop signal is stopped with it, whatever the file says now.
func TestStopSignalOfAnOlderFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakes()
		web := svc("web")
		web.StopSignal = "SIGQUIT"
		s := run(t, b, project(t, t.TempDir(), web))
		s.up()
		edited := web
		edited.StopSignal, edited.Hash = "SIGINT", "2"
		s.project.Services = []service.Service{edited}
		s.up()
		synctest.Wait()
		s.end()
		if diff := cmp.Diff([]string{"start web", "SIGQUIT web", "start web", "SIGINT web"}, b.take()); diff != "" {
			t.Error(diff)
		}
	})
}
