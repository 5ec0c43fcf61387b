package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/healing-bot/healbot/runner/policy"
	"github.com/healing-bot/healbot/service"
)

// fakes is a backend in memory, so that time can be faked round the loop. That real
// backends behave as it does is what the conformance suite of healtest proves.
type fakes struct {
	mu      sync.Mutex
	log     []string // what was asked, in order
	live    map[service.Key]*fake
	left    []Instance                      // what Adopt finds
	refuse  error                           // what Adopt answers instead
	slow    time.Duration                   // how long Adopt takes
	prepare func(svc service.Service) error // what Prepare does
	start   func(key service.Key, run int) error
	hook    func(ctx context.Context, h service.Hook) error // what a hook does
	born    func(*fake)                                     // is shown each new instance before anybody else
	removed bool
	asked   int // how often Adopt was called
}

func newFakes() *fakes { return &fakes{live: map[service.Key]*fake{}} }

func (b *fakes) note(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.log = append(b.log, fmt.Sprintf(format, args...))
}

// take returns what was asked since the last call.
func (b *fakes) take() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	log := b.log
	b.log = nil
	return log
}

func (b *fakes) instance(name string) *fake {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.live[service.Key{Service: name, Replica: 1}]
}

func (b *fakes) Declare([]service.Service) {}

func (b *fakes) Prepare(ctx context.Context, svc service.Service, note func(string)) error {
	if b.prepare != nil {
		return b.prepare(svc)
	}
	return ctx.Err()
}

func (b *fakes) Start(_ context.Context, svc service.Service, replica, run int) (Instance, error) {
	key := service.Key{Service: svc.Name, Replica: replica}
	if b.start != nil {
		if err := b.start(key, run); err != nil {
			return nil, err
		}
	}
	b.note("start %s", key)
	f := newFake(b, svc, key, run)
	b.mu.Lock()
	if b.live[key] != nil {
		panic("two live instances of " + key.String())
	}
	b.live[key] = f
	b.mu.Unlock()
	if b.born != nil {
		b.born(f)
	}
	return f, nil
}

func (b *fakes) Adopt(context.Context, string) ([]Instance, error) {
	time.Sleep(b.slow)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked++
	return b.left, b.refuse
}

func (b *fakes) Remove(context.Context, string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.removed = true
	return nil
}

type fake struct {
	backend  *fakes
	about    service.Instance
	ended    chan struct{}
	once     sync.Once
	exit     service.Exit
	stubborn bool  // ignores Signal
	immortal bool  // ignores Kill, too
	mute     error // see silence
	verdicts chan service.Verdict
	lines    chan string // what it writes; closed: its output can't be read
}

func newFake(b *fakes, svc service.Service, key service.Key, run int) *fake {
	return &fake{backend: b, ended: make(chan struct{}), lines: make(chan string, 16), about: service.Instance{
		Key: key, Run: run, ID: strconv.Itoa(1000 + run), PID: 1000 + run, Hash: svc.Hash, Stop: svc.StopSignal, Started: time.Now(),
	}}
}

func (f *fake) end(exit service.Exit) {
	f.once.Do(func() {
		f.backend.mu.Lock()
		delete(f.backend.live, f.about.Key)
		f.backend.mu.Unlock()
		exit.At = time.Now()
		f.exit = exit
		close(f.ended)
	})
}

func (f *fake) About() service.Instance        { return f.about }
func (f *fake) Health() <-chan service.Verdict { return f.verdicts }

func (f *fake) Output(ctx context.Context, emit func([]byte)) error {
	for {
		select {
		case line, open := <-f.lines:
			if !open {
				return errMute
			}
			emit([]byte(line))
		case <-ctx.Done():
			return nil
		}
	}
}

func (f *fake) Wait(ctx context.Context) (service.Exit, error) {
	select {
	case <-f.ended:
		return f.exit, nil
	case <-ctx.Done():
		return service.Exit{}, ctx.Err()
	}
}

func (f *fake) Hook(ctx context.Context, name string, h service.Hook) error {
	f.backend.note("%s %s", name, h.Argv[0])
	if f.backend.hook != nil {
		return f.backend.hook(ctx, h)
	}
	return nil
}

func (f *fake) Signal(_ context.Context, sig string) error {
	f.backend.note("%s %s", sig, f.about.Key)
	if mute := f.muteness(); mute != nil {
		time.Sleep(15 * time.Second)
		return mute
	}
	if !f.stubborn {
		f.end(service.Exit{Code: -1, Signal: sig})
	}
	return nil
}

func (f *fake) Kill(context.Context) error {
	f.backend.note("kill %s", f.about.Key)
	if mute := f.muteness(); mute != nil {
		time.Sleep(15 * time.Second)
		return mute
	}
	if f.immortal {
		return nil
	}
	f.end(service.Exit{Code: -1, Signal: "SIGKILL"})
	return nil
}

