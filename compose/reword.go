package compose

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v4"
)

// A phrasing turns messages of compose-go that match a pattern into problems. It
// reports whether it took out of the files what the message is about, so that
// reading can go on.
type phrasing struct {
	pattern *regexp.Regexp
	say     func(r *report, m []string, f *found) bool
}

// The first phrasing that matches is used; the last ones are the most general.
var phrasings = []phrasing{
	{regexp.MustCompile(`(?s)^validating .+?: (\S*) (.*)$`), (*report).schema},
	{regexp.MustCompile(`(?s)^((?:error while interpolating|invalid interpolation format for) .*)$`), (*report).interpolation},
	{regexp.MustCompile(`(?s)^(decoding failed due to.*)$`), (*report).decoding},
	{regexp.MustCompile(`(?s)^failed to parse (.+?): (yaml: .*)$`), (*report).yamlError},
	{regexp.MustCompile(`^(?:invalid (?:containerPort|hostPort|proto|IP|ip|port)|No port specified)`), (*report).badPorts},
	{regexp.MustCompile(`^env file (.+) not found`), (*report).missingFile},
	{regexp.MustCompile(`^label file (.+) not found`), (*report).missingFile},
	{regexp.MustCompile(`(?s)^failed to read (.+?): (.*)$`), (*report).badEnvFile},
	{regexp.MustCompile(`(?s)^Circular reference:\n(.*)$`), (*report).extendsCycle},
	{regexp.MustCompile(`(?s)^include cycle detected:\n(.*)$`), (*report).includeCycle},
	{regexp.MustCompile(`^cannot extend service "([^"]+)" in [^:]*: (.*)$`), (*report).badExtends},
	{regexp.MustCompile(`^non-string key (?:in|at) (.*?): (.*)$`), (*report).badKey},
	{regexp.MustCompile(`^(?:empty compose file|top-level object must be a mapping)$`), (*report).noMapping},
	{regexp.MustCompile(`^(?:project name must not be empty|invalid project name)`), (*report).badName},
	{regexp.MustCompile(`^(?:cannot override )?((?:services|networks|volumes|secrets|configs|include)(?:\.[^\s:]+)?):? (.*)$`), (*report).general},
}

// reword reports what compose-go says, in healbot's words and with its place. What
// it says of a merged model in general terms comes in no certain order, and is left
// to the package's own checks.
func (r *report) reword(err error, f *found, merged bool) bool {
	text := err.Error()
	for i, p := range phrasings {
		if merged && i == len(phrasings)-1 {
			break
		}
		if m := p.pattern.FindStringSubmatch(text); m != nil {
			return p.say(r, m, f)
		}
	}
	return false
}

var quoted = regexp.MustCompile(`'([^']*)'`)

func (r *report) schema(m []string, _ *found) bool {
	path, rest := r.src.eldest(r.src.split(m[1])), m[2]
	switch {
	case rest == "false schema":
		r.unknownKey(path)
		return r.src.cut(path)
	case strings.HasPrefix(rest, "additional propert"):
		ok := true
		for _, m := range quoted.FindAllStringSubmatch(rest, -1) {
			key, err := strconv.Unquote(`"` + m[1] + `"`)
			if err != nil {
				key = m[1]
			}
			at := append(slices.Clone(path), key)
			r.unknownKey(at)
			ok = r.src.cut(at) && ok
		}
		return ok
	}
	if m := lacking.FindStringSubmatch(rest); m != nil && r.src.written(append(slices.Clone(path), m[1])) {
		return r.src.cut(path) // it was there, and was cut for a problem of its own
	}
	r.at(path, r.typeHint(path, rest), "%s %s", last(path), typeText(rest))
	return r.src.cut(path)
}

var lacking = regexp.MustCompile(`^missing property '([^']*)'`)

// unknownKey reports a key that the Compose Specification does not know.
func (r *report) unknownKey(path []string) {
	parent, key := path[:len(path)-1], last(path)
	if len(parent) == 1 && parent[0] != "include" {
		r.at(path, "use letters, digits, dots, dashes and underscores", "%s can't be a name in %s", key, parent[0])
		return
	}
	of := "a compose file"
	switch {
	case len(parent) == 2 && !specified(parent):
		of = "a " + strings.TrimSuffix(parent[0], "s")
	case len(parent) > 1 && !specified(parent):
		of = parent[len(parent)-2]
	case len(parent) > 0:
		of = last(parent)
	}
	if key == "" {
		key = "an empty key"
	}
	r.at(path, "", "%s is not an attribute of %s%s", key, of, suggestion(key, attributes(parent)))
}

// typeText rewords what a value must be.
func typeText(rest string) string {
	if strings.Contains(rest, "does not match pattern") {
		return "is not written in a form that is accepted here"
	}
	types, ok := strings.CutPrefix(rest, "must be a ")
	if !ok {
		return strings.NewReplacer("value must be one of", "must be one of", "missing property", "lacks", "'", "").Replace(rest)
	}
	words := strings.Split(strings.ReplaceAll(types, " or ", ", "), ", ")
	for i, word := range words {
		words[i] = strings.NewReplacer("array", "list", "integer", "whole number", "boolean", "true or false", "null", "empty").Replace(word)
		if word != "boolean" && word != "null" {
			words[i] = "a " + words[i]
		}
	}
	return "must be " + strings.Join(words, ", or ")
}

var durations = []string{"interval", "timeout", "start_period", "start_interval", "delay", "window", "stop_grace_period"}

func (r *report) typeHint(path []string, rest string) string {
	text := r.src.text(path)
	if _, err := strconv.Atoi(text); err == nil && slices.Contains(durations, last(path)) && strings.Contains(rest, "must be a string") {
		return fmt.Sprintf("a duration needs a unit: %s: %ss", last(path), text)
	}
	return ""
}

