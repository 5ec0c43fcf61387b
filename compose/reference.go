package compose

import (
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// This file rewords what compose-go says of files and services that refer to one
// another; see phrasings.

func (r *report) extendsCycle(m []string, _ *found) bool {
	var names []string
	for line := range strings.Lines(m[1]) {
		words := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "extends "))
		if len(words) > 0 {
			names = append(names, words[0])
		}
	}
	if len(names) == 0 {
		return false
	}
	smallest := slices.Index(names, slices.Min(names))
	ring := append(slices.Clone(names[smallest:len(names)-1]), names[:smallest]...)
	path := []string{"services", names[smallest], "extends"}
	r.at(path, "", "extends goes in a circle: %s -> %s", strings.Join(ring, " -> "), ring[0])
	return r.src.cut(path)
}

func (r *report) includeCycle(m []string, f *found) bool {
	var files []string
	for line := range strings.Lines(m[1]) {
		files = append(files, shown(strings.TrimPrefix(strings.TrimSpace(line), "include "), f.display))
	}
	r.at([]string{"include"}, "", "include goes in a circle: %s", strings.Join(files, " -> "))
	return r.src.cut([]string{"include"})
}

func (r *report) badExtends(m []string, _ *found) bool {
	path := []string{"services", m[1], "extends"}
	r.at(path, "", "cannot extend: %s", m[2])
	return r.src.cut(path)
}

func (r *report) badKey(m []string, _ *found) bool {
	path := append(r.src.split(strings.TrimSuffix(m[1], "top level")), m[2])
	r.at(path, `put it in quotes: "`+m[2]+`"`, "the key %s is not a text", m[2])
	return false
}

func (r *report) noMapping(_ []string, _ *found) bool {
	if len(r.problems) == 0 {
		r.at(nil, "a compose file begins with services:", "the file holds no services")
	}
	return false
}

func (r *report) badName(m []string, _ *found) bool {
	r.at([]string{"name"}, "use small letters, digits, dashes and underscores, beginning with a letter or digit; set it with name: in the file, -p or COMPOSE_PROJECT_NAME",
		"the project has no valid name")
	return false
}

func (r *report) general(m []string, _ *found) bool {
	path := r.src.split(strings.NewReplacer("[", ".", "]", "").Replace(m[1]))
	if _, ok := r.src.find(path); !ok {
		return false
	}
	r.at(path, "", "%s %s", last(path), strings.TrimSuffix(m[2], ": invalid compose project"))
	return r.src.cut(path)
}

// keys gives the keys of the mapping at path in all files, sorted.
func (ss *sources) keys(path []string) []string {
	seen := map[string]bool{}
	for _, s := range ss.list {
		at, ok := s.find(path)
		if !ok {
			continue
		}
		n := resolved(at.value)
		for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
			seen[n.Content[i].Value] = true
		}
	}
	return sortedKeys(seen)
}

var envFileError = regexp.MustCompile(`(?s)^failed to read (.+?): (.*)$`)

// fileProblem rewords an error of the env file reader, which quotes values.
func fileProblem(err error, display string) error {
	if m := envFileError.FindStringSubmatch(err.Error()); m != nil {
		return Problems{envFileProblem(m[1], m[2], display)}
	}
	return errors.New(oneLine(err))
}

// envFileProblem keeps of said what holds no value.
func envFileProblem(file, said, display string) Problem {
	p := Problem{File: shown(file, display), Text: "not a valid env file", Hint: "each line reads NAME=value; put a value with special characters in quotes"}
	if m := yamlPlace.FindStringSubmatch(" " + said); m != nil {
		p.Line, _ = strconv.Atoi(m[1])
	}
	switch {
	case strings.Contains(said, "unterminated quoted value"):
		p.Text = "a quoted value has no closing quote"
	case strings.Contains(said, "in variable name"):
		p.Text = "the name before = is not valid"
	case strings.Contains(said, "contain a space"):
		p.Text = "a name must not hold a space"
	case strings.Contains(said, "required variable"):
		p.Text = "a required variable is not set"
	}
	return p
}
