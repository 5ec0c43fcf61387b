package compose

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/template"
	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v4"
	"golang.org/x/sys/unix"
)

// A model is what compose-go made of the files.
type model struct {
	*types.Project
	supported []string
}

// profilesOf gives the profiles of those of the services named that are in no active one.
func (m *model) profilesOf(names []string) (profiles []string) {
	for _, name := range names {
		profiles = append(profiles, m.DisabledServices[name].Profiles...)
	}
	return profiles
}

// scale sets how many replicas services have, whatever the file says.
func (m *model) scale(replicas map[string]int) error {
	for _, name := range sortedKeys(replicas) {
		s, there := m.Services[name]
		if !there {
			return fmt.Errorf("no such service: %s", name)
		}
		if replicas[name] < 0 {
			return fmt.Errorf("cannot scale %s to %d replicas", name, replicas[name])
		}
		s.SetScale(replicas[name])
		m.Services[name] = s
	}
	return nil
}

// A reading is one run of compose-go over the files.
type reading struct {
	rep         *report
	f           *found
	o           Options
	consistency bool // let compose-go check references between services
	merged      bool // got as far as one merged model
}

// read runs compose-go until it is content: what it refuses is reported and taken
// out of the copy that it reads next, so that the rest of the file gets checked too.
// The model is nil if that can't be done.
func (r *report) read(ctx context.Context, f *found, o Options) (*model, error) {
	const attempts = 40
	for _, s := range r.src.list {
		if _, ok := s.find([]string{"version"}); s.main && ok {
			r.warn("%s: version is obsolete and ignored; remove it", s.shown)
			r.src.cut([]string{"version"})
		}
	}
	for consistency, n := true, 0; n < attempts; n++ {
		run := &reading{rep: r, f: f, o: o, consistency: consistency}
		p, err := run.load(ctx)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err == nil {
			return &model{Project: p, supported: o.Supported}, nil
		}
		ok := r.reword(err, f, run.merged)
		switch {
		case ok:
		case run.merged && consistency:
			consistency = false
			r.suspect(err)
		default:
			if len(r.problems) == 0 {
				r.at(nil, "", "%s", oneLine(err))
			}
			return nil, nil
		}
	}
	return nil, nil
}

// outside runs f on a thread of its own that stands in the root directory, where this
// process's directory has a character that means something in a URL: compose-go makes
// one of it, as it is, and refuses every file then.
func outside(f func()) {
	if wd, err := os.Getwd(); err != nil || !strings.ContainsAny(wd, "%?#") {
		f()
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if unix.Unshare(unix.CLONE_FS) == nil {
			_ = unix.Chdir("/")
		}
		f()
	}()
	<-done
}

func (run *reading) load(ctx context.Context) (p *types.Project, err error) {
	outside(func() { p, err = run.loadHere(ctx) })
	return p, err
}

func (run *reading) loadHere(ctx context.Context) (p *types.Project, err error) {
	defer func() {
		if bug := recover(); bug != nil {
			err = fmt.Errorf("compose-go gave up on the file: %v", bug)
		}
	}()
	return loader.LoadWithContext(ctx, run.details(), loader.WithDiscardEnvFiles,
		loader.WithProfiles(run.f.profiles),
		loader.WithUnsupportedAttributesCheck(
			[]loader.UnsupportedAttributePattern{{Detect: run.inspect}}, func([]loader.UnsupportedAttribute) {}),
		run.options)
}

// details gives compose-go the files and the environment.
func (run *reading) details() types.ConfigDetails {
	details := types.ConfigDetails{WorkingDir: run.f.dir, Environment: types.Mapping(run.f.env).Clone()}
	for _, s := range run.rep.src.list {
		if s.main {
			details.ConfigFiles = append(details.ConfigFiles, types.ConfigFile{Filename: s.file, Content: s.content})
		}
	}
	return details
}

func (run *reading) options(o *loader.Options) {
	name, explicit := run.f.name, true
	if name == "" {
		name, explicit = loader.NormalizeProjectName(filepath.Base(run.f.dir)), false
	}
	o.SetProjectName(name, explicit)
	o.SkipConsistencyCheck = !run.consistency
	o.Interpolate.Substitute = run.substitute
}

var (
	plainVariable   = regexp.MustCompile(`\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)\})`)
	guardedVariable = regexp.MustCompile(`\$\{([A-Za-z_]\w*)[:?+-]`)
)

// substitute fills in variables. It warns itself of those that are not set anywhere,
// since compose-go would write to the process's log.
func (run *reading) substitute(text string, lookup template.Mapping) (string, error) {
	unset := map[string]bool{}
	for _, m := range plainVariable.FindAllStringSubmatch(strings.ReplaceAll(text, "$$", ""), -1) {
		name := m[1] + m[2]
		if _, ok := lookup(name); !ok {
			run.rep.warn("variable %s is not set; it counts as empty", name)
			unset[name] = true
		}
	}
	for _, m := range guardedVariable.FindAllStringSubmatch(text, -1) {
		delete(unset, m[1])
	}
	return template.SubstituteWithOptions(text, func(name string) (string, bool) {
		v, ok := lookup(name)
		return v, ok || unset[name]
	}, template.WithoutLogging)
}

// inspect looks at the merged model before compose-go turns it into structs, which
// is where keys get lost. It is handed the whole model once.
func (run *reading) inspect(v any) bool {
	run.merged = true
	if dict, ok := v.(map[string]any); ok {
		run.rep.inspect(dict, run.o, run.f.profiles)
	}
	return false
}

// suspect keeps what compose-go said of references between services: it stands
// only if the package's own checks, which name all places, find nothing.
func (r *report) suspect(err error) { r.suspicion = err }

// settle adds the suspicion if nothing else was found.
func (r *report) settle() {
	if r.suspicion == nil || len(r.problems) > 0 {
		return
	}
	text := oneLine(r.suspicion)
	path := r.subject(text)
	if len(path) > 0 {
		text = strings.TrimPrefix(text, "services."+path[1]+": ")
		text = strings.TrimPrefix(text, fmt.Sprintf("service %q ", path[1]))
		text = strings.TrimPrefix(text, "service "+path[1]+" ")
	}
	r.at(path, "", "%s", text)
}

// subject gives the path of the service that a message of compose-go names.
func (r *report) subject(text string) []string {
	for _, s := range r.src.all() {
		for _, doc := range s.docs {
			services := child(doc, "services")
			for i := 0; services.Kind == yaml.MappingNode && i+1 < len(services.Content); i += 2 {
				name := services.Content[i].Value
				if slices.ContainsFunc([]string{"service %q", "service %s ", "services.%s"}, func(f string) bool {
					return strings.Contains(text, fmt.Sprintf(f, name))
				}) {
					return []string{"services", name}
				}
			}
		}
	}
	return nil
}

func oneLine(err error) string {
	text := strings.TrimSuffix(err.Error(), ": invalid compose project")
	return strings.Join(strings.Fields(text), " ")
}
