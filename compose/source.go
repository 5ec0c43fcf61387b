package compose

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// A source is one Compose file as YAML nodes, which know their line and column.
type source struct {
	file    string // absolute
	shown   string // as problems name it
	main    bool   // given to compose-go as text, so that parts can be cut out
	content []byte
	docs    []*yaml.Node
}

// parse reads the nodes of content. Duplicate keys and unknown tags are left to
// compose-go; only broken YAML is an error here.
func (s *source) parse() error {
	dec := yaml.NewDecoder(bytes.NewReader(s.content))
	for {
		doc := new(yaml.Node)
		if err := dec.Decode(doc); err != nil {
			if err.Error() == "EOF" {
				return nil
			}
			return err
		}
		s.docs = append(s.docs, doc)
	}
}

// A place is where a path leads: a key with its value, inside parent.
type place struct {
	src                *source
	parent, key, value *yaml.Node // key is the value itself for an item of a list
}

// sources are all files of a project, in the order in which they are merged.
type sources struct {
	list []*source
	base map[string]*source // files that services extend, by absolute path
	cuts [][]string
}

// find gives the place that decides the value at path: the last one.
func (ss *sources) find(path []string) (place, bool) {
	for _, s := range slices.Backward(ss.list) {
		if at, ok := s.find(path); ok {
			return at, true
		}
	}
	if len(path) > 2 && path[0] == "services" {
		return ss.extended(path, 0)
	}
	return place{}, false
}

// extended looks for path in the services that the service of path extends.
func (ss *sources) extended(path []string, depth int) (place, bool) {
	const deepest = 20
	if depth > deepest {
		return place{}, false
	}
	for _, s := range ss.all() {
		at, ok := s.find([]string{"services", path[1], "extends"})
		if !ok {
			continue
		}
		name := child(at.value, "service").Value
		if name == "" {
			name = at.value.Value
		}
		base := slices.Clone(path)
		base[1] = name
		for _, other := range ss.all() {
			if at, ok := other.find(base); ok {
				return at, true
			}
		}
		if base[1] != path[1] {
			return ss.extended(base, depth+1)
		}
	}
	return place{}, false
}

// all gives the merged files, and then those that are only extended from.
func (ss *sources) all() []*source {
	all := slices.Clone(ss.list)
	for _, file := range sortedKeys(ss.base) {
		all = append(all, ss.base[file])
	}
	return all
}

// position gives file, line and column of the nearest part of path that is
// written down somewhere.
func (ss *sources) position(path []string) (file string, line, column int) {
	for n := len(path); n > 0; n-- {
		if at, ok := ss.find(path[:n]); ok {
			return at.src.shown, at.key.Line, at.key.Column
		}
	}
	if len(ss.list) == 0 {
		return "", 0, 0
	}
	for _, s := range ss.list {
		if s.main {
			return s.shown, 0, 0
		}
	}
	return ss.list[len(ss.list)-1].shown, 0, 0
}

// text gives the scalar at path as it is written, before interpolation.
func (ss *sources) text(path []string) string {
	at, ok := ss.find(path)
	if !ok || at.value.Kind != yaml.ScalarNode {
		return ""
	}
	return at.value.Value
}

// written reports whether path is in a file, be it cut or not.
func (ss *sources) written(path []string) bool {
	_, ok := ss.find(path)
	return ok || slices.ContainsFunc(ss.cuts, func(c []string) bool { return slices.Equal(c, path) })
}

// cut takes what stands at path out of the text that compose-go reads. It reports
// whether it could: included and extended files are read by compose-go itself.
func (ss *sources) cut(path []string) bool {
	at, ok := ss.find(path)
	if !ok || !at.src.main {
		return false
	}
	i := slices.Index(at.parent.Content, at.key)
	if i < 0 {
		return false
	}
	n := 2
	if at.parent.Kind == yaml.SequenceNode {
		n = 1
	}
	at.parent.Content = slices.Delete(at.parent.Content, i, i+n)
	ss.cuts = append(ss.cuts, slices.Clone(path))
	return at.src.render() == nil
}

