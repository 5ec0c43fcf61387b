package native

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/healing-bot/healbot/service"
)

const (
	calm     = 300 * time.Millisecond // without a change: then the changes before are one
	restless = 3 * time.Second        // of changes after which one no longer waits for calm
)

// A Changed says that files changed that a service is updated for.
type Changed struct {
	Service service.Service
	Rebuild bool    // its Python environment is to be set up again first, or its image built
	File    string  // one of them
	More    int     // how many others
	Touched []Touch // all of them, once for each trigger that means them
}

// A Touch is a change of a file that a trigger means.
type Touch struct {
	Trigger service.Trigger
	File    string // absolute; it may be gone
}

// Watch tells of changes to the files that services have triggers for, until ctx ends,
// which is no error. Changes that follow one another closely come as one. New folders are
// watched too. What changes while changed runs comes when that has returned. What can't
// be watched is said to warn and left out; it is an error if nothing is left.
func Watch(ctx context.Context, services []service.Service, warn func(string), changed func(Changed)) error {
	events, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("cannot watch files: %w", err)
	}
	defer events.Close()
	w := &watcher{events: events, pending: map[string]*Changed{}, files: map[string]bool{}}
	for _, svc := range services {
		for _, trigger := range Triggers(svc) {
			if err := w.add(svc, trigger, own(services)); err != nil {
				warn(err.Error())
			}
		}
	}
	if len(w.triggers) == 0 {
		return errors.New("no file is watched: write develop.watch for a service")
	}
	w.begin(changed)
	return w.run(ctx, changed)
}

// Triggers gives what a service of either world is watched for.
func Triggers(svc service.Service) []service.Trigger {
	if svc.Process != nil {
		return svc.Process.Watch
	}
	return svc.Image.Watch
}

// begin tells of the files that are there already, for those triggers that want it.
func (w *watcher) begin(changed func(Changed)) {
	for _, t := range w.triggers {
		if t.Initial {
			w.noteAll(t)
		}
	}
	w.tell(changed)
}

// noteAll notes every file that a trigger means.
func (w *watcher) noteAll(t trigger) {
	_ = w.tree(t, t.path, func(path string) {
		if t.means(path) {
			w.note(t, path)
		}
	})
}

// own gives what healbot itself and its builds write: absolute paths.
func own(services []service.Service) (paths []string) {
	for _, svc := range services {
		for _, name := range []string{".healbot", ".pids", ".service_status.json", "logs"} {
			paths = append(paths, filepath.Join(svc.Dir, name))
		}
		if svc.Process != nil && svc.Process.Python != nil && svc.Process.Python.Venv != "" {
			paths = append(paths, svc.Process.Python.Venv)
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// A watcher is owned by the goroutine of Watch.
type watcher struct {
	events   *fsnotify.Watcher
	triggers []trigger
	pending  map[string]*Changed // by service
	files    map[string]bool     // changed and not told yet
}

// A trigger is one entry of develop.watch.
type trigger struct {
	service.Trigger
	number  int
	service service.Service
	path    string
	rebuild bool
	own     []string
	ignore  patterns
	include patterns // none: everything
	docker  patterns // of the project's .dockerignore
}

func (w *watcher) add(svc service.Service, t service.Trigger, own []string) error {
	st, err := os.Stat(t.Path)
	if err != nil {
		return fmt.Errorf("cannot watch %s for %s: %w: create it or correct develop.watch", t.Path, svc.Name, errnoOf(err))
	}
	mine := trigger{
		Trigger: t, number: len(w.triggers), service: svc, path: t.Path, rebuild: t.Rebuild, own: own, include: parsePatterns(t.Include),
		ignore: parsePatterns(append(slices.Clone(alwaysIgnored), t.Ignore...)),
		docker: dockerignore(svc.Dir),
	}
	err = w.way(mine)
	if err == nil && st.IsDir() {
		err = w.tree(mine, t.Path, nil)
	}
	if errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("cannot watch %s for %s: there are too many folders: ignore some, or raise fs.inotify.max_user_watches", t.Path, svc.Name)
	}
	if err != nil {
		return fmt.Errorf("cannot watch %s for %s: %w", t.Path, svc.Name, err)
	}
	w.triggers = append(w.triggers, mine)
	return nil
}

// way watches the folders that lead to the trigger's path, from the project's on or at
// least the last one: so a path that is removed and made again is seen, as is a file that
// an editor replaces.
func (w *watcher) way(t trigger) error {
	dir := filepath.Dir(t.path)
	err := w.events.Add(dir)
	for root := filepath.Clean(t.service.Dir); err == nil && strings.HasPrefix(dir, root+"/"); {
		dir = filepath.Dir(dir)
		err = w.events.Add(dir)
	}
	return err
}

// tree watches a folder and those below it, and calls found for each file there.
func (w *watcher) tree(t trigger, root string, found func(path string)) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil && path == root:
			return err
		case err != nil: // gone meanwhile, or not for us to read
			return nil
		case path != t.path && t.ignores(path):
			if d.IsDir() && !t.ignore.excepts() && !t.docker.excepts() {
				return fs.SkipDir
			}
			if d.IsDir() {
				return w.events.Add(path)
			}
		case d.IsDir():
			return w.events.Add(path)
		case found != nil:
			found(path)
		}
		return nil
	})
}

