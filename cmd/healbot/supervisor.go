package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/google/renameio/v2"

	"github.com/healing-bot/healbot/compose"
	"github.com/healing-bot/healbot/control"
	"github.com/healing-bot/healbot/docker"
	"github.com/healing-bot/healbot/native"
	"github.com/healing-bot/healbot/notify"
	"github.com/healing-bot/healbot/runner"
	"github.com/healing-bot/healbot/service"
)

// keeperCommand is the hidden command that runs a project's keeper.
const keeperCommand = "keeper"

// keeperArgv is the command line of a keeper.
func keeperArgv() ([]string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("cannot find healbot's own program: %w", err)
	}
	return []string{self, keeperCommand}, nil
}

func options(s service.Source) compose.Options {
	return compose.Options{
		Dir: s.Dir, ProjectDir: s.ProjectDir, Files: s.Files, Name: s.Name,
		Profiles: s.Profiles, Named: s.Named, EnvFiles: s.EnvFiles, Environ: s.Environ, Scale: s.Scale,
		Supported: docker.Supported(), Ineffective: docker.Ineffective(),
	}
}

// load reads a project and says what is odd about it.
func load(ctx context.Context, s service.Source, warn func(string, ...any)) (runner.Project, error) {
	p, err := compose.Load(ctx, options(s))
	if err != nil {
		return runner.Project{}, err
	}
	if s.NativeOnly {
		p.Services = nativeOnly(p.Services)
	}
	for _, svc := range p.Services {
		if svc.Image != nil {
			adjust(svc.Image, s)
		}
	}
	if err := native.Conflicts(p.Services); err != nil {
		return runner.Project{}, err
	}
	for _, w := range append(slices.Clone(p.Warnings), native.Warnings(p.Services)...) {
		warn("%s", w)
	}
	return runner.Project{Name: p.Name, Dir: p.Dir, Services: p.Services, Policies: p.Policies, Inactive: p.Inactive}, nil
}

// adjust makes of an image what the words of `healbot up` say.
func adjust(i *service.Image, s service.Source) {
	if s.Pull != "" {
		i.Config.PullPolicy = s.Pull
	}
	if s.NoBuild {
		i.Config.Build = nil
	}
	i.RenewVolumes = s.RenewVolumes
}

// nativeOnly leaves out the containers, and that others wait for them.
func nativeOnly(all []service.Service) (left []service.Service) {
	native := map[string]bool{}
	for _, svc := range all {
		native[svc.Name] = svc.Kind == service.Native
	}
	for _, svc := range all {
		if native[svc.Name] {
			svc.Needs = slices.DeleteFunc(slices.Clone(svc.Needs), func(n service.Need) bool { return !native[n.Service] })
			left = append(left, svc)
		}
	}
	return left
}

// A supervisor is a Runner that knows the file it came from. It implements
// control.Supervisor.
type supervisor struct {
	runner     *runner.Runner
	containers *docker.Backend
	natives    *native.Backend
	dir        string

	mu     sync.Mutex // guards what follows; held while a file is being applied
	source service.Source
	first  bool // no file has been applied yet
}

var _ control.Supervisor = (*supervisor)(nil)

// Status implements control.Supervisor.
func (s *supervisor) Status(context.Context) ([]service.Status, error) {
	return s.runner.Statuses(), nil
}

// Changes implements control.Supervisor.
func (s *supervisor) Changes(ctx context.Context) (<-chan service.Change, error) {
	return s.runner.Changes(ctx), nil
}

// Do implements control.Supervisor.
func (s *supervisor) Do(ctx context.Context, c service.Command) (service.Report, error) {
	switch c.Verb {
	case service.VerbUp, service.VerbRestart:
		return s.apply(ctx, c)
	case service.VerbReach:
		return service.Report{}, s.natives.Reach(ctx, c.Network)
	}
	return s.runner.Do(ctx, c)
}

// apply reads the file anew, which must succeed before anything changes.
func (s *supervisor) apply(ctx context.Context, c service.Command) (service.Report, error) {
	plan, warnings, err := s.plan(ctx, c)
	if err != nil {
		return service.Report{}, err
	}
	if c.DryRun {
		notes, err := s.runner.Preview(ctx, plan)
		return service.Report{Notes: append(warnings, notes...)}, err
	}
	if c.Source != nil {
		s.runner.Limit(c.Source.Parallel)
	}
	report, err := s.runner.Apply(ctx, plan)
	report.Notes = append(warnings, report.Notes...)
	return report, err
}

// engineTime is how long an up waits for what an engine knows of images; native services
// need not wait longer for one that hangs.
const engineTime = 5 * time.Second