// render writes the text of s anew from its nodes.
func (s *source) render() error {
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	for _, doc := range s.docs {
		if err := enc.Encode(doc); err != nil {
			return err
		}
	}
	if err := enc.Close(); err != nil {
		return err
	}
	s.content = b.Bytes()
	return nil
}

func (s *source) find(path []string) (place, bool) {
	for _, doc := range slices.Backward(s.docs) {
		at := place{src: s, key: doc, value: doc}
		ok := true
		for _, part := range path {
			if at, ok = at.step(part); !ok {
				break
			}
		}
		if ok {
			return at, true
		}
	}
	return place{}, false
}

func (at place) step(part string) (place, bool) {
	n := resolved(at.value)
	switch n.Kind {
	case yaml.SequenceNode:
		i, err := strconv.Atoi(part)
		if err != nil || i < 0 || i >= len(n.Content) {
			return place{}, false
		}
		return place{at.src, n, n.Content[i], n.Content[i]}, true
	case yaml.MappingNode:
		if parent, k, v := entry(n, part, 0); k != nil {
			return place{at.src, parent, k, v}, true
		}
	}
	return place{}, false
}

// entry finds a key of a mapping, also among those that << merges into it.
func entry(n *yaml.Node, key string, depth int) (parent, k, v *yaml.Node) {
	const deepest = 20
	if n.Kind != yaml.MappingNode || depth > deepest {
		return nil, nil, nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n, n.Content[i], n.Content[i+1]
		}
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value != "<<" {
			continue
		}
		merged := resolved(n.Content[i+1])
		bases := []*yaml.Node{merged}
		if merged.Kind == yaml.SequenceNode {
			bases = merged.Content
		}
		for _, base := range bases {
			if p, k, v := entry(resolved(base), key, depth+1); k != nil {
				return p, k, v
			}
		}
	}
	return nil, nil, nil
}

// resolved follows documents and aliases to what they hold.
func resolved(n *yaml.Node) *yaml.Node {
	for range 20 {
		switch {
		case n.Kind == yaml.AliasNode && n.Alias != nil:
			n = n.Alias
		case n.Kind == yaml.DocumentNode && len(n.Content) > 0:
			n = n.Content[0]
		default:
			return n
		}
	}
	return n
}

// child gives the value of a key of a mapping, or an empty node.
func child(n *yaml.Node, key string) *yaml.Node {
	if _, k, v := entry(resolved(n), key, 0); k != nil {
		return resolved(v)
	}
	return new(yaml.Node)
}

// split cuts a dotted path into its parts. Keys may hold dots themselves, so it is
// read against the files; "[]" ends it, since it does not say which item.
func (ss *sources) split(dotted string) []string {
	var path []string
	for rest := dotted; rest != ""; {
		words := strings.Split(rest, ".")
		n := 1
		for k := len(words); k > 1; k-- {
			if _, ok := ss.find(append(slices.Clone(path), strings.Join(words[:k], "."))); ok {
				n = k
				break
			}
		}
		if words[0] == "[]" {
			return path
		}
		path = append(path, strings.Join(words[:n], "."))
		rest = strings.Join(words[n:], ".")
	}
	return path
}

// eldest gives the path of the first service, by name, that shares what stands at path
// through an anchor: compose-go complains of any of them, now of one and now of another.
func (ss *sources) eldest(path []string) []string {
	at, ok := ss.find(path)
	services, listed := ss.find([]string{"services"})
	if !ok || !listed || len(path) < 3 || path[0] != "services" || services.value.Kind != yaml.MappingNode {
		return path
	}
	best := path
	for i := 0; i+1 < len(services.value.Content); i += 2 {
		name := services.value.Content[i].Value
		other := append([]string{"services", name}, path[2:]...)
		if same, ok := ss.find(other); ok && same.key == at.key && name < best[1] {
			best = other
		}
	}
	return best
}
