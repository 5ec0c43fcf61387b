package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/docker/go-units"
	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"

	"github.com/healing-bot/healbot/native"
	"github.com/healing-bot/healbot/runner/policy"
	"github.com/healing-bot/healbot/service"
)

// A column of the table. On a terminal that is too narrow for all, those with the
// highest drop go first; 0 stays.
type column struct {
	head string
	drop int
	cell func(s service.Status, f figure, colour palette) string
}

// columns are those of the contract, in its order. Service, which comes first, and
// reason, which comes last, share the space that the others leave.
var columns = []column{
	{"SERVICE", 0, func(s service.Status, _ figure, _ palette) string { return s.Name }},
	{"KIND", 6, func(s service.Status, _ figure, _ palette) string { return string(s.Kind) }},
	{"STATE", 0, func(s service.Status, _ figure, p palette) string { return p.state(s.State, string(s.State)) }},
	{"HEALTH", 4, func(s service.Status, _ figure, _ palette) string { return dash(s.Health) }},
	{"PID/ID", 2, func(s service.Status, _ figure, _ palette) string { return pidOrID(s) }},
	{"PORTS", 5, func(s service.Status, _ figure, _ palette) string { return shortPorts(s) }},
	{"RESTARTS", 1, func(s service.Status, _ figure, _ palette) string { return restarts(s) }},
	{"UPTIME", 3, func(s service.Status, _ figure, _ palette) string { return dash(uptime(s)) }},
	{"CPU", 8, func(_ service.Status, f figure, _ palette) string { return f.cpuText() }},
	{"MEM", 7, func(_ service.Status, f figure, _ palette) string { return f.memoryText() }},
	{"REASON", 0, func(s service.Status, _ figure, _ palette) string { return printable([]byte(s.Reason)) }},
}

// How much of a name and of a reason a narrow table shows before it drops columns
// instead.
const (
	nameWidth   = 18
	reasonWidth = 16
)

func (c *cli) table(all []service.Status, figures map[string]figure, whole bool) error {
	width, tty := terminalWidth(c.out)
	if !tty || whole {
		width = 0
	}
	heads, rows := layOut(all, figures, c.colours(c.out), width)
	return render(c.out, heads, rows)
}

// layOut gives the cells of a table that fits into width columns; 0 is any width.
func layOut(all []service.Status, figures map[string]figure, colour palette, width int) (heads []string, rows [][]string) {
	shown := columns
	for drop := 8; ; drop-- {
		heads, rows = grid(shown, all, figures, colour)
		if width == 0 || drop == 0 {
			break
		}
		if name, others, reason := widths(heads, rows); others+min(name, nameWidth)+min(reason, reasonWidth) <= width {
			break
		}
		shown = without(shown, drop)
	}
	if width > 0 {
		squeeze(heads, rows, width)
	}
	return heads, rows
}

func grid(shown []column, all []service.Status, figures map[string]figure, colour palette) (heads []string, rows [][]string) {
	for _, col := range shown {
		heads = append(heads, col.head)
	}
	for _, s := range all {
		rows = append(rows, cells(shown, s, figures[s.Name], colour))
	}
	return heads, rows
}

func cells(shown []column, s service.Status, f figure, colour palette) (row []string) {
	for _, col := range shown {
		row = append(row, col.cell(s, f, colour))
	}
	return row
}

func without(shown []column, drop int) (left []column) {
	for _, col := range shown {
		if col.drop != drop {
			left = append(left, col)
		}
	}
	return left
}

// widths measures the first column, the last one, and what is between them.
func widths(heads []string, rows [][]string) (first, others, last int) {
	end := len(heads) - 1
	for i, head := range heads {
		widest := len(head)
		for _, row := range rows {
			widest = max(widest, ansi.StringWidth(row[i]))
		}
		switch i {
		case 0:
			first = widest
		case end:
			last = widest
		default:
			others += widest
		}
	}
	return first, others + end*gap, last
}

const gap = 2 // between two columns

