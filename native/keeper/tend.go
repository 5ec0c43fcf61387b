package keeper

import (
	"time"

	"golang.org/x/sys/unix"
)

// tend keeps the keeper reachable until it is told to quit. When the whole project is
// gone and nothing lives, it ends by itself.
func (k *keeper) tend() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-k.quit:
			return
		case <-tick.C:
		}
		var st unix.Stat_t
		if unix.Lstat(k.path("keeper.sock"), &st) == nil && st.Ino == k.socket.Ino {
			continue
		}
		if !exists(k.home.Path()) {
			_ = k.close()
		} else if err := k.mend(); err != nil {
			logf("cannot be reached, since %s was removed: %v", k.path(), err)
		}
	}
}

// mend makes anew what somebody removed from .healbot.
func (k *keeper) mend() error {
	if err := k.folders(); err != nil {
		return err
	}
	if lock, err := lockFile(k.path("keeper.lock")); err == nil {
		k.lock.Close()
		k.lock = lock
	} else if !k.locked() {
		return err
	}
	k.mu.Lock()
	for _, u := range k.units {
		_ = k.record(u)
	}
	for _, s := range k.sinks {
		s.forgetIndex()
	}
	k.mu.Unlock()
	k.listener.Close()
	return k.listen()
}

// locked reports whether keeper.lock is the file that this keeper holds.
func (k *keeper) locked() bool {
	var open, named unix.Stat_t
	return unix.Fstat(int(k.lock.Fd()), &open) == nil && unix.Lstat(k.path("keeper.lock"), &named) == nil && open.Ino == named.Ino
}
