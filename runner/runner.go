package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/healing-bot/healbot/runner/policy"
	"github.com/healing-bot/healbot/service"
)

// A Project is what a file declares.
type Project struct {
	Name     string // of the project
	Dir      string // absolute path of its directory
	Services []service.Service
	Policies map[string]policy.Policy // by name of service
	Inactive []string                 // services of the file that are in no active profile: left as they are
}

// A Config says how a Runner works.
type Config struct {
	Backends map[service.Kind]Backend // one for each kind; it is asked for nothing before a service is of that kind
	Log      *slog.Logger             // for the supervisor's own log
	// Notify delivers a message, within ctx; nil delivers none.
	Notify func(ctx context.Context, n service.Notice, m service.Message) error
	// EndWhenIdle ends Run when nothing is left to supervise, as `up` in the foreground does.
	EndWhenIdle bool
	// Parallel is how many services are made ready, and started, at once; see Limit.
	Parallel int
	// Dir says where the project's directory is now, since somebody may rename it; nil for
	// where it was.
	Dir func() string
	// Grace is what instances get for their end when Run ends, instead of their policies'.
	Grace *time.Duration

	clock func() clock // instead of the machine's, for tests
}

// A Runner supervises one project. Its methods may be called from any goroutine.
type Runner struct {
	name, dir string
	config    Config
	log       *slog.Logger
	board     *board
	files     *files

	inbox  chan func()        // events, run one after the other by the goroutine of Run
	done   chan struct{}      // closed when the loop has ended
	life   context.Context    // of all that works for the loop
	cancel context.CancelFunc // ends life
	tasks  sync.WaitGroup     // all that works for the loop
	mouths chan struct{}      // bounds how many messages are sent at once

	// What follows is owned by the goroutine of Run.
	turns   turns // of those that start
	units   map[service.Key]*unit
	users   map[string][]string        // services by the service they need
	unknown map[service.Kind]unknown   // kinds whose instances are not known yet
	asked   map[service.Kind]bool      // kinds whose backends were asked what runs
	eased   map[service.Kind]time.Time // when what held up starts was last gone
	dirty   []*unit                    // changed since their users were last told
	waiters []*waiter
	telling int     // messages under way and waiting
	past    journal // what the last supervisor left
	begun   bool    // somebody has asked for something
	stage   stage
	down    bool  // after the end, take away what the project left
	tidyErr error // why that could not be done
}

// A stage says how far the end of a Runner is.
type stage uint8

const (
	staying stage = iota
	leaving       // all instances are being ended
	tidying       // the backends take away what is left
	over
)

// ErrEnded is returned to callers of a Runner that has ended.
var ErrEnded = errors.New("the supervisor has ended")

// New makes a Runner for a project, with what an earlier supervisor remembered of
// it. The warnings say what could not be used of that. Nothing is started before Run.
func New(p Project, c Config) (r *Runner, warnings []string, err error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.clock == nil {
		c.clock = machineClock
	}
	if c.Dir == nil {
		c.Dir = func() string { return p.Dir }
	}
	f, err := openFiles(p.Dir, c)
	if err != nil {
		return nil, nil, err
	}
	r = &Runner{
		name: p.Name, dir: p.Dir, config: c, log: c.Log,
		board: newBoard(), files: f,
		inbox: make(chan func()), done: make(chan struct{}),
		turns: turnsFor(c.Parallel), mouths: make(chan struct{}, tellAtOnce),
		units: map[service.Key]*unit{}, unknown: map[service.Kind]unknown{}, asked: map[service.Kind]bool{},
		eased: map[service.Kind]time.Time{},
	}
	r.life, r.cancel = context.WithCancel(context.Background())
	past, warning, err := f.readJournal()
	if err != nil {
		return nil, nil, err
	}
	if warning != "" {
		warnings = append(warnings, warning)
	}
	r.introduce(p)
	for _, svc := range p.Services {
		r.declare(svc, p.Policies[svc.Name])
	}
	r.restore(past)
	r.index()
	return r, warnings, nil
}

// introduce tells the backends what the services of the project are.
func (r *Runner) introduce(p Project) {
	for _, b := range r.config.Backends {
		b.Declare(p.Services)
	}
}

// Run supervises the project until it is brought down, until nothing is left to
// supervise if the Config says so, or until ctx ends; then it ends all instances in
// reverse dependency order first. It must be called once.
func (r *Runner) Run(ctx context.Context) error {
	writing := make(chan struct{})
	go func() {
		defer close(writing)
		r.files.follow(r.life, r.board)
	}()
	for kind := range r.inUse() {
		r.adopt(kind)
	}
	r.loop(ctx)
	close(r.done)
	r.cancel()
	r.tasks.Wait()
	<-writing
	r.board.close()
	if r.down && r.tidyErr == nil {
		return r.files.remove(r.board)
	}
	return errors.Join(r.tidyErr, r.files.finish(r.board))
}

