package runner

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/healing-bot/healbot/runner/policy"
	"github.com/healing-bot/healbot/service"
)

// history gives the history as why tells it: state, reason and note.
func (s *scene) history() (lines []string) {
	s.Helper()
	synctest.Wait()
	time.Sleep(time.Second)
	all, err := History(s.dir)
	if err != nil {
		s.Fatal(err)
	}
	for _, c := range all {
		line := string(c.Status.State) + "|" + c.Status.Reason
		if c.Note != "" {
			line += "|" + c.Note
		}
		lines = append(lines, line)
	}
	return lines
}

func TestHistoryTellsEveryCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := project(t, t.TempDir(), svc("web"))
		b := newFakes()
		b.slow = time.Millisecond // so that up comes before the answer
		s := run(t, b, p)
		s.up()
		time.Sleep(3 * time.Second)
		s.backend.instance("web").end(service.Exit{Code: 7})
		time.Sleep(always.Delay + time.Second)
		s.backend.instance("web").stubborn = true // it handles SIGHUP
		s.Do(s.ctx, service.Command{Verb: service.VerbKill, Signal: "SIGHUP"})
		synctest.Wait()
		s.backend.instance("web").stubborn = false
		s.Do(s.ctx, service.Command{Verb: service.VerbStart})
		time.Sleep(time.Second)
		s.Do(s.ctx, service.Command{Verb: service.VerbRestart})
		s.Do(s.ctx, service.Command{Verb: service.VerbStop})
		s.Do(s.ctx, service.Command{Verb: service.VerbStart})
		s.Do(s.ctx, service.Command{Verb: service.VerbDown})
		<-s.ended
		want := []string{
			"pending|waiting for the list of what already runs|healbot up",
			"running|",
			"crashed|exit code 7 after 3s, restart 1/3 in 5s",
			"pending|starting, restart 1/3 (exit code 7 after 3s)",
			"running|restart 1/3 (exit code 7 after 3s)",
			"running|restart 1/3 (exit code 7 after 3s)|a user sent SIGHUP",
			"running|restarted by a user, stopping, killed in 10s",
			"pending|restarted by a user",
			"running|",
			"running|stopping, killed in 10s",
			"stopped|stopped by a user",
			"pending|starting|healbot start",
			"running|",
			"running|stopping, killed in 10s|healbot down",
			"stopped|stopped by a user",
		}
		if diff := cmp.Diff(want, s.history()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestHistoryTellsOfTheNextSupervisor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := project(t, t.TempDir(), svc("web"), svc("db"))
		s := run(t, newFakes(), p)
		s.up()
		b := s.die()
		os.Remove(HistoryPath(s.dir)) // with it what die left
		for _, inst := range b.left {
			if f := inst.(*fake); f.about.Service == "db" {
				f.about.Ended = true
				f.end(service.Exit{Code: 5})
			}
		}
		s = run(t, b, p)
		s.begin()
		got := s.history()
		want := []string{
			"crashed|exit code 5 (while no supervisor was there) after 1s, restart 1/3 in 5s|a new supervisor took over",
			"running||a new supervisor took over",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		s.end()
	})
}

func TestHistoryOutlivesWhatIsTorn(t *testing.T) {
	dir := t.TempDir()
	os.MkdirAll(StateDir(dir), 0o700)
	line := func(n int) string { return fmt.Sprintf(`{"status":{"name":"web","seq":%d}}`+"\n", n) }
	os.WriteFile(HistoryPath(dir)+".1", []byte(line(1)+`{"status":{"na`+"\n"), 0o600)
	os.WriteFile(HistoryPath(dir), []byte(line(2)+strings.Repeat("x", 2000)+"\n"+line(3)+`{"at":`), 0o600)
	all, err := History(dir)
	if err != nil || len(all) != 3 || all[0].Status.Seq != 1 || all[2].Status.Seq != 3 {
		t.Errorf("%d changes, %v: %+v", len(all), err, all)
	}
	if all, err := History(t.TempDir()); err != nil || all != nil {
		t.Errorf("without any: %v, %v", all, err)
	}
}

// What the disk refuses waits until there is room, to a bound, beyond which it is counted.
func TestHistoryThatTheDiskRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakes()
		b.born = func(f *fake) { f.end(service.Exit{Code: 1}) }
		p := project(t, t.TempDir(), svc("web"))
		p.Policies["web"] = policy.Policy{Condition: policy.Always, Delay: time.Second, Factor: 1, MaxDelay: time.Second}
		s := run(t, b, p)
		refuse := func(during time.Duration) {
			t.Helper()
			synctest.Wait()
			aside := HistoryPath(s.dir) + ".1"
			_ = os.Rename(HistoryPath(s.dir), aside) // that is read, too
			if err := os.Mkdir(HistoryPath(s.dir), 0o700); err != nil {
				t.Fatal(err)
			}
			time.Sleep(during)
			synctest.Wait()
			if err := os.Remove(HistoryPath(s.dir)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * retryPause)
		}
		seen := func() (steps int, notes []string) {
			t.Helper()
			all, err := History(s.dir)
			if err != nil {
				t.Fatal(err)
			}
			last := 0
			for _, c := range all {
				if c.Status.Seq <= last {
					t.Fatalf("change %d comes after change %d", c.Status.Seq, last)
				}
				if last = c.Status.Seq; c.Note != "" {
					notes = append(notes, c.Note)
				}
			}
			return len(all), notes
		}
		s.up()
		refuse(10 * time.Second)
		if steps, notes := seen(); steps < 30 || len(notes) != 1 || notes[0] != "healbot up" {
			t.Errorf("after some seconds %d steps and %q", steps, notes)
		}
		refuse(10 * time.Minute)
		steps, notes := seen()
		lost := 0
		if len(notes) == 1 {
			fmt.Sscanf(notes[0], "the disk refused %d changes before this one, which are lost", &lost)
		}
		if lost < historyKept/2 || steps < historyKept || steps > historyKept+50 {
			t.Errorf("after minutes %d steps and %q", steps, notes)
		}
		s.end()
	})
}
