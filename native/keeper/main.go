package keeper

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/healing-bot/healbot/internal/home"
)

// readyEnv names the descriptor on which a keeper says that it is ready; see Launch.
const readyEnv = "HEALBOT_READY_FD"

// errTaken: another keeper serves this project.
var errTaken = errors.New("another keeper serves this project")

// A keeper owns the instances of one project.
type keeper struct {
	home  home.Dir
	boot  string
	null  *os.File
	score string // the keeper's oom score if that was lowered: services get an ordinary one

	// forks is held while a child is made, and while ended children of unknown
	// origin are reaped, so that nobody takes a status away from its owner.
	forks sync.Mutex

	mu     sync.Mutex // guards what follows
	units  map[string]*unit
	sinks  map[string]*sink
	conns  map[*conn]bool // true for those that hear of exits
	closed bool           // nothing may be started any more
	quit   chan struct{}  // closed with closed

	// Owned by the goroutine of Main.
	lock     *os.File
	listener net.Listener
	socket   unix.Stat_t // the socket's file, to notice its loss
}

// Main is the keeper of the project in the directory that args holds. It returns the
// exit code of its process after a quit, or at once when another keeper serves the
// project. Its standard descriptors are redirected to .healbot/keeper.log. The keeper
// also runs it with other args of its own, see Enter and Process.
func Main(args ...string) int {
	if args[0] == enterWord && len(args) > 2 {
		return enter(args[1], args[2:])
	}
	if args[0] == terminalWord {
		return carry()
	}
	return keep(args[0])
}

func keep(dir string) int {
	// What the caller forgot to close is not the services'.
	_ = unix.CloseRange(3, 1<<31-1, unix.CLOSE_RANGE_CLOEXEC)
	ready := readyFile()
	k, err := begin(dir)
	if err == nil {
		fmt.Fprintln(ready, "ready")
	} else {
		fmt.Fprintln(ready, err)
	}
	ready.Close()
	if errors.Is(err, errTaken) {
		return 0
	}
	if err != nil {
		logf("cannot keep services of %s: %v", dir, err)
		return 1
	}
	k.tend()
	k.end()
	return 0
}

// begin takes the lock, takes over what an earlier keeper left, and listens.
func begin(dir string) (*keeper, error) {
	k := &keeper{
		home:  home.Open(dir),
		boot:  bootID(),
		units: map[string]*unit{},
		sinks: map[string]*sink{},
		conns: map[*conn]bool{},
		quit:  make(chan struct{}),
	}
	unix.Umask(0o077)
	if err := k.folders(); err != nil {
		return nil, err
	}
	lock, err := lockFile(k.path("keeper.lock"))
	if err != nil {
		return nil, err
	}
	k.lock = lock
	if err := k.settle(); err != nil {
		return nil, err
	}
	k.takeOver()
	return k, k.listen()
}

// folders makes .healbot and what is in it, and refuses what others can write to.
func (k *keeper) folders() error {
	for _, d := range []string{k.path(), k.path("run"), k.path("fifo"), k.path("locks")} {
		if err := os.Mkdir(d, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(d, &st); err != nil {
			return err
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR || int(st.Uid) != os.Geteuid() || st.Mode&0o022 != 0 {
			return fmt.Errorf("%s must be a folder that only its owner can write to: remove it or correct its mode", d)
		}
	}
	return nil
}

// path names what is in .healbot of the project.
func (k *keeper) path(elem ...string) string {
	return filepath.Join(append([]string{k.home.Path(), ".healbot"}, elem...)...)
}

// settle makes this process a daemon: no terminal, no standard streams, no signal
// that ends it, and the parent of every orphan among its descendants.
func (k *keeper) settle() error {
	runtime.GOMAXPROCS(2)
	debug.SetMemoryLimit(64 << 20)
	caught := make(chan os.Signal, 1)
	// Caught rather than ignored: what is ignored would stay so in the services.
	signal.Notify(caught, unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGPIPE, unix.SIGTERM,
		unix.SIGUSR1, unix.SIGUSR2, unix.SIGALRM, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU)
	orphans := make(chan os.Signal, 1)
	signal.Notify(orphans, unix.SIGCHLD)
	go func() {
		for range orphans {
			k.reap()
		}
	}()
	if b, err := os.ReadFile("/proc/self/oom_score_adj"); err == nil && b[0] == '-' {
		k.score = string(b)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	k.null = null
	out, err := os.OpenFile(k.path("keeper.log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	for fd, f := range []*os.File{null, out, out} {
		if err := unix.Dup3(int(f.Fd()), fd, 0); err != nil {
			return err
		}
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
}

// reap takes the statuses of orphans that came to this process and ended.
func (k *keeper) reap() {
	k.forks.Lock()
	defer k.forks.Unlock()
	own := map[int]bool{}
	k.mu.Lock()
	for _, u := range k.units {
		if u.child != nil {
			own[u.PID] = true
		}
	}
	k.mu.Unlock()
	for _, p := range allProcs() {
		if p.ppid == os.Getpid() && !p.live() && !own[p.pid] {
			_, _ = unix.Wait4(p.pid, nil, unix.WNOHANG, nil)
		}
	}
}

// end removes what only a live keeper needs, the lock last.
func (k *keeper) end() {
	k.listener.Close()
	for _, name := range []string{"keeper.sock", "keeper.log", "keeper.lock"} {
		_ = os.Remove(k.path(name))
	}
}

// lockFile opens and locks a file, made when it is not there. It fails with errTaken
// when another process holds it. A file that was removed meanwhile does not count.
func lockFile(path string) (*os.File, error) {
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
		if err != nil {
			return nil, err
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			f.Close()
			if err == unix.EWOULDBLOCK {
				err = errTaken
			}
			return nil, err
		}
		var open, named unix.Stat_t
		err = unix.Fstat(int(f.Fd()), &open)
		if err == nil && unix.Lstat(path, &named) == nil && named.Ino == open.Ino {
			return f, nil
		}
		f.Close()
		if err != nil {
			return nil, err
		}
	}
}

// readyFile is where Launch waits for a word; /dev/null when nobody does.
func readyFile() *os.File {
	fd, err := strconv.Atoi(os.Getenv(readyEnv))
	os.Unsetenv(readyEnv)
	if err != nil {
		fd, _ = unix.Open(os.DevNull, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	}
	return os.NewFile(uintptr(fd), "ready")
}

func logf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format(time.RFC3339)+" "+format+"\n", args...)
}
