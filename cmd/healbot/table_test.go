package main

import (
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"

	"github.com/healing-bot/healbot/service"
)

func samples() []service.Status {
	up := time.Now().Add(-75 * time.Second)
	return []service.Status{
		{
			Name: "fluent-bit", Kind: service.Container, State: service.Running, Health: "healthy",
			ID: "ddb3027483931122", PID: 77, StartedAt: &up, MaxRestarts: 5, Restarts: 1,
			Ports:  []service.Port{{Target: 2020, Published: 2020, Protocol: "tcp"}, {Target: 2020, Published: 8888, Protocol: "tcp"}},
			Reason: "restart 1/5 (killed by SIGKILL after 6.5s)",
		},
		{
			Name: "model", Kind: service.Native, State: service.Crashed, MaxRestarts: 5,
			Ports:  []service.Port{{Target: 8080, Published: 8080, Protocol: "tcp"}},
			Reason: "exit code 1 after 2.1s\x1b]0;evil\a, restart 1/5 in 9.6s",
		},
		{Name: "worker", Kind: service.Native, State: service.Stopped, Reason: "stopped by a user"},
	}
}

func drawn(t *testing.T, colour palette, width int) string {
	t.Helper()
	var out strings.Builder
	figures := map[string]figure{"fluent-bit": {known: true, cpu: 1.25, memory: 4 << 20}}
	heads, rows := layOut(samples(), figures, colour, width)
	if err := render(&out, heads, rows); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestTableInAPipeIsWhole(t *testing.T) {
	want := `SERVICE     KIND       STATE    HEALTH   PID/ID        PORTS            RESTARTS  UPTIME  CPU   MEM   REASON
fluent-bit  container  running  healthy  ddb302748393  2020,8888->2020  1/5       1m15s   1.2%  4MiB  restart 1/5 (killed by SIGKILL after 6.5s)
model       native     crashed  -        -             8080             0/5       -       -     -     exit code 1 after 2.1s, restart 1/5 in 9.6s
worker      native     stopped  -        -             -                0         -       -     -     stopped by a user
`
	if diff := cmp.Diff(want, drawn(t, false, 0)); diff != "" {
		t.Error(diff)
	}
}

func TestTableFitsTheTerminal(t *testing.T) {
	want := `SERVICE     STATE    HEALTH   PID/ID        RESTARTS  UPTIME  REASON
fluent-bit  running  healthy  ddb302748393  1/5       1m15s   restart 1/5 (kill…
model       crashed  -        -             0/5       -       exit code 1 after…
worker      stopped  -        -             0         -       stopped by a user
`
	if diff := cmp.Diff(want, drawn(t, false, 80)); diff != "" {
		t.Error(diff)
	}
	for width := 40; width < 200; width++ {
		for line := range strings.Lines(drawn(t, true, width)) {
			if got := ansi.StringWidth(strings.TrimRight(line, "\n")); got > width {
				t.Fatalf("at %d columns a line has %d: %q", width, got, line)
			}
		}
	}
}

// What is too long or too wide for any terminal gives way, and names stay apart.
func TestTableOfLongNames(t *testing.T) {
	name := "a-service-name-that-has-fifty-characters-in-all-xy"
	all := []service.Status{
		{Name: name, Kind: service.Native, State: service.MaxRestarts, PID: 4194304, Restarts: 99, MaxRestarts: 100, Reason: strings.Repeat("接続が拒否されました ", 20)},
		{Name: name + "-2", Kind: service.Container, State: service.Running, ID: "ddb3027483931122"},
		{Name: "web", Kind: service.Native, State: service.Running},
	}
	heads, rows := layOut(all, nil, false, 60)
	var out strings.Builder
	if err := render(&out, heads, rows); err != nil {
		t.Fatal(err)
	}
	want := `SERVICE             STATE         RESTARTS  REASON
a-service…n-all-xy  max_restarts  99/100    接続が拒否され…
a-service…all-xy-2  running       0
web                 running       0
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
	for width := 30; width < 300; width++ {
		heads, rows := layOut(all, nil, true, width)
		var out strings.Builder
		if err := render(&out, heads, rows); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			if got := ansi.StringWidth(strings.TrimRight(line, "\n")); got > width {
				t.Fatalf("at %d columns a line has %d: %q", width, got, line)
			}
		}
		if rows[0][0] == rows[1][0] {
			t.Errorf("at %d columns both are %q", width, rows[0][0])
		}
	}
}

func TestColoursChangeNoWidth(t *testing.T) {
	if plain := ansi.Strip(drawn(t, true, 0)); plain != drawn(t, false, 0) {
		t.Errorf("with colours:\n%s", plain)
	}
}

func TestScreenTellsNews(t *testing.T) {
	var out strings.Builder
	c := &cli{out: &out, ansi: "never"}
	started := time.Now()
	st := service.Status{Name: "model", State: service.Stopped}
	scr := c.screen([]service.Status{st})
	scr.expect([]service.Status{st})
	tell := func(from, to service.State, reason string) {
		st.State, st.Reason, st.Since, st.StartedAt = to, reason, started.Add(400*time.Millisecond), &started
		scr.change(service.Change{At: time.Now(), From: from, Status: st})
	}
	tell("", service.Stopped, "not started yet")
	tell(service.Stopped, service.Pending, "starting")
	tell(service.Pending, service.Starting, "not healthy yet: connection refused")
	tell(service.Starting, service.Starting, "not healthy yet: connection reset")
	tell(service.Starting, service.Running, "")
	scr.output("model", []byte("hello \x1b[31mworld\x1b[2J"))
	tell(service.Running, service.Crashed, "exit code 1 after 2.1s, restart 1/5 in 5s")
	got := out.String()
	before, _, _ := strings.Cut(got, "healbot: all services are up after ")
	_, after, _ := strings.Cut(got, "\nmodel │")
	want := "model ● starting\nmodel ● running  healthy after 0.4s\n hello world\nmodel ● crashed  exit code 1 after 2.1s, restart 1/5 in 5s\n"
	if diff := cmp.Diff(want, before+after); diff != "" {
		t.Error(diff)
	}
}
