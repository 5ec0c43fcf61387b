package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/charmbracelet/x/ansi"
	"golang.org/x/term"

	"github.com/healing-bot/healbot/docker"
	"github.com/healing-bot/healbot/native"
	"github.com/healing-bot/healbot/runner"
	"github.com/healing-bot/healbot/runner/policy"
	"github.com/healing-bot/healbot/service"
)

// A palette colours text, or leaves it as it is.
type palette bool

func (p palette) paint(sgr, text string) string {
	if !p || sgr == "" {
		return text
	}
	return "\x1b[" + sgr + "m" + text + "\x1b[0m"
}

// The colours of states, as SGR parameters.
var stateColours = map[service.State]string{
	service.Running:     "32",
	service.Starting:    "36",
	service.Pending:     "36",
	service.Unhealthy:   "33",
	service.Crashed:     "33",
	service.Failed:      "31",
	service.MaxRestarts: "31;1",
	service.Stopped:     "2",
	service.Done:        "2",
}

func (p palette) state(s service.State, text string) string { return p.paint(stateColours[s], text) }

// nameColours are told apart on light and dark grounds.
var nameColours = []string{"36", "35", "34", "33", "32", "96", "95", "94"}

// name paints text in the colour of the n-th name.
func (p palette) name(n int, text string) string {
	return p.paint(nameColours[n%len(nameColours)], text)
}

// colours decides whether w gets colours: --ansi, NO_COLOR, and whether it is a
// terminal.
func (c *cli) colours(w io.Writer) palette {
	switch {
	case c.ansi == "always":
		return true
	case c.ansi == "never", os.Getenv("NO_COLOR") != "", os.Getenv("TERM") == "dumb":
		return false
	}
	_, tty := terminalWidth(w)
	return palette(tty)
}

// painted decides the same for a screen, whose --progress may say it, too.
func (c *cli) painted(w io.Writer) palette {
	switch {
	case c.progressAs == "plain":
		return false
	case c.progressAs == "tty" && c.ansi == "auto" && os.Getenv("NO_COLOR") == "":
		return true
	}
	return c.colours(w)
}

// terminalWidth is the width of the terminal behind w; tty is false for a pipe or file.
func terminalWidth(w io.Writer) (columns int, tty bool) {
	f, ok := w.(*os.File)
	if !ok {
		return 0, false
	}
	columns, _, err := term.GetSize(int(f.Fd()))
	return columns, err == nil
}

// A screen shows a project as it goes: a line for each change of state and, between
// them, the services' output. Lines of different services never mix.
type screen struct {
	colour   palette
	width    int           // of the column of names
	noPrefix bool          // output goes without the names of services
	noPulls  bool          // how far a pull is is not said
	quiet    bool          // nor is anything else that happens
	objects  *json.Encoder // takes what happens instead of lines; nil: lines

	mu    sync.Mutex // guards what follows
	out   io.Writer
	names map[string]int  // by order of appearance, for their colours
	shown map[string]said // what was last said of each replica

	awaited map[string]bool // replicas not ready yet; nil when nobody wants to be told
	began   time.Time       // when they began to be awaited
}

// said is what was last said of a replica, and when.
type said struct {
	key, text string
	at        time.Time
}

// notePause is how long a replica that says how far it is, as a pull does, is given
// between two lines.
const notePause = 2 * time.Second

func (c *cli) screen(all []service.Status) *screen {
	s := &screen{colour: c.painted(c.out), out: c.out, names: map[string]int{}, shown: map[string]said{}, quiet: c.progressAs == "quiet"}
	if c.progressAs == "json" {
		s.objects = json.NewEncoder(c.err)
		s.objects.SetEscapeHTML(false)
	}
	for _, st := range all {
		s.width = max(s.width, len(st.Name))
		s.names[st.Name] = len(s.names)
	}
	return s
}

// view is a screen as the flags of up want it.
func (c *cli) view(all []service.Status, o upOptions) *screen {
	s := c.screen(all)
	s.colour = s.colour && palette(!o.view.noColour)
	s.noPrefix, s.noPulls = o.view.noPrefix, o.quietPull
	return s
}

// follow shows changes until there are no more.
func (s *screen) follow(changes <-chan service.Change) error {
	for c := range changes {
		if c.Missed {
			return errMissed
		}
		s.change(c)
	}
	return nil
}

// change shows a step if it is news: the state, that it is being stopped, or that
// it is held from outside.
func (s *screen) change(c service.Change) {
	st := c.Status
	text := s.words(c)
	key := fmt.Sprint(st.State, st.Stopping, st.Paused, st.Held > 0, st.RestartsTotal, st.ID)
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.ready(st)
	last, known := s.shown[st.Name]
	atRest := c.From == st.State && slices.Contains([]service.State{service.Done, service.Failed, service.MaxRestarts}, st.State)
	if text == "" || !known && (st.State == service.Stopped || atRest) {
		return
	}
	progress := st.State == service.Pending && st.Held == 0 && text != last.text && c.At.Sub(last.at) >= notePause
	if last.key == key && !progress || s.noPulls && strings.HasPrefix(st.Reason, "pulling ") {
		return
	}
	s.shown[st.Name] = said{key, text, c.At}
	switch {
	case s.quiet:
		return
	case s.objects != nil:
		_ = s.objects.Encode(pastOf(c))
		return
	}
	s.line(st.Name, s.colour.state(st.State, "●")+" "+text)
}