var (
	interpolating = regexp.MustCompile(`(?m)^error while interpolating (\S+): (.*)$`)
	badTemplate   = regexp.MustCompile(`(?m)^invalid interpolation format for (\S+)\.$`)
	required      = regexp.MustCompile(`^required variable (\S+) is missing a value(?:: (.*))?$`)
)

func (r *report) interpolation(m []string, _ *found) bool {
	var paths [][]string
	for _, e := range interpolating.FindAllStringSubmatch(m[1], -1) {
		path := r.src.split(e[1])
		if v := required.FindStringSubmatch(e[2]); v != nil {
			r.at(path, "set it in the environment or in .env", "variable %s is required but not set%s", v[1], after(": ", v[2]))
		} else {
			r.at(path, "the value of its variable does not fit", "%s has a value of the wrong type", last(path))
		}
		paths = append(paths, path)
	}
	for _, e := range badTemplate.FindAllStringSubmatch(m[1], -1) {
		path := r.src.split(e[1])
		r.at(path, "write $$ for a dollar sign, and close each ${", "%s has a broken variable reference", last(path))
		paths = append(paths, path)
	}
	return r.cutAll(paths)
}

var decodeLine = regexp.MustCompile(`(?m)^'([^']+)' (.*)$`)

func (r *report) decoding(m []string, _ *found) bool {
	var paths [][]string
	for _, e := range decodeLine.FindAllStringSubmatch(m[1], -1) {
		path := r.src.split(strings.NewReplacer("[", ".", "]", "").Replace(e[1]))
		text, hint := decodeText(last(path), e[2])
		r.at(path, hint, "%s", text)
		paths = append(paths, path)
	}
	return len(paths) > 0 && r.cutAll(paths)
}

func decodeText(key, said string) (text, hint string) {
	switch {
	case strings.Contains(said, "duration"):
		return key + " is not a duration", "write a number with its unit, as 500ms, 90s or 1m30s"
	case strings.Contains(said, "overflows uint"):
		return key + " must not be negative", ""
	case strings.Contains(said, "invalid command line"):
		return key + " has an open quote or parenthesis", `write it as a list: ["program", "argument"]`
	case strings.Contains(said, "cannot parse"), strings.Contains(said, "parsing"):
		return key + " is not a number", ""
	case strings.Contains(said, "suffix"), strings.Contains(said, "size"):
		return key + " is not a size", "write a number with its unit, as 512k, 64m or 2g"
	}
	return key + " is not valid", "compare it with the Compose Specification"
}

var yamlLine = regexp.MustCompile(`line (\d+): (?:line \d+: )?(.*)`)

func (r *report) yamlError(m []string, f *found) bool {
	lines := yamlLine.FindAllStringSubmatch(m[2], -1)
	for _, e := range lines {
		line, _ := strconv.Atoi(e[1])
		r.add(Problem{File: shown(m[1], f.display), Line: line, Text: strings.Replace(e[2], "at line", "in line", 1)})
	}
	if len(lines) == 0 {
		r.add(syntaxProblem(shown(m[1], f.display), fmt.Errorf("%s", m[2])))
	}
	return false
}

// badPorts looks at all ports in the files, since compose-go does not say which
// one it means.
func (r *report) badPorts(_ []string, f *found) bool {
	g := gatherer{env: f.env}
	var paths [][]string
	for _, name := range r.src.keys([]string{"services"}) {
		path := []string{"services", name, "ports"}
		at, ok := r.src.find(path)
		if !ok {
			continue
		}
		for i, item := range items(resolved(at.value)) {
			if item.Kind != yaml.ScalarNode {
				continue
			}
			if _, err := types.ParsePortConfig(g.text(item)); err != nil {
				item := append(slices.Clone(path), strconv.Itoa(i))
				r.at(item, `write it as "8080", "8080:80" or "127.0.0.1:8080:80/udp"`, "%q is not a port", r.src.text(item))
				paths = append([][]string{item}, paths...)
			}
		}
	}
	return len(paths) > 0 && r.cutAll(paths)
}

func (r *report) missingFile(m []string, f *found) bool {
	var paths [][]string
	for _, name := range r.src.keys([]string{"services"}) {
		for _, key := range []string{"env_file", "label_file"} {
			path := []string{"services", name, key}
			at, ok := r.src.find(path)
			if !ok {
				continue
			}
			for i, item := range items(resolved(at.value)) {
				if item.Kind == yaml.MappingNode && child(item, "required").Value == "false" {
					continue
				}
				if item.Kind == yaml.MappingNode {
					item = child(item, "path")
				}
				if item.Value == "" || !strings.HasSuffix(m[1], filepath.Clean(item.Value)) {
					continue
				}
				r.at(append(slices.Clone(path), strconv.Itoa(i)), "write it, correct its name, or mark it {path: …, required: false}",
					"%s %s does not exist", key, shown(m[1], f.display))
				paths = append(paths, path)
			}
		}
	}
	return r.cutAll(paths)
}

func (r *report) badEnvFile(m []string, f *found) bool {
	r.add(envFileProblem(m[1], m[2], f.display))
	return false
}

// cutAll cuts every path, and reports whether reading again can tell more.
func (r *report) cutAll(paths [][]string) bool {
	ok := true
	for _, path := range paths {
		ok = r.src.cut(path) && ok
	}
	return ok && len(paths) > 0
}

func last(path []string) string {
	if len(path) == 0 {
		return "the file"
	}
	return path[len(path)-1]
}

func after(sep, text string) string {
	if text == "" {
		return ""
	}
	return sep + text
}
