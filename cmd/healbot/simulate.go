package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/healing-bot/healbot/runner"
	"github.com/healing-bot/healbot/runner/policy"
	"github.com/healing-bot/healbot/service"
)

func (c *cli) simulateCommand() *cobra.Command {
	var words string
	var span time.Duration
	cmd := &cobra.Command{
		Use:   "simulate SERVICE --rhythm 'crash after 3s'",
		Short: "Play a service's restart policy against a made-up rhythm of failure",
		Long: `Play a service's policy, as the file has it, against a rhythm of failure: when it
would be restarted, and where that ends. Nothing is started, and no time passes.

A rhythm is 'crash after 3s', 'exit 0 after 1m' or 'hang after 30s'; several of them,
with commas between, take turns; 'then ok after 5 tries' ends them.`,
	}
	f := cmd.Flags()
	f.StringVar(&words, "rhythm", "", "how its instances fare")
	f.DurationVar(&span, "for", 24*time.Hour, "how long to play at most")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) != 1:
			return usageError("healbot simulate takes the name of one service")
		case words == "":
			return hinted{usageError("healbot simulate needs --rhythm"), rhythmHelp}
		case span <= 0:
			return usageError("--for must be longer than 0")
		}
		r, err := parseRhythm(words)
		if err != nil {
			return err
		}
		return c.simulate(cmd.Context(), args[0], r, span)
	}
	return cmd
}

func (c *cli) simulate(ctx context.Context, name string, r rhythm, span time.Duration) error {
	src, err := c.source()
	if err != nil {
		return err
	}
	project, err := load(ctx, src, c.warn)
	if err != nil {
		return err
	}
	svc, err := serviceOf(project, name)
	if err != nil {
		return err
	}
	p := project.Policies[svc.Name]
	log := &playLog{play: &play{
		policy: p, rhythm: r, line: svc.Check != nil && svc.Check.Log != "", now: time.Unix(0, 0),
	}}
	log.began, log.saw = log.now, log.note
	log.tell(policy.Up{})
	goesOn := log.until(log.began.Add(span))
	fmt.Fprintf(c.out, "%s: %s\n", svc.Name, policyWords(p))
	if err := render(c.out, []string{"TIME", "STATE", "REASON"}, log.rows); err != nil {
		return err
	}
	_, err = fmt.Fprintln(c.out, log.outcome(goesOn, span))
	return err
}

func serviceOf(p runner.Project, name string) (service.Service, error) {
	i := slices.IndexFunc(p.Services, func(s service.Service) bool { return s.Name == name })
	if i < 0 {
		return service.Service{}, allKnown(declared(p), []string{name})
	}
	return p.Services[i], nil
}

// policyWords says in one line what decides over restarts.
func policyWords(p policy.Policy) string {
	if p.Condition == policy.Never {
		return "is never restarted"
	}
	text := fmt.Sprintf("restart %s, delay %s ·%g up to %s", p.Condition, policy.Age(p.Delay), p.Factor, policy.Age(p.MaxDelay))
	limit := ", no limit"
	if p.MaxAttempts > 0 {
		limit = fmt.Sprintf(", at most %d restarts of a streak", p.MaxAttempts)
	}
	text += limit
	if p.Window > 0 {
		text += ", which " + policy.Age(p.Window) + " of running end"
	}
	if p.RetryAfter > 0 {
		text += ", on_max: again after " + policy.Age(p.RetryAfter)
	}
	return text
}

// A playLog writes down what happens in a play.
type playLog struct {
	*play
	began   time.Time
	rows    [][]string
	left    int       // decisions that are not shown
	streaks int       // streaks that ended by a whole window
	trips   int       // times that it came to max_restarts
	settled time.Time // when the status changed last
}

// playRows is how many changes are shown: enough to see the rhythm.
const playRows = 40

func (l *playLog) note(before, after policy.State) {
	over := before.Streak > 0 && after.Streak == 0 && before.Phase == policy.Live
	if over {
		l.streaks++
		l.row(string(after.Status), "ran for a whole window: the streak is over")
	}
	planned := after.Phase == policy.Backoff && before.Phase != policy.Backoff
	if after.Phase == policy.Ending || after.Status == policy.Pending || after.Status == before.Status && !planned {
		return
	}
	l.settled = l.now
	if after.Status == policy.MaxRestarts {
		l.trips++
	}
	l.row(string(after.Status), after.Says(l.policy, l.now))
}

func (l *playLog) row(state, why string) {
	if len(l.rows) == playRows {
		l.left++
		return
	}
	l.rows = append(l.rows, []string{policy.Age(l.now.Sub(l.began)), state, why})
}

// outcome says where it ends.
func (l *playLog) outcome(goesOn bool, span time.Duration) string {
	var text strings.Builder
	if l.left > 0 {
		fmt.Fprintf(&text, "… and %d more changes\n", l.left)
	}
	s, when := l.state, policy.Age(l.settled.Sub(l.began))
	perDay := float64(s.Total) / span.Hours() * 24
	hopes := fmt.Sprintf("goes on for ever, %.0f restarts a day", perDay)
	switch f := l.rhythm.of(max(s.Run, 1)); {
	case !goesOn && s.Phase == policy.Resting:
		fmt.Fprintf(&text, "ends: %s after %s and %s", s.Status, when, restartCount(s.Total))
	case s.Phase == policy.Live && f == (fate{}):
		fmt.Fprintf(&text, "ends: %s from %s on, after %s", s.Status, when, restartCount(s.Total))
	case s.Phase == policy.Live && f.ends == 0 && l.blind():
		fmt.Fprintf(&text, "never trips: it hangs from %s on and nobody looks; a health check would notice", policy.Age(s.Born.Add(f.hangs).Sub(l.began)))
	case s.Phase == policy.Live && s.Status == policy.Unhealthy:
		fmt.Fprintf(&text, "never trips: it is shown as unhealthy from %s on and not restarted", when)
	case l.trips > 0:
		fmt.Fprintf(&text, "trips %d times within %s, and on_max starts it again: %s", l.trips, policy.Age(span), hopes)
	case l.policy.MaxAttempts == 0:
		fmt.Fprintf(&text, "never trips: there is no max_attempts; %s", hopes)
	case l.streaks > 0:
		fmt.Fprintf(&text, "never trips: it runs for a whole window (%s) now and then, which ends its streak; %s", policy.Age(l.policy.Window), hopes)
	default:
		fmt.Fprintf(&text, "undecided after %s: restart %d of %d; --for plays longer", policy.Age(span), s.Streak, l.policy.MaxAttempts)
	}
	return text.String()
}

// blind reports whether a hang goes unnoticed.
func (l *playLog) blind() bool {
	return l.policy.Probe == policy.NoProbe || l.line
}

func restartCount(n int) string {
	if n == 1 {
		return "1 restart"
	}
	return fmt.Sprintf("%d restarts", n)
}
