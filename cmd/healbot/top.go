package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/healing-bot/healbot/native"
	"github.com/healing-bot/healbot/runner/policy"
	"github.com/healing-bot/healbot/service"
)

func (c *cli) topCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "top [SERVICE...]",
		Short: "Show the processes of services",
		RunE:  func(cmd *cobra.Command, args []string) error { return c.top(cmd.Context(), args) },
	}
}

func (c *cli) top(ctx context.Context, names []string) error {
	_, all, err := c.selected(ctx, names)
	if err != nil {
		return err
	}
	trees := native.Processes(livePIDs(all))
	heads := []string{"SERVICE", "USER", "PID", "PPID", "STARTED", "TIME", "MEM", "COMMAND"}
	width, tty := terminalWidth(c.out)
	var rows [][]string
	for _, s := range all {
		for _, p := range trees[s.PID] {
			rows = append(rows, []string{
				s.Name, p.User, fmt.Sprint(p.PID), fmt.Sprint(p.PPID), p.Started.Format("15:04:05"),
				policy.Age(p.CPUTime), units.BytesSize(float64(p.Memory)), printable([]byte(p.Command)),
			})
		}
	}
	if tty {
		squeeze(heads, rows, width)
	}
	return render(c.out, heads, rows)
}

// livePIDs gives the leaders of the replicas that live on this host.
func livePIDs(all []service.Status) (pids []int) {
	for _, s := range all {
		if s.PID > 0 {
			pids = append(pids, s.PID)
		}
	}
	return pids
}

type statsOptions struct {
	all, once bool
	format    string
	services  []string
}

func (c *cli) statsCommand() *cobra.Command {
	var o statsOptions
	cmd := &cobra.Command{
		Use:   "stats [SERVICE...]",
		Short: "Show what services use of the machine, live",
		Long: `Show what each service uses of the machine, all of its processes together, every
second until Ctrl-C. CPU is in percent of one processor.`,
	}
	f := cmd.Flags()
	f.BoolVarP(&o.all, "all", "a", false, "also services that do not run")
	f.BoolVar(&o.once, "no-stream", false, "only once")
	f.Bool("no-trunc", false, "accepted for docker compose's sake: nothing is cut")
	f.StringVar(&o.format, "format", "table", "table or json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if o.format != "table" && o.format != "json" {
			return usageError("--format takes table or json, not %q", o.format)
		}
		o.services = args
		return c.stats(cmd.Context(), o)
	}
	return cmd
}

// statsPause is the time from one measurement to the next.
const statsPause = time.Second

func (c *cli) stats(ctx context.Context, o statsOptions) error {
	_, tty := terminalWidth(c.out)
	before, began := map[int]native.Figures{}, time.Time{}
	for {
		_, all, err := c.selected(ctx, o.services)
		if err != nil {
			return err
		}
		now, at := native.Usage(livePIDs(all)), time.Now()
		if !began.IsZero() {
			if tty && !o.once && o.format == "table" {
				fmt.Fprint(c.out, "\x1b[H\x1b[2J")
			}
			if err := c.printStats(o, measure(all, before, now, at.Sub(began), o.all)); err != nil || o.once {
				return err
			}
		}
		before, began = now, at
		select {
		case <-time.After(statsPause):
		case <-ctx.Done():
			return nil
		}
	}
}

// A stat is what a replica used in the last second.
type stat struct {
	Name, Service string
	Kind          service.Kind
	CPU           float64 // percent of one processor
	Memory        int64   // bytes
	MemoryPercent float64 // of this machine's
	Processes     int
	Threads       int
	Files         int
}

func measure(all []service.Status, before, now map[int]native.Figures, span time.Duration, every bool) (list []stat) {
	total := memoryTotal()
	for _, s := range all {
		f, live := now[s.PID]
		if !live && !every {
			continue
		}
		st := stat{Name: s.Name, Service: s.Service, Kind: s.Kind, Memory: f.Memory, Processes: f.Processes, Threads: f.Threads, Files: f.Files}
		if old, known := before[s.PID]; known && f.CPUTime > old.CPUTime {
			st.CPU = 100 * float64(f.CPUTime-old.CPUTime) / float64(span)
		}
		if total > 0 {
			st.MemoryPercent = 100 * float64(f.Memory) / float64(total)
		}
		list = append(list, st)
	}
	return list
}

func (c *cli) printStats(o statsOptions, list []stat) error {
	if o.format == "json" {
		out := json.NewEncoder(c.out)
		for _, s := range list {
			if err := out.Encode(s); err != nil {
				return err
			}
		}
		return nil
	}
	heads := []string{"SERVICE", "KIND", "CPU", "MEM", "MEM %", "PROCESSES", "THREADS", "FILES"}
	var rows [][]string
	for _, s := range list {
		rows = append(rows, []string{
			s.Name, string(s.Kind), fmt.Sprintf("%.1f%%", s.CPU), units.BytesSize(float64(s.Memory)),
			fmt.Sprintf("%.1f%%", s.MemoryPercent), fmt.Sprint(s.Processes), fmt.Sprint(s.Threads), fmt.Sprint(s.Files),
		})
	}
	return render(c.out, heads, rows)
}

// memoryTotal is the memory of this machine in bytes; 0 if it can't be told.
func memoryTotal() int64 {
	text, _ := os.ReadFile("/proc/meminfo")
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			n, _ := units.RAMInBytes(strings.ReplaceAll(strings.TrimSpace(rest), " ", ""))
			return n
		}
	}
	return 0
}