// plan reads the file and, unless it is for show only, makes it the one that later
// commands use.
func (s *supervisor) plan(ctx context.Context, c service.Command) (plan runner.Plan, warnings []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	source := s.source
	if c.Source != nil {
		source = *c.Source
	}
	source.Named = slices.Compact(slices.Sorted(slices.Values(slices.Concat(source.Named, c.Services))))
	project, err := load(ctx, source, func(format string, args ...any) {
		if c.Source == nil { // else the caller read the file, too, and has said them
			warnings = append(warnings, fmt.Sprintf(format, args...))
		}
	})
	if err == nil && project.Dir != s.dir {
		err = fmt.Errorf("the file is of another directory, %s, than the project's, %s", project.Dir, s.dir)
	}
	if err == nil && c.Source != nil && !c.DryRun {
		err = remember(s.dir, remembered{source, project.Name})
	}
	if err != nil {
		return plan, nil, err
	}
	restart := c.Verb == service.VerbRestart
	plan = runner.Plan{
		Project: project, Names: c.Services, NoDeps: c.NoDeps || restart, Orphans: c.Orphans,
		Recreate: c.Recreate, Deep: c.Deep, Keep: c.Keep, Restart: restart, Alone: c.NoDeps, Grace: c.Grace,
		Adopting: s.first && c.Verb == service.VerbUp,
	}
	asking, stop := context.WithTimeout(ctx, engineTime)
	defer stop()
	if plan.Outdated, err = s.containers.Outdated(asking, project.Name, project.Services); err != nil {
		plan.Outdated = nil // no engine, so that nothing of it can be replaced either
	}
	if !c.DryRun {
		s.source = source
		s.first = s.first && c.Verb != service.VerbUp
	}
	return plan, warnings, nil
}

// remembered is the Source of the latest up, for later commands.
type remembered struct {
	Source  service.Source `json:"source"`
	Project string         `json:"project"`
}

func rememberedPath(dir string) string { return filepath.Join(runner.StateDir(dir), "source.json") }

func remember(dir string, r remembered) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return renameio.WriteFile(rememberedPath(dir), data, 0o600)
}

func recall(dir string) (r remembered, ok bool) {
	data, err := os.ReadFile(rememberedPath(dir))
	return r, err == nil && json.Unmarshal(data, &r) == nil
}

// A held supervisor is one whose lock, socket and backends are in place.
type held struct {
	*supervisor
	project string // its name
	lock    *control.Lock
	server  *control.Server
	docker  *docker.Backend
	native  *native.Backend
	last    func() // waits until all was shown that happened; nil where nothing is
}

// prepare takes the lock of a project and makes its supervisor, without running it.
// config says how it ends and where it logs.
func prepare(ctx context.Context, p runner.Project, src service.Source, config runner.Config) (h *held, warnings []string, err error) {
	state := runner.StateDir(p.Dir)
	lock, err := control.Acquire(state)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, lock.Release())
		}
	}()
	h = &held{lock: lock, project: p.Name}
	if config.Backends, err = h.backends(p, config.Log); err != nil {
		return nil, nil, err
	}
	config.Notify, config.Parallel, config.Dir = notifier(p.Dir), src.Parallel, lock.Dir
	r, warnings, err := runner.New(p, config)
	if err != nil {
		return nil, nil, err
	}
	h.supervisor = &supervisor{runner: r, containers: h.docker, natives: h.native, dir: p.Dir, source: src, first: true}
	h.server, err = control.Serve(context.WithoutCancel(ctx), lock, h.supervisor)
	return h, warnings, err
}

// notifier delivers messages as the file says; commands run in the project directory.
func notifier(dir string) func(context.Context, service.Notice, service.Message) error {
	return func(ctx context.Context, n service.Notice, m service.Message) error {
		return notify.Send(ctx, n, m, dir)
	}
}

// backends makes both; neither does anything before it is asked to.
func (h *held) backends(p runner.Project, log *slog.Logger) (map[service.Kind]runner.Backend, error) {
	keeper, err := keeperArgv()
	if err != nil {
		return nil, err
	}
	h.native = native.New(p.Dir, keeper)
	h.native.SetLogger(log)
	h.docker = docker.New(docker.Options{Project: p.Name, Logger: log, Reach: h.native.Reach})
	h.native.SetNamer(h.docker.Named)
	return map[service.Kind]runner.Backend{
		service.Native:    runner.Of(h.native),
		service.Container: runner.Of(h.docker),
	}, nil
}

// run supervises until the end, and lets go of all that prepare took.
func (h *held) run(ctx context.Context) error {
	ended, stop := context.WithCancel(context.WithoutCancel(ctx))
	go h.byHand(ended)
	err := h.runner.Run(ctx)
	stop()
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	err = errors.Join(err, h.server.Close(closing))
	h.native.Close()
	err = errors.Join(err, h.lock.Release())
	if h.last != nil {
		h.last()
	}
	return errors.Join(err, h.docker.Close())
}

// byHand tells the runner of containers that somebody started with docker start, and that
// the engine is back.
func (h *held) byHand(ctx context.Context) {
	for {
		select {
		case inst := <-h.docker.ByHand():
			h.runner.Found(inst)
		case <-h.docker.Back():
			h.runner.Eased(service.Container)
		case <-ctx.Done():
			return
		}
	}
}

// lastStatuses reads what the status file says.
func lastStatuses(dir string) ([]service.Status, error) {
	data, err := os.ReadFile(runner.StatusPath(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	byName := map[string]service.Status{}
	if err := json.Unmarshal(data, &byName); err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", runner.StatusPath(dir), err)
	}
	all := make([]service.Status, 0, len(byName))
	for _, s := range byName {
		all = append(all, s)
	}
	slices.SortFunc(all, byNameOf)
	return all, nil
}
