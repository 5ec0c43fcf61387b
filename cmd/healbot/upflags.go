package main

import (
	"slices"
	"time"

	"github.com/spf13/pflag"

	"github.com/healing-bot/healbot/runner"
	"github.com/healing-bot/healbot/service"
)

// upOptions are the flags of up.
type upOptions struct {
	detach, wait, orphans, noDeps, recreate, keep, watch bool

	deep, noStart                                       bool
	build, noBuild, quietPull, quietBuild, renewVolumes bool
	pull                                                string // policy: always, missing, never or build; "" for the file's

	abortOnExit, abortOnFailure bool
	exitCodeFrom                string // service whose exit code is healbot's own

	view        logView
	grace       *time.Duration // instead of the file's; nil for that
	waitTimeout int

	scale, services []string
}

// A logView says which output is shown, and how.
type logView struct {
	only, except       []string // services
	dependencies       bool     // show also those that the named services need
	noPrefix, noColour bool
	times              bool
}

func (o *upOptions) flags(f *pflag.FlagSet) {
	f.BoolVarP(&o.detach, "detach", "d", false, "supervise in the background; return when every service was started")
	f.BoolVar(&o.noStart, "no-start", false, "only get images, environments and containers ready")
	f.BoolVar(&o.wait, "wait", false, "return when every service is ready, or as soon as one can't be; implies -d")
	f.IntVar(&o.waitTimeout, "wait-timeout", 0, "seconds to wait at most; then exit with 124")
	f.BoolVar(&o.orphans, "remove-orphans", false, "end services that the file no longer names")
	f.BoolVar(&o.noDeps, "no-deps", false, "leave the services that the named ones need alone")
	f.BoolVar(&o.recreate, "force-recreate", false, "replace also what did not change")
	f.BoolVar(&o.deep, "always-recreate-deps", false, "replace also what the named services need")
	f.BoolVar(&o.keep, "no-recreate", false, "replace nothing, even what changed")
	f.BoolVarP(&o.renewVolumes, "renew-anon-volumes", "V", false, "give new containers unnamed volumes of their own")
	f.BoolVarP(&o.watch, "watch", "w", false, "update services when files of theirs change, see develop.watch; in the foreground only")
	f.StringArrayVar(&o.scale, "scale", nil, "SERVICE=REPLICAS instead of the file's number; may be given several times")
	f.BoolVar(&o.build, "build", false, "build images first")
	f.BoolVar(&o.noBuild, "no-build", false, "build no image, even one that is missing")
	f.StringVar(&o.pull, "pull", "", "`POLICY` for images instead of the file's: always, missing, never or build")
	f.BoolVar(&o.quietPull, "quiet-pull", false, "do not say how far a pull is")
	f.BoolVar(&o.quietBuild, "quiet-build", false, "do not show what a build says")
	f.BoolVar(&o.abortOnExit, "abort-on-container-exit", false, "stop all as soon as a service has ended for good, with its exit code")
	f.BoolVar(&o.abortOnFailure, "abort-on-container-failure", false, "the same, once one has ended in failure")
	f.StringVar(&o.exitCodeFrom, "exit-code-from", "", "end with the exit code of `SERVICE`; implies --abort-on-container-exit")
	f.StringArrayVar(&o.view.only, "attach", nil, "show the output of `SERVICE` only; may be given several times")
	f.StringArrayVar(&o.view.except, "no-attach", nil, "do not show the output of `SERVICE`; may be given several times")
	f.BoolVar(&o.view.dependencies, "attach-dependencies", false, "show also the output of what the named services need")
	f.BoolVar(&o.view.noPrefix, "no-log-prefix", false, "output without the names of the services")
	f.BoolVar(&o.view.noColour, "no-color", false, "no colours")
	f.BoolVar(&o.view.times, "timestamps", false, "output with the time of each line")
	f.BoolP("yes", "y", false, "accepted for docker compose's sake: nothing is asked")
	graceFlag(f, &o.grace)
}

// graceFlag adds -t, --timeout: seconds that go to grace, if it is given.
func graceFlag(f *pflag.FlagSet, grace **time.Duration) {
	f.VarP(secondsFlag{grace}, "timeout", "t", "`SECONDS` between the stop signal and SIGKILL, instead of the file's")
}

func (o *upOptions) check() error {
	if o.pull == "build" {
		o.build, o.pull = true, ""
	}
	o.abortOnExit = o.abortOnExit || o.exitCodeFrom != ""
	background := o.detach || o.wait
	for _, pair := range []struct {
		wrong     bool
		one, with string
	}{
		{o.build && o.noBuild, "--build", "--no-build"},
		{o.recreate && o.keep, "--force-recreate", "--no-recreate"},
		{o.deep && o.keep, "--always-recreate-deps", "--no-recreate"},
		{o.noStart && (background || o.watch || o.abortOnExit || o.abortOnFailure), "--no-start", "flags for what runs"},
		{o.abortOnExit && o.abortOnFailure, "--abort-on-container-failure", "--abort-on-container-exit and --exit-code-from"},
		{background && (o.abortOnExit || o.abortOnFailure), "--detach", "--abort-on-container-exit and its kin"},
		{background && (len(o.view.only) > 0 || o.view.dependencies), "--detach", "--attach"},
	} {
		if pair.wrong {
			return usageError("%s can't go with %s", pair.one, pair.with)
		}
	}
	if policies := []string{"", "always", "missing", "never"}; !slices.Contains(policies, o.pull) {
		return usageError("--pull takes always, missing, never or build, not %q", o.pull)
	}
	return nil
}

// adjust makes of where the project is read from what the flags say about its images.
// What --pull always asks for is done before, see images.
func (o *upOptions) adjust(src *service.Source) (err error) {
	src.Named = o.services
	src.NoBuild, src.RenewVolumes = o.noBuild, o.renewVolumes
	if o.pull != "always" {
		src.Pull = o.pull
	}
	src.Scale, err = replicasOf("--scale", o.scale)
	return err
}

func (o *upOptions) command(src service.Source) service.Command {
	return service.Command{
		Verb: service.VerbUp, Services: o.services, Source: &src, Grace: o.grace,
		Orphans: o.orphans, NoDeps: o.noDeps, Recreate: o.recreate, Deep: o.deep, Keep: o.keep,
	}
}

// shows reports whether the output of a replica is shown. Like docker compose, up with
// names shows theirs alone.
func (o *upOptions) shows(s service.Status) bool {
	switch {
	case meantBy(s, o.view.except):
		return false
	case len(o.view.only) > 0:
		return meantBy(s, o.view.only)
	case s.Quiet:
		return false
	}
	return o.view.dependencies || meant(s, o.services)
}

// meantBy reports whether a status is of one of the services named, which may be none.
func meantBy(s service.Status, names []string) bool { return len(names) > 0 && meant(s, names) }

// known reports the first name that is of no service.
func (o *upOptions) known(p runner.Project) error {
	names := slices.Concat(o.services, o.view.only, o.view.except)
	if o.exitCodeFrom != "" {
		names = append(names, o.exitCodeFrom)
	}
	for _, name := range names {
		if _, err := find(p, name); err != nil {
			return err
		}
	}
	return nil
}
