package native

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/healing-bot/healbot/internal/home"
	"github.com/healing-bot/healbot/native/keeper"
	"github.com/healing-bot/healbot/service"
)

// A Backend runs the native services of one project. Its methods may be called from
// several goroutines at once.
type Backend struct {
	service.Roll // as last declared or started

	dir   string // of the project, when the Backend was made
	home  home.Dir
	argv  []string // runs the keeper
	umask int      // of the services

	dialing sync.Mutex // held while a keeper is looked for or started
	reach   reach

	mu        sync.Mutex // guards what follows
	client    *keeper.Client
	instances map[string]*instance   // by their keeper's id: those not seen to end
	early     map[string]keeper.Unit // those that ended before hold was called for them
	closed    bool
	namer     func(ctx context.Context, idOrAddress string) string // nil: nobody knows of containers
	pythons   map[string]interpreter                               // probed interpreters, by path
	venvs     map[string]chan struct{}
}

// New returns the backend of the project in dir. The command line argv, with dir
// appended, must run Main(dir). Services get the umask that this process has
// now. Nothing is started before Start or Adopt needs it.
func New(dir string, argv []string) *Backend {
	return &Backend{
		Roll:      service.Roll{Kind: service.Native},
		dir:       dir,
		home:      home.Open(dir),
		argv:      argv,
		umask:     currentUmask(),
		instances: map[string]*instance{},
		early:     map[string]keeper.Unit{},
		pythons:   map[string]interpreter{},
		venvs:     map[string]chan struct{}{},
		reach:     reach{networks: map[netip.Prefix]bool{}, heard: map[string][]netip.AddrPort{}, changes: 1},
	}
}

// Close lets go of the keeper and leaves every instance as it is. Waits that are
// under way end with an error. The relay ends if there is no instance that it serves.
func (b *Backend) Close() {
	b.closeRelay()
	b.mu.Lock()
	client, open := b.client, b.instances
	b.client, b.instances, b.closed = nil, map[string]*instance{}, true
	b.mu.Unlock()
	if client != nil {
		client.Close()
	}
	for _, in := range open {
		in.abandon()
	}
}

// Adopt finds the instances that an earlier supervisor left. It starts a keeper only
// if one died and left records. An instance that ended is given back by every Adopt
// until its replica is started again or Remove is called.
func (b *Backend) Adopt(ctx context.Context, project string) ([]*Instance, error) {
	records, err := filepath.Glob(filepath.Join(b.state(), "run", "*.json"))
	if err != nil {
		return nil, err
	}
	units, err := b.list(ctx, len(records) > 0)
	if errors.Is(err, errNoKeeper) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var found []*Instance
	for _, u := range units {
		if !u.Job {
			found = append(found, &Instance{b.hold(u)})
		}
	}
	return found, nil
}

// list asks the keeper what it knows, and its successor if it dies over it.
func (b *Backend) list(ctx context.Context, start bool) (units []keeper.Unit, err error) {
	for range 4 {
		var client *keeper.Client
		if client, err = b.connect(ctx, start); err != nil {
			return nil, err
		}
		if units, err = client.List(ctx); err == nil {
			return units, nil
		}
		if !errors.Is(err, keeper.ErrLost) {
			break
		}
	}
	return nil, fmt.Errorf("cannot ask the keeper of %s: %w", b.dir, err)
}

// Remove ends the keeper and takes away what it needed: sockets, records, locks,
// FIFOs and secrets. Logs stay, with the times of their lines. It refuses while an instance lives.
func (b *Backend) Remove(ctx context.Context, project string) error {
	b.reach.telling.Lock()
	defer b.reach.telling.Unlock()
	err := b.dismiss(ctx)
	for try := 0; errors.Is(err, keeper.ErrLost) && try < 3; try++ { // it was about to go by itself
		err = b.dismiss(ctx)
	}
	if err != nil && !errors.Is(err, errNoKeeper) {
		return fmt.Errorf("cannot remove %s: %w", project, err)
	}
	b.release("*")
	if err := os.RemoveAll(b.outside()); err != nil {
		return fmt.Errorf("cannot remove %s: %w", project, err)
	}
	for _, name := range []string{"run", "fifo", "locks", "secrets", "keeper.sock", "keeper.log", "keeper.lock", "relay.sock", "relay.log"} {
		if err := os.RemoveAll(filepath.Join(b.state(), name)); err != nil {
			return fmt.Errorf("cannot remove %s: %w", project, err)
		}
	}
	return nil
}

// dismiss ends the keeper, if there is one or records of one that died.
func (b *Backend) dismiss(ctx context.Context) error {
	records, _ := filepath.Glob(filepath.Join(b.state(), "run", "*.json"))
	client, err := b.connect(ctx, len(records) > 0)
	if err != nil {
		return err
	}
	if err := b.endJobs(ctx, client); err != nil {
		return err
	}
	return client.Quit(ctx)
}

