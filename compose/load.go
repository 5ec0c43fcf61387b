package compose

import (
	"cmp"
	"context"
	"maps"
	"slices"
)

// Options is all that Load reads besides files: no global state, not even the
// working directory or the process's environment.
type Options struct {
	Dir        string         // current directory, absolute: where look-up starts and relative paths of options begin
	ProjectDir string         // --project-directory; "" for the directory of the first file
	Files      []string       // -f; none: COMPOSE_FILE, else look-up from Dir upwards
	Name       string         // --project-name; "" for COMPOSE_PROJECT_NAME, name: in the file, or the directory's name
	Profiles   []string       // --profile; none: COMPOSE_PROFILES
	Named      []string       // services whose profiles are active, too; one that is unknown is no error
	EnvFiles   []string       // --env-file; none: COMPOSE_ENV_FILES, else .env
	Scale      map[string]int // replicas by service, instead of the file's
	Environ    []string       // KEY=VALUE: the environment that healbot was called with

	// Supported names the attributes that containers support, as paths such as
	// "services.*.image" or "services.*.ports.[].target". A path without longer
	// paths below it covers all that lies below. None: everything is supported.
	Supported []string
	// Ineffective names attributes, in the same way, that a container may have and that do
	// nothing, which is a warning.
	Ineffective []string
}

// Load finds and reads the Compose files and turns them into a Project. The error
// is of type Problems when the files are at fault.
func Load(ctx context.Context, o Options) (*Project, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f, err := find(o)
	if err != nil {
		return nil, err
	}
	rep := &report{src: &sources{}, warnings: f.warnings}
	rep.gather(f)
	if err := rep.err(); err != nil {
		return nil, err
	}
	model, err := rep.read(ctx, f, o)
	if err != nil {
		return nil, err
	}
	if model == nil {
		return nil, rep.err()
	}
	if more := model.profilesOf(o.Named); len(more) > 0 {
		o.Profiles, o.Named = append(f.profiles, more...), nil
		return Load(ctx, o)
	}
	if err := model.scale(o.Scale); err != nil {
		return nil, err
	}
	over, err := overridesFrom(f.env)
	if err != nil {
		return nil, err
	}
	c := &converter{report: rep, model: model, paths: f.files, dir: f.dir, environ: environ(o.Environ), over: over}
	p := c.project()
	rep.settle()
	if err := rep.err(); err != nil {
		return nil, err
	}
	slices.Sort(rep.warnings) // compose-go goes through maps
	p.Inactive = sortedKeys(model.DisabledServices)
	p.Files, p.Warnings, p.Debug = f.files, rep.warnings, over.debug
	return p, nil
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