// silence makes Signal and Kill come to err, after a while; nil for what they do.
func (f *fake) silence(err error) {
	f.backend.mu.Lock()
	defer f.backend.mu.Unlock()
	f.mute = err
}

func (f *fake) muteness() error {
	f.backend.mu.Lock()
	defer f.backend.mu.Unlock()
	return f.mute
}

// svc declares a service that needs others to be started.
func svc(name string, needs ...string) service.Service {
	s := service.Service{Name: name, Kind: service.Native, Title: name, Replicas: 1, StopSignal: "SIGTERM", Hash: "1"}
	for _, n := range needs {
		s.Needs = append(s.Needs, service.Need{Service: n, Condition: service.Healthy})
	}
	return s
}

// A scene is a Runner on fakes, inside a synctest bubble.
type scene struct {
	*testing.T
	*Runner
	backend *fakes
	project Project
	ctx     context.Context
	stop    context.CancelFunc
	ended   chan error
}

var always = policy.Policy{
	Condition: policy.Always, Delay: 5 * time.Second, Factor: 2, MaxDelay: time.Minute,
	MaxAttempts: 3, Window: 5 * time.Minute, Grace: 10 * time.Second,
}

func project(t *testing.T, dir string, services ...service.Service) Project {
	t.Helper()
	p := Project{Name: "test", Dir: dir, Services: services, Policies: map[string]policy.Policy{}}
	for _, s := range services {
		pol := always
		pol.Dependent = len(s.Needs) > 0
		if s.Check != nil {
			pol.Probe, pol.Interval, pol.Timeout, pol.Retries = policy.EngineProbe, 10*time.Second, 3*time.Second, 3
			if s.Check.Log != "" {
				pol.Probe = policy.LineProbe
			}
		}
		p.Policies[s.Name] = pol
	}
	return p
}

// run begins supervision.
func run(t *testing.T, b *fakes, p Project) *scene {
	t.Helper()
	return runWith(t, b, p, Config{})
}

// runWith is run with more in the Config.
func runWith(t *testing.T, b *fakes, p Project, c Config) *scene {
	t.Helper()
	if c.Backends == nil {
		c.Backends = map[service.Kind]Backend{service.Native: b}
	}
	if c.clock == nil {
		c.clock = func() clock { return clock{time.Now(), "boot", time.Since(dawn)} }
	}
	r, warnings, err := New(p, c)
	if err != nil || warnings != nil {
		t.Fatalf("New: %v, warnings %q", err, warnings)
	}
	s := &scene{T: t, Runner: r, backend: b, project: p, ended: make(chan error, 1)}
	s.ctx, s.stop = context.WithCancel(t.Context())
	go func() { s.ended <- r.Run(s.ctx) }()
	return s
}

func (s *scene) up() service.Report {
	s.Helper()
	report, err := s.Apply(s.ctx, Plan{Project: s.project, Adopting: true})
	if err != nil {
		s.Fatalf("up: %v", err)
	}
	return report
}

// must carries out a command that is expected to succeed.
func (s *scene) must(c service.Command) {
	s.Helper()
	if _, err := s.Do(s.ctx, c); err != nil {
		s.Errorf("%s: %v", c.Verb, err)
	}
}

// end ends supervision as Ctrl-C does.
func (s *scene) end() {
	s.Helper()
	s.stop()
	if err := <-s.ended; err != nil {
		s.Fatalf("Run: %v", err)
	}
}

func (s *scene) status(name string) service.Status {
	s.Helper()
	synctest.Wait()
	for _, st := range s.Statuses() {
		if st.Name == name {
			return st
		}
	}
	s.Fatalf("no status of %s", name)
	return service.Status{}
}

func (s *scene) want(name string, state service.State, reason string) {
	s.Helper()
	st := s.status(name)
	if st.State != state || st.Reason != reason {
		s.Errorf("%s is %s (%s), want %s (%s)", name, st.State, st.Reason, state, reason)
	}
}

// dawn is when the machine of a synctest bubble was booted.
var dawn = time.Date(1999, 12, 31, 0, 0, 0, 0, time.UTC)

// die ends supervision as kill -9 does: the journal stays as it was written last, and
// what lives goes on in the backend that is returned.
func (s *scene) die() *fakes {
	s.Helper()
	time.Sleep(time.Second) // the journal is written by then
	synctest.Wait()
	path := filepath.Join(StateDir(s.dir), "state.json")
	journal, err := os.ReadFile(path)
	if err != nil {
		s.Fatal(err)
	}
	again := newFakes()
	s.backend.mu.Lock()
	for key, f := range s.backend.live {
		g := &fake{backend: again, ended: make(chan struct{}), lines: make(chan string, 16), about: f.about}
		again.live[key], again.left = g, append(again.left, g)
	}
	s.backend.mu.Unlock()
	s.end()
	if err := os.WriteFile(path, journal, 0o600); err != nil {
		s.Fatal(err)
	}
	return again
}

var (
	errEngine = errors.New("the engine is away")
	errMute   = errors.New("no log is kept of its output")
)