// endJobs ends the relay, and environment builds that nobody waits for any more.
func (b *Backend) endJobs(ctx context.Context, client *keeper.Client) error {
	units, err := client.List(ctx)
	if err != nil {
		return err
	}
	for _, u := range units {
		if u.Job && u.Exit == nil {
			in := b.hold(u)
			if err := client.Kill(ctx, u.ID); err != nil {
				return err
			}
			if _, err := in.wait(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *Backend) state() string { return filepath.Join(b.home.Path(), ".healbot") }

var (
	errNoKeeper = errors.New("no keeper runs")
	errClosed   = errors.New("the backend is closed")
)

// connect gives the connection to the keeper. With start set it starts one when none
// runs.
func (b *Backend) connect(ctx context.Context, start bool) (*keeper.Client, error) {
	b.dialing.Lock()
	defer b.dialing.Unlock()
	b.mu.Lock()
	client, closed := b.client, b.closed
	b.mu.Unlock()
	if closed {
		return nil, errClosed
	}
	if client != nil {
		select {
		case <-client.Done():
		default:
			return client, nil
		}
	}
	client, err := keeper.Dial(ctx, b.home.Path(), b.ended)
	for try := 0; absent(err) && start && try < 50; try++ {
		if err = keeper.Launch(ctx, b.home.Path(), b.argv); err != nil {
			break
		}
		if client, err = keeper.Dial(ctx, b.home.Path(), b.ended); absent(err) {
			// Another one has the lock and is not ready yet, or is about to go.
			err = sleep(ctx, 50*time.Millisecond, err)
		}
	}
	if absent(err) {
		return nil, errNoKeeper
	}
	if err != nil {
		return nil, fmt.Errorf("cannot reach the keeper of %s: %w", b.dir, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		client.Close()
		return nil, errClosed
	}
	b.client = client
	go b.guard(client)
	return client, nil
}

// guard waits for the end of a connection. When instances are held, a new keeper
// takes over; nobody who waits notices.
func (b *Backend) guard(client *keeper.Client) {
	<-client.Done()
	for wait := 50 * time.Millisecond; b.holding(client); wait = min(2*wait, 5*time.Second) {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		next, err := b.connect(ctx, true)
		if err == nil {
			err = b.compare(ctx, next)
		}
		cancel()
		if err == nil || errors.Is(err, errClosed) {
			return
		}
		time.Sleep(wait)
	}
}

// holding reports whether instances are waited for whose keeper was client.
func (b *Backend) holding(client *keeper.Client) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.closed && b.client == client && len(b.instances) > 0
}

// compare ends the instances that a new keeper knows nothing of.
func (b *Backend) compare(ctx context.Context, client *keeper.Client) error {
	b.mu.Lock()
	held := make(map[string]*instance, len(b.instances))
	for id, in := range b.instances {
		held[id] = in
	}
	b.mu.Unlock()
	units, err := client.List(ctx)
	if err != nil {
		return err
	}
	for _, u := range units {
		delete(held, u.ID)
	}
	for _, in := range held {
		u := in.unit
		u.Exit = &keeper.Exit{Code: -1, At: time.Now()}
		b.ended(u)
	}
	return nil
}

// hold gives the one instance that stands for a unit.
func (b *Backend) hold(u keeper.Unit) *instance {
	in, end := b.meet(u)
	if end.Exit != nil {
		in.finish(end) // reads files: not while mu is held
	} else if b.reach.wanted() {
		go in.listenFor()
	}
	return in
}

// meet makes the instance that stands for a unit, and gives the unit as it ended if it
// has.
func (b *Backend) meet(u keeper.Unit) (in *instance, end keeper.Unit) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if in := b.instances[u.ID]; in != nil {
		return in, keeper.Unit{}
	}
	in = &instance{backend: b, unit: u, done: make(chan struct{})}
	if early, ended := b.early[u.ID]; ended {
		u = early
		delete(b.early, u.ID)
	}
	if u.Exit == nil {
		in.grip = keeper.Hold(u)
		b.instances[u.ID] = in
	}
	return in, u
}

// ended is called by the client for each unit that has ended, maybe more than once.
func (b *Backend) ended(u keeper.Unit) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if in := b.instances[u.ID]; in != nil {
		delete(b.instances, u.ID)
		go in.finish(u) // reads files: not while mu is held
	} else {
		b.early[u.ID] = u
	}
}

// absent reports whether a dial failed because no keeper listens.
func absent(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT) ||
		errors.Is(err, keeper.ErrLost) || errors.Is(err, syscall.ECONNRESET)
}

// sleep waits and returns err, or the context's error if that ends first.
func sleep(ctx context.Context, d time.Duration, err error) error {
	select {
	case <-time.After(d):
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// currentUmask reads the umask without changing it, as the system call would.
func currentUmask() int {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0o022
	}
	_, rest, _ := strings.Cut(string(b), "Umask:")
	line, _, _ := strings.Cut(rest, "\n")
	mask, err := strconv.ParseInt(strings.TrimSpace(line), 8, 32)
	if err != nil {
		return 0o022
	}
	return int(mask)
}
