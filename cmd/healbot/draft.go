package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/loader"
	"go.yaml.in/yaml/v4"
)

// A draft is a compose file in the making.
type draft struct {
	file     string // as the user named it
	dir      string // its folder, absolute
	defaults bool   // the project gets a restart policy of its own
	services []*sketch
	warnings []string
}

// A sketch is one native service of a draft. Its fields are in the order in which they
// are written.
type sketch struct {
	Name        string            `yaml:"-"`
	Provider    sketchProvider    `yaml:"provider,flow"`
	Own         map[string]any    `yaml:"x-healbot,omitempty,flow"`
	Command     any               `yaml:"command,flow"`
	WorkingDir  string            `yaml:"working_dir,omitempty"`
	Environment map[string]string `yaml:"environment,omitempty"`
	User        string            `yaml:"user,omitempty"`
	Ports       []string          `yaml:"ports,omitempty,flow"`
	DependsOn   map[string]needed `yaml:"depends_on,omitempty"`
	Health      map[string]any    `yaml:"healthcheck,omitempty,flow"`
	Deploy      map[string]any    `yaml:"deploy,omitempty,flow"`
	Restart     string            `yaml:"restart,omitempty"`
	Scale       int               `yaml:"scale,omitempty"`
	StopSignal  string            `yaml:"stop_signal,omitempty"`
	StopGrace   string            `yaml:"stop_grace_period,omitempty"`
	Profiles    []string          `yaml:"profiles,omitempty,flow"`
}

type sketchProvider struct {
	Type    string         `yaml:"type"`
	Options map[string]any `yaml:"options,omitempty,flow"`
}

type needed struct {
	Condition string `yaml:"condition"`
}

// warn notes what could not be taken over, with its place.
func (d *draft) warn(line int, format string, args ...any) {
	d.warnings = append(d.warnings, fmt.Sprintf("%s:%d: ", d.file, line)+fmt.Sprintf(format, args...))
}

var notInNames = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// add begins a service.
func (d *draft) add(line int, name string) *sketch {
	fit := strings.Trim(notInNames.ReplaceAllString(name, "-"), "-._")
	if fit == "" {
		fit = fmt.Sprintf("service-%d", len(d.services)+1)
	}
	if fit != name {
		d.warn(line, "%q can't be the name of a service; it is called %s", name, fit)
	}
	if slices.ContainsFunc(d.services, func(s *sketch) bool { return s.Name == fit }) {
		d.warn(line, "there is another service called %s; the later one counts", fit)
		d.services = slices.DeleteFunc(d.services, func(s *sketch) bool { return s.Name == fit })
	}
	s := &sketch{Name: fit, Provider: sketchProvider{Type: "healbot"}, Environment: map[string]string{}}
	d.services = append(d.services, s)
	return s
}

// shellWork is what only a shell can do with a command line.
const shellWork = "$`&|;<>(){}*?~#\n"

// commandLine gives a command that a shell would have run: as it is, if it has no need
// of one, else by way of sh. Dollars are doubled, since Compose takes single ones.
func commandLine(text string) any {
	text = strings.TrimSpace(text)
	rest := strings.TrimPrefix(text, "exec ")
	first, _, _ := strings.Cut(rest, " ")
	if !strings.ContainsAny(rest, shellWork) && !strings.Contains(first, "=") {
		return rest
	}
	return []string{"sh", "-c", literal(text)}
}

// literal keeps Compose from filling in variables.
func literal(text string) string { return strings.ReplaceAll(text, "$", "$$") }

// pythons gives the provider options of a Python program: an environment where there
// are requirements for one.
func (d *draft) pythons(s *sketch) {
	options := map[string]any{"python": ">=3.8"}
	var files []string
	for _, dir := range slices.Compact([]string{"", s.WorkingDir}) {
		file := filepath.Join(dir, "requirements.txt")
		if info, err := os.Stat(filepath.Join(d.dir, file)); err == nil && info.Mode().IsRegular() {
			files = append(files, file)
		}
	}
	if len(files) > 0 {
		options["venv"], options["requirements"] = ".venv", files
	}
	s.Provider.Options = options
}

// write gives the compose file.
func (d *draft) write(w io.Writer) error {
	name := loader.NormalizeProjectName(filepath.Base(d.dir))
	if name == "" {
		name = "project"
	}
	file, services := ordered{}, ordered{}
	file.put("name", name)
	if d.defaults {
		file.put("x-healbot", struct {
			Restart map[string]any `yaml:"restart,flow"`
		}{map[string]any{"condition": "any", "delay": "5s", "max_attempts": 5, "window": "5m", "factor": 2, "max_delay": "60s"}})
	}
	for _, s := range d.services {
		services.put(s.Name, s)
	}
	file.put("services", services.mapping())
	if err := errors.Join(services.err, file.err); err != nil {
		return err
	}
	fmt.Fprintf(w, "# made by healbot import from %s\n", filepath.Base(d.file))
	out := yaml.NewEncoder(w)
	out.SetIndent(2)
	if err := out.Encode(file.mapping()); err != nil {
		return err
	}
	return out.Close()
}

// An ordered mapping keeps its keys in the order in which they were put.
type ordered struct {
	content []*yaml.Node
	err     error
}

func (o *ordered) put(key string, value any) {
	var k, v yaml.Node
	o.err = errors.Join(o.err, k.Encode(key), v.Encode(value))
	o.content = append(o.content, &k, &v)
}

func (o *ordered) mapping() *yaml.Node {
	return &yaml.Node{Kind: yaml.MappingNode, Content: o.content}
}