// expect makes the screen say when all replicas are ready for the first time.
func (s *screen) expect(all []service.Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.awaited, s.began = map[string]bool{}, time.Now()
	for _, st := range all {
		s.awaited[st.Name] = true
	}
}

// ready notes a replica that came up; the caller holds mu.
func (s *screen) ready(st service.Status) {
	up := st.State == service.Running && (st.Health == service.HealthNone || st.Health == service.HealthHealthy)
	if !up && st.State != service.Done || !s.awaited[st.Name] {
		return
	}
	delete(s.awaited, st.Name)
	if len(s.awaited) == 0 {
		s.headline("all services are up after " + policy.Age(time.Since(s.began)))
	}
}

// words says what a change is about; "" if it is not worth a line.
func (s *screen) words(c service.Change) string {
	st := c.Status
	state := string(st.State)
	reason := ansi.Strip(st.Reason)
	switch {
	case c.Gone:
		return "removed"
	case runner.Looking(st):
		return ""
	case st.Stopping && st.State != service.Unhealthy:
		state = "stopping"
		reason = strings.TrimPrefix(strings.Replace(reason, "stopping", "", 1), ", ")
		reason = strings.Replace(reason, ", , ", ", ", 1)
	case st.State == service.Pending && (reason == "" || reason == "starting" || c.From == service.Crashed || c.From == service.Unhealthy) && st.Held == 0:
		return ""
	case st.State == service.Starting:
		reason = ""
	case st.State == service.Unhealthy:
		reason = strings.TrimPrefix(reason, "unhealthy ")
	case st.State == service.Running && c.From == service.Starting && st.StartedAt != nil:
		healthy := "healthy after " + policy.Age(st.Since.Sub(*st.StartedAt))
		reason = strings.TrimSuffix(healthy+"; "+reason, "; ")
	}
	text := s.colour.state(st.State, state)
	if reason != "" {
		text += "  " + s.colour.paint("2", reason)
	}
	return text
}

// output shows a line that a service wrote.
func (s *screen) output(name string, line []byte) error { return s.stamped(name, "", line) }

// stamped shows a line that a service wrote, after what says when.
func (s *screen) stamped(name, stamp string, line []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.noPrefix {
		_, err := fmt.Fprintln(s.out, stamp+printable(line))
		return err
	}
	return s.line(name, s.colour.paint("2", "│")+" "+stamp+printable(line))
}

// line writes one line; the caller holds mu.
func (s *screen) line(name, text string) error {
	s.width = max(s.width, len(name))
	n, known := s.names[name]
	if !known {
		n = len(s.names)
		s.names[name] = n
	}
	_, err := fmt.Fprintf(s.out, "%s %s\n", s.colour.name(n, fmt.Sprintf("%-*s", s.width, name)), text)
	return err
}

// say tells something about the whole project.
func (s *screen) say(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.headline(text)
}

// headline writes a line about the whole project; the caller holds mu.
func (s *screen) headline(text string) {
	if s.quiet || s.objects != nil {
		return
	}
	fmt.Fprintln(s.out, s.colour.paint("1", "healbot: "+text))
}

func (s *screen) notes(notes []string) {
	for _, n := range notes {
		s.say(n)
	}
}

// printable takes the sting out of control sequences: what a service writes must not
// move the cursor or change the terminal's settings.
func printable(line []byte) string {
	text := ansi.Strip(string(line))
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f {
			return -1
		}
		return r
	}, text)
}

// logs follows the output of the services that are meant from now on, until ctx ends.
func (s *screen) logs(ctx context.Context, all []service.Status, containers *docker.Backend, of upOptions) {
	var following sync.WaitGroup
	for _, st := range all {
		if !of.shows(st) {
			continue
		}
		o := service.LogOptions{Tail: 0, Follow: true}
		emit := func(at time.Time, line []byte) error {
			if of.view.times {
				return s.stamped(st.Name, stampOf(at)+" ", line)
			}
			return s.output(st.Name, line)
		}
		following.Go(func() { showLogs(ctx, st, containers, o, emit) })
	}
	following.Wait()
}

// showLogs gives the lines of one replica, wherever they are kept.
func showLogs(ctx context.Context, st service.Status, containers *docker.Backend, o service.LogOptions, emit func(time.Time, []byte) error) error {
	switch {
	case st.Kind == service.Native && st.LogPath == "":
		return nil
	case st.Kind == service.Native:
		return native.Logs(ctx, st.LogPath, o, markSplit(emit))
	case containers == nil:
		return nil
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	emit = markSplit(emit)
	return containers.Logs(ctx, containers.Project(), keyOf(st), o, func(at time.Time, line []byte) {
		if err := emit(at, line); err != nil {
			stop(err)
		}
	})
}

// markSplit marks the pieces of a line that is too long to be shown whole.
func markSplit(emit func(time.Time, []byte) error) func(time.Time, []byte) error {
	split := false
	return func(at time.Time, piece []byte) error {
		goesOn := len(piece) == native.LineMax
		if split && len(piece) == 0 { // it was just as long as that
			split = false
			return nil
		}
		if split {
			piece = append([]byte("… "), piece...)
		}
		if split = goesOn; goesOn {
			piece = append(piece, " …"...)
		}
		return emit(at, piece)
	}
}
