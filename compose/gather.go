package compose

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"github.com/compose-spec/compose-go/v2/template"
	"go.yaml.in/yaml/v4"
)

// maxFile is the size of the largest file that is read.
const maxFile = 1 << 20

// gather reads every file of the project into r.src, and refuses what compose-go
// would block or choke on: pipes, devices, directories, and very large files.
func (r *report) gather(f *found) {
	g := &gatherer{report: r, env: f.env, display: f.display, seen: map[string]bool{}}
	r.src.base = map[string]*source{}
	for _, file := range f.files {
		s, err := g.open(file)
		if err != nil {
			r.add(Problem{File: shown(file, f.display), Text: "cannot read the file: " + err.Error(), Hint: hintFor(err)})
			continue
		}
		s.main = true
		g.follow(s, f.dir)
		r.src.list = append(r.src.list, s)
	}
}

// A gatherer follows include, extends and env_file to the files they name.
type gatherer struct {
	*report
	env     map[string]string
	display string
	seen    map[string]bool
}

func (g *gatherer) open(file string) (*source, error) {
	content, err := readFile(file)
	if err != nil {
		return nil, plain(err)
	}
	s := &source{file: file, shown: shown(file, g.display), content: content}
	if err := s.parse(); err != nil {
		g.add(syntaxProblem(s.shown, err))
	}
	for _, doc := range s.docs {
		if at, text := unfold(doc); at != nil {
			g.add(Problem{File: s.shown, Line: at.Line, Column: at.Column, Text: text})
		}
	}
	return s, nil
}

// follow reads what s includes and extends; dir is where its relative paths begin.
func (g *gatherer) follow(s *source, dir string) {
	g.seen[s.file] = true
	for _, doc := range s.docs {
		for _, item := range items(child(doc, "include")) {
			g.include(s, item, dir)
		}
		services := child(doc, "services")
		for i := 0; services.Kind == yaml.MappingNode && i+1 < len(services.Content); i += 2 {
			g.service(s, resolved(services.Content[i+1]), dir)
		}
	}
}

func (g *gatherer) include(s *source, item *yaml.Node, dir string) {
	paths := []*yaml.Node{item}
	if item.Kind == yaml.MappingNode {
		paths = items(child(item, "path"))
		g.envFiles(s, child(item, "env_file"), dir)
	}
	var below string
	for i, path := range paths {
		file := absolute(dir, g.text(path))
		if i == 0 {
			below = filepath.Dir(file)
			if d := g.text(child(item, "project_directory")); d != "" {
				below = absolute(dir, d)
			}
		}
		if inc := g.next(s, path, file); inc != nil {
			g.follow(inc, below)
			g.src.list = append(g.src.list, inc)
		}
	}
}

func (g *gatherer) service(s *source, svc *yaml.Node, dir string) {
	g.envFiles(s, child(svc, "env_file"), dir)
	g.envFiles(s, child(svc, "label_file"), dir)
	at := child(child(svc, "extends"), "file")
	if at.Kind != yaml.ScalarNode {
		return
	}
	file := absolute(dir, g.text(at))
	if base := g.next(s, at, file); base != nil {
		g.src.base[file] = base
		g.follow(base, filepath.Dir(file))
	}
}

// next opens a file that is named at a node of s, unless it was opened before.
func (g *gatherer) next(s *source, at *yaml.Node, file string) *source {
	if at.Kind != yaml.ScalarNode || g.seen[file] {
		return nil
	}
	g.seen[file] = true
	next, err := g.open(file)
	if err != nil {
		g.add(Problem{
			File: s.shown, Line: at.Line, Column: at.Column,
			Text: fmt.Sprintf("cannot read %s: %v", shown(file, g.display), err), Hint: hintFor(err),
		})
		return nil
	}
	return next
}

// envFiles checks the env files that exist; which of the others are missed is for
// compose-go to say, since it knows the active profiles.
func (g *gatherer) envFiles(s *source, n *yaml.Node, dir string) {
	for _, item := range items(n) {
		if item.Kind == yaml.MappingNode {
			item = child(item, "path")
		}
		file := absolute(dir, g.text(item))
		if file == os.DevNull || item.Kind != yaml.ScalarNode {
			continue
		}
		if _, err := readFile(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			g.add(Problem{
				File: s.shown, Line: item.Line, Column: item.Column,
				Text: fmt.Sprintf("cannot read %s: %v", shown(file, g.display), plain(err)), Hint: hintFor(err),
			})
		}
	}
}

// text gives a scalar with its variables filled in.
func (g *gatherer) text(n *yaml.Node) string {
	lookup := func(name string) (string, bool) { v, ok := g.env[name]; return v, ok }
	text, err := template.SubstituteWithOptions(n.Value, lookup, template.WithoutLogging)
	if err != nil {
		return n.Value
	}
	return text
}

// items gives the items of a list, or a single value as a list of one.
func items(n *yaml.Node) []*yaml.Node {
	switch n.Kind {
	case yaml.SequenceNode:
		list := make([]*yaml.Node, len(n.Content))
		for i, item := range n.Content {
			list[i] = resolved(item)
		}
		return list
	case yaml.ScalarNode, yaml.MappingNode:
		return []*yaml.Node{n}
	}
	return nil
}

var errTooLarge = errors.New("larger than 1 MiB")

// readFile reads a regular file of at most maxFile bytes. It never blocks on a pipe.
func readFile(name string) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, errors.New("is a directory, not a file")
	case !info.Mode().IsRegular():
		return nil, errors.New("not a regular file")
	}
	content, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(content) > maxFile {
		err = errTooLarge
	}
	return content, err
}

func hintFor(err error) string {
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "check the name; a relative path begins at the directory of the file that names it, or at --project-directory"
	case errors.Is(err, os.ErrPermission):
		return "make it readable for the user who runs healbot"
	case errors.Is(err, errTooLarge):
		return "split it and put the parts together with include"
	}
	return ""
}

var yamlPlace = regexp.MustCompile(`(?: at)? ?line (\d+)(?:, column (\d+))?`)

// syntaxProblem gives an error of the YAML reader its place: the last one that it
// names, since an earlier one says where the broken part began.
func syntaxProblem(file string, err error) Problem {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	p := Problem{File: file}
	if all := yamlPlace.FindAllStringSubmatch(text, -1); len(all) > 0 {
		m := all[len(all)-1]
		p.Line, _ = strconv.Atoi(m[1])
		p.Column, _ = strconv.Atoi(m[2])
		text = strings.TrimPrefix(strings.Replace(text, m[0], "", 1), ": ")
	}
	p.Text = "not valid YAML: " + strings.ReplaceAll(strings.TrimSpace(text), ":: ", ": ")
	return p
}