// ignores reports whether a path below the trigger's is not meant.
func (t trigger) ignores(path string) bool {
	for _, o := range t.own {
		// The status file has its temporary neighbours.
		if path == o || strings.HasPrefix(path, o+"/") || strings.HasPrefix(filepath.Base(path), "."+filepath.Base(o)) {
			return true
		}
	}
	rel, err := filepath.Rel(t.path, path)
	if err != nil || t.ignore.fit(filepath.ToSlash(rel)) {
		return true
	}
	rel, err = filepath.Rel(t.service.Dir, path)
	return err == nil && !strings.HasPrefix(rel, "../") && t.docker.fit(filepath.ToSlash(rel))
}

// means reports whether a change of a file is one of the trigger's.
func (t trigger) means(path string) bool {
	if path == t.path {
		return true
	}
	if !strings.HasPrefix(path, strings.TrimSuffix(t.path, "/")+"/") || t.ignores(path) {
		return false
	}
	rel, err := filepath.Rel(t.path, path)
	return err == nil && (len(t.include) == 0 || t.include.fit(filepath.ToSlash(rel)))
}

func (w *watcher) run(ctx context.Context, changed func(Changed)) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var first time.Time
	for {
		before := len(w.pending)
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
			w.tell(changed)
			continue
		case ev := <-w.events.Events:
			if ev.Op == fsnotify.Chmod || !w.seen(ev) {
				continue
			}
		case err := <-w.events.Errors:
			if err == nil {
				return errors.New("cannot watch files any more")
			}
			for _, t := range w.triggers { // events were lost, so anything may have changed
				if w.note(t, t.path); t.Target != "" {
					w.noteAll(t)
				}
			}
		}
		if before == 0 {
			first = time.Now()
		}
		if time.Since(first) < restless {
			timer.Reset(calm)
		}
	}
}

// seen notes a change for every trigger that means it; false if none does.
func (w *watcher) seen(ev fsnotify.Event) (meant bool) {
	note := func(t trigger, path string) {
		if t.means(path) {
			w.note(t, path)
			meant = true
		}
	}
	st, err := os.Lstat(ev.Name)
	for _, t := range w.triggers {
		if err == nil && st.IsDir() {
			if ev.Has(fsnotify.Create) {
				w.appeared(t, ev.Name, func(path string) { note(t, path) })
			}
			continue
		}
		note(t, ev.Name)
	}
	return meant
}

// appeared watches a new folder, where it is one of the trigger's or leads to it. What was
// put there before it was watched is found by the walk.
func (w *watcher) appeared(t trigger, dir string, found func(path string)) {
	switch {
	case strings.HasPrefix(dir, t.path+"/"):
		if !t.ignores(dir) || t.ignore.excepts() || t.docker.excepts() {
			_ = w.tree(t, dir, found)
		}
	case dir == t.path, strings.HasPrefix(t.path, dir+"/"):
		if w.way(t) == nil {
			_ = w.tree(t, t.path, found)
		}
	}
}

func (w *watcher) note(t trigger, path string) {
	c := w.pending[t.service.Name]
	if c == nil {
		c = &Changed{Service: t.service, File: path}
		w.pending[t.service.Name] = c
	}
	if key := strconv.Itoa(t.number) + "\x00" + path; !w.files[key] {
		w.files[key] = true
		c.Touched = append(c.Touched, Touch{t.Trigger, path})
	}
	if key := t.service.Name + "\x00" + path; c.File != path && !w.files[key] {
		w.files[key] = true
		c.More++
	}
	c.Rebuild = c.Rebuild || t.rebuild
}

// tell gives what is pending, by name of service.
func (w *watcher) tell(changed func(Changed)) {
	var all []Changed
	for _, c := range w.pending {
		all = append(all, *c)
	}
	slices.SortFunc(all, func(a, b Changed) int { return strings.Compare(a.Service.Name, b.Service.Name) })
	clear(w.pending)
	clear(w.files)
	for _, c := range all {
		changed(c)
	}
}

// Unbuild makes the next start of a service set up its Python environment again, even
// if nothing of it changed. It reports false if it has none.
func Unbuild(svc service.Service) (bool, error) {
	if svc.Process == nil || svc.Process.Python == nil || svc.Process.Python.Venv == "" {
		return false, nil
	}
	err := os.Remove(filepath.Join(svc.Process.Python.Venv, stampFile))
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return true, err
}