func (r *Runner) loop(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	stop := ctx.Done()
	for {
		r.settle()
		if r.advance(); r.stage == over {
			return
		}
		r.arm(timer)
		select {
		case event := <-r.inbox:
			event()
		case <-timer.C:
			r.tick()
		case <-stop:
			stop = nil
			r.leave()
		}
	}
}

// leave begins the end of all instances.
func (r *Runner) leave() {
	r.stage = max(r.stage, leaving)
	if r.config.Grace != nil {
		for _, u := range r.units {
			u.grace = r.config.Grace
		}
	}
}

// advance moves the end on as far as it can go now.
func (r *Runner) advance() {
	if r.stage == staying && r.config.EndWhenIdle && r.idle() {
		r.leave()
	}
	if r.stage == leaving && r.listened() && r.stopInOrder() {
		if !r.down {
			r.stage = over
			return
		}
		r.stage = tidying
		r.tidy()
	}
}

// listened reports whether every backend has said what runs, or that it can't: before, an
// end could leave something behind that nobody remembers.
func (r *Runner) listened() bool {
	for _, u := range r.unknown {
		if u.refusals == 0 {
			return false
		}
	}
	return true
}

// idle reports whether nothing is left to supervise. What waits for something that has
// failed for good waits in vain, if nothing else goes on.
func (r *Runner) idle() bool {
	waits, failed := false, false
	for _, u := range r.units {
		switch s := u.state; {
		case s.Phase == policy.Waiting:
			waits = true
		case s.Phase != policy.Resting || !s.Due.IsZero():
			return false
		default:
			failed = failed || s.Status == policy.Failed || s.Status == policy.MaxRestarts
		}
	}
	return r.begun && len(r.unknown) == 0 && (failed || !waits)
}

// tidy lets the backends take away what is left.
func (r *Runner) tidy() {
	used := r.used()
	r.task(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, tidyTimeout)
		defer cancel()
		var failed error
		for kind, b := range used {
			if err := b.Remove(ctx, r.name); err != nil {
				failed = errors.Join(failed, fmt.Errorf("cannot take away what is left of the %s services: %w", kind, err))
			}
		}
		r.post(func() { r.tidyErr, r.stage = failed, over })
	})
}

// used gives the backends that may have something of the project. One that never
// answered and never was asked to start anything has not.
func (r *Runner) used() map[service.Kind]Backend {
	used := map[service.Kind]Backend{}
	for kind, b := range r.config.Backends {
		_, silent := r.unknown[kind]
		ran := slices.ContainsFunc(r.sorted(), func(u *unit) bool { return u.svc.Kind == kind && u.state.Run > 0 })
		if r.asked[kind] && (ran || !silent) {
			used[kind] = b
		}
	}
	return used
}

// tidyTimeout bounds how long a `down` waits for the backends to clean up.
const tidyTimeout = time.Minute

// post hands an event to the loop; it is dropped when the loop has ended.
func (r *Runner) post(event func()) {
	select {
	case r.inbox <- event:
	case <-r.done:
	}
}

// ask runs f in the loop and returns when it ran.
func (r *Runner) ask(ctx context.Context, f func()) error {
	ran := make(chan struct{})
	select {
	case r.inbox <- func() { f(); close(ran) }:
		<-ran
		return nil
	case <-r.done:
		return ErrEnded
	case <-ctx.Done():
		return ctx.Err()
	}
}

// task runs f beside the loop, which it must not outlive for long.
func (r *Runner) task(f func(ctx context.Context)) {
	r.tasks.Go(func() { f(r.life) })
}

// arm sets the timer to the earliest deadline.
func (r *Runner) arm(timer *time.Timer) {
	var next time.Time
	for _, u := range r.units {
		if due := u.state.Due; !due.IsZero() && (next.IsZero() || due.Before(next)) {
			next = due
		}
	}
	if next.IsZero() {
		timer.Stop()
		return
	}
	timer.Reset(max(time.Until(next), 0))
}

func (r *Runner) tick() {
	now := time.Now()
	for _, u := range r.sorted() {
		if due := u.state.Due; !due.IsZero() && !due.After(now) {
			r.apply(u, policy.Tick{})
		}
	}
}

// sorted gives the units in the order of their names.
func (r *Runner) sorted() []*unit {
	all := make([]*unit, 0, len(r.units))
	for _, u := range r.units {
		all = append(all, u)
	}
	slices.SortFunc(all, func(a, b *unit) int { return compareKeys(a.key, b.key) })
	return all
}

// Statuses returns what is known of each replica, in the order of their names.
func (r *Runner) Statuses() []service.Status { return r.board.statuses() }

// Changes returns what happens from now on. The channel is closed when ctx ends, the
// project is done, or its reader falls more than a thousand changes behind.
func (r *Runner) Changes(ctx context.Context) <-chan service.Change { return r.board.subscribe(ctx) }
