package compose

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/template"
	"github.com/compose-spec/compose-go/v2/types"
)

// Raw gives the merged files as they are written: no variable is filled in, and nothing
// is checked but their form.
func Raw(ctx context.Context, o Options) (map[string]any, error) {
	f, err := find(o)
	if err != nil {
		return nil, err
	}
	rep := &report{src: &sources{}}
	rep.gather(f)
	if err := rep.err(); err != nil {
		return nil, err
	}
	run := &reading{rep: rep, f: f, o: o}
	dict, err := loader.LoadModelWithContext(ctx, run.details(), loader.WithDiscardEnvFiles,
		loader.WithProfiles(f.profiles), run.options, func(o *loader.Options) {
			o.SkipInterpolation, o.SkipValidation, o.SkipNormalization, o.SkipResolveEnvironment = true, true, true, true
		})
	if err != nil {
		return nil, errors.New(oneLine(err))
	}
	return dict, nil
}

// A Variable is one that the files refer to.
type Variable struct {
	Name      string
	Required  bool
	Default   string // what stands for it where it is not set
	Alternate string // what stands for it where it is set
}

// Variables gives the variables that the files refer to, sorted by name.
func Variables(ctx context.Context, o Options) ([]Variable, error) {
	dict, err := Raw(ctx, o)
	if err != nil {
		return nil, err
	}
	found := template.ExtractVariables(dict, template.DefaultPattern)
	all := make([]Variable, 0, len(found))
	for _, name := range sortedKeys(found) {
		v := found[name]
		all = append(all, Variable{Name: v.Name, Required: v.Required, Default: v.DefaultValue, Alternate: v.PresenceValue})
	}
	return all, nil
}

// Profiles gives the profiles that services of the files bear, sorted.
func (p *Project) Profiles() []string {
	all := map[string]bool{}
	for _, s := range p.model.AllServices() {
		for _, profile := range s.Profiles {
			all[profile] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// Environment gives the variables that were filled in from, as sorted KEY=VALUE. Unless
// showSecrets is set, values that look secret are masked.
func (p *Project) Environment(showSecrets bool) []string {
	values := types.MappingWithEquals{}
	for k, v := range p.model.Environment {
		values[k] = &v
	}
	if !showSecrets {
		values = maskValues(values)
	}
	all := make([]string, 0, len(values))
	for _, k := range sortedKeys(values) {
		all = append(all, k+"="+*values[k])
	}
	return all
}