// squeeze makes the rows fit: names give way in their middle, since they differ at their
// ends, and reasons at their end.
func squeeze(heads []string, rows [][]string, width int) {
	first, others, last := widths(heads, rows)
	left := max(width-others, 2)
	name := min(first, max(left-min(last, reasonWidth), left/2))
	end := len(heads) - 1
	for _, row := range append(rows, heads) {
		row[0] = shorten(row[0], name)
		row[end] = ansi.Truncate(row[end], left-name, "…")
	}
}

// shorten takes out the middle of a text that is wider than width.
func shorten(text string, width int) string {
	whole := ansi.StringWidth(text)
	if whole <= width {
		return text
	}
	head := ansi.Truncate(text, width/2, "")
	return head + ansi.TruncateLeft(text, whole-(width-1-ansi.StringWidth(head)), "…")
}

// render prints a table without lines.
func render(w io.Writer, heads []string, rows [][]string) error {
	var text strings.Builder
	t := tablewriter.NewTable(&text,
		tablewriter.WithRenderer(renderer.NewBlueprint(tw.Rendition{
			Borders: tw.BorderNone,
			Settings: tw.Settings{
				Separators: tw.Separators{BetweenColumns: tw.Off, BetweenRows: tw.Off, ShowHeader: tw.Off},
				Lines:      tw.LinesNone,
			},
		})),
		tablewriter.WithHeaderAutoFormat(tw.Off),
		tablewriter.WithRowAutoWrap(tw.WrapNone),
		tablewriter.WithHeaderAlignment(tw.AlignLeft),
		tablewriter.WithRowAlignment(tw.AlignLeft),
		tablewriter.WithPadding(tw.Padding{Right: strings.Repeat(" ", gap)}),
	)
	t.Header(heads)
	if err := t.Bulk(rows); err != nil {
		return err
	}
	if err := t.Render(); err != nil {
		return err
	}
	for line := range strings.Lines(text.String()) {
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func pidOrID(s service.Status) string {
	switch {
	case s.Kind == service.Container && s.ID != "":
		return s.ID[:min(len(s.ID), 12)]
	case s.PID > 0:
		return fmt.Sprint(s.PID)
	}
	return "-"
}

// shortPorts gives ports as briefly as they can be told apart.
func shortPorts(s service.Status) string {
	var all []string
	for _, p := range s.Ports {
		text := fmt.Sprint(p.Target)
		if p.Published != 0 && p.Published != p.Target {
			text = fmt.Sprintf("%d->%d", p.Published, p.Target)
		}
		if p.Protocol != "tcp" {
			text += "/" + p.Protocol
		}
		all = append(all, text)
	}
	return dash(strings.Join(all, ","))
}

func restarts(s service.Status) string {
	if s.MaxRestarts == 0 {
		return fmt.Sprint(s.Restarts)
	}
	return fmt.Sprintf("%d/%d", s.Restarts, s.MaxRestarts)
}

func uptime(s service.Status) string {
	if s.StartedAt == nil {
		return ""
	}
	return policy.Age(time.Since(*s.StartedAt))
}

// A figure is what a replica uses of the machine.
type figure struct {
	known  bool
	cpu    float64 // percent of one processor
	memory int64   // bytes
}

func (f figure) cpuText() string {
	if !f.known {
		return "-"
	}
	return fmt.Sprintf("%.1f%%", f.cpu)
}

func (f figure) memoryText() string {
	if !f.known {
		return "-"
	}
	return units.BytesSize(float64(f.memory))
}

// usage measures the live replicas, each with all its processes. A container is
// measured through its first process on this host, so that no engine is asked.
func usage(all []service.Status) map[string]figure {
	var pids []int
	for _, s := range all {
		if s.PID > 0 {
			pids = append(pids, s.PID)
		}
	}
	measured := native.Usage(pids)
	figures := map[string]figure{}
	for _, s := range all {
		if f, there := measured[s.PID]; there {
			figures[s.Name] = figure{true, f.CPU, f.Memory}
		}
	}
	return figures
}
