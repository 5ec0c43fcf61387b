package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/healing-bot/healbot/runner"
	"github.com/healing-bot/healbot/service"
)

func (c *cli) whyCommand() *cobra.Command {
	var tail string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "why SERVICE",
		Short: "Show what happened to a service, and why",
		Long: `Show a service's state and, oldest first, each change of it with its cause: across
supervisors, without one, and after healbot down.`,
	}
	f := cmd.Flags()
	f.StringVarP(&tail, "tail", "n", "40", "number of last changes, or all")
	f.BoolVar(&asJSON, "json", false, "as one object: now, and history")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		n, err := strconv.Atoi(tail)
		switch {
		case len(args) != 1:
			return usageError("healbot why takes the name of one service")
		case tail == "all":
			n = -1
		case err != nil || n < 0:
			return usageError("--tail takes a number of changes or all, not %q", tail)
		}
		return c.why(cmd.Context(), args[0], n, asJSON)
	}
	return cmd
}

func (c *cli) why(ctx context.Context, name string, tail int, asJSON bool) error {
	dir, err := c.projectDirectory()
	if err != nil {
		return err
	}
	history, err := runner.History(dir)
	if err != nil {
		return fmt.Errorf("cannot read the history: %w", err)
	}
	now, _, err := c.statuses(ctx, dir)
	if err != nil && len(history) == 0 {
		return err
	}
	if err := knownNow(now, history, name); err != nil {
		return err
	}
	now = slices.DeleteFunc(now, func(s service.Status) bool { return !meant(s, []string{name}) })
	history = slices.DeleteFunc(history, func(ch service.Change) bool { return !meant(ch.Status, []string{name}) })
	causes := causesOf(history)
	earlier := 0
	if tail >= 0 && len(history) > tail {
		earlier = len(history) - tail
		history, causes = history[earlier:], causes[earlier:]
	}
	if asJSON {
		return c.printHistory(now, history)
	}
	for _, s := range now {
		fmt.Fprintln(c.out, c.present(s, len(now) > 1))
	}
	if earlier > 0 {
		c.warn("%d earlier changes are left out; -n all shows them", earlier)
	}
	return c.historyTable(history, causes)
}

// knownNow reports a name that neither the project nor its history has.
func knownNow(now []service.Status, history []service.Change, name string) error {
	all := slices.Clone(now)
	for _, ch := range history {
		if !slices.ContainsFunc(all, func(s service.Status) bool { return s.Name == ch.Status.Name }) {
			all = append(all, ch.Status)
		}
	}
	slices.SortFunc(all, byNameOf)
	return allKnown(all, []string{name})
}

// present says in one line how a replica is now.
func (c *cli) present(s service.Status, several bool) string {
	text := "now: "
	if several {
		text = s.Name + " now: "
	}
	text += c.colours(c.out).state(s.State, string(s.State))
	if up := uptime(s); up != "" {
		text += " for " + up
	}
	if s.Reason != "" {
		text += ": " + printable([]byte(s.Reason))
	}
	return text
}

// causesOf puts each change's cause into words.
func causesOf(history []service.Change) []string {
	causes := make([]string, len(history))
	last := map[string]service.Status{}
	for i, ch := range history {
		s := ch.Status
		before, known := last[s.Name]
		text := s.Reason
		if known && s.RestartsTotal > before.RestartsTotal && s.Restarts <= before.Restarts {
			text += ", a restart that is not counted"
		}
		if ch.Gone {
			text += ", removed from the project"
		}
		if ch.Note != "" {
			text += " [" + ch.Note + "]"
		}
		causes[i] = strings.TrimLeft(text, ", ")
		last[s.Name] = s
	}
	return causes
}

func (c *cli) historyTable(history []service.Change, causes []string) error {
	colour := c.colours(c.out)
	several := slices.ContainsFunc(history, func(ch service.Change) bool { return ch.Status.Name != history[0].Status.Name })
	heads := []string{"TIME", "STATE", "CAUSE"}
	if several {
		heads = []string{"TIME", "SERVICE", "STATE", "CAUSE"}
	}
	rows := make([][]string, 0, len(history))
	for i, ch := range history {
		row := []string{ch.At.Local().Format("2006-01-02 15:04:05.0")}
		if several {
			row = append(row, ch.Status.Name)
		}
		row = append(row, colour.state(ch.Status.State, string(ch.Status.State)), printable([]byte(causes[i])))
		rows = append(rows, row)
	}
	if len(rows) == 0 {
		_, err := fmt.Fprintln(c.out, "nothing has happened to it yet")
		return err
	}
	return render(c.out, heads, rows)
}

// A past is one change as why prints it as JSON.
type past struct {
	At            time.Time     `json:"at"`
	Name          string        `json:"name"`
	From          service.State `json:"from"`
	State         service.State `json:"state"`
	Reason        string        `json:"reason"`
	Note          string        `json:"note,omitempty"`
	PID           int           `json:"pid,omitempty"`
	ExitCode      *int          `json:"exit_code,omitempty"`
	Restarts      int           `json:"restarts"`
	RestartsTotal int           `json:"restarts_total"`
}

func pastOf(ch service.Change) past {
	s := ch.Status
	return past{ch.At, s.Name, ch.From, s.State, s.Reason, ch.Note, s.PID, s.ExitCode, s.Restarts, s.RestartsTotal}
}

func (c *cli) printHistory(now []service.Status, history []service.Change) error {
	list := make([]past, 0, len(history))
	for _, ch := range history {
		list = append(list, pastOf(ch))
	}
	out := json.NewEncoder(c.out)
	out.SetEscapeHTML(false)
	return out.Encode(struct {
		Now     []service.Status `json:"now"`
		History []past           `json:"history"`
	}{now, list})
}
