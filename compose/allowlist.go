package compose

import (
	"slices"
	"strconv"
	"strings"
)

// An allowlist is a tree of attribute names. "*" stands for any key; lists are
// looked through, so that "ports.[].target" and "ports.target" are the same. A node
// without branches allows everything below it; a nil list allows everything.
type allowlist struct{ below map[string]*allowlist }

func newAllowlist(paths []string) *allowlist {
	if len(paths) == 0 {
		return nil
	}
	root := &allowlist{below: map[string]*allowlist{}}
	for _, path := range paths {
		at := root
		for _, part := range strings.Split(path, ".") {
			if part == "[]" {
				continue
			}
			if at.below[part] == nil {
				at.below[part] = &allowlist{below: map[string]*allowlist{}}
			}
			at = at.below[part]
		}
	}
	return root
}

// walk calls stray for every attribute at or below path that is not allowed, and
// not for what lies below such an attribute. Extension keys are always allowed.
func (a *allowlist) walk(path []string, v any, stray func([]string)) {
	if a == nil {
		return
	}
	for _, part := range path {
		next := a.step(part)
		if next == nil {
			stray(path)
			return
		}
		a = next
	}
	a.descend(path, v, stray)
}

func (a *allowlist) step(part string) *allowlist {
	if next := a.below[part]; next != nil {
		return next
	}
	return a.below["*"]
}

func (a *allowlist) descend(path []string, v any, stray func([]string)) {
	if len(a.below) == 0 {
		return
	}
	switch v := v.(type) {
	case map[string]any:
		for _, key := range sortedKeys(v) {
			if strings.HasPrefix(key, "x-") {
				continue
			}
			at := append(slices.Clone(path), key)
			if next := a.step(key); next != nil {
				next.descend(at, v[key], stray)
			} else {
				stray(at)
			}
		}
	case []any:
		for i, item := range v {
			a.descend(append(slices.Clone(path), strconv.Itoa(i)), item, stray)
		}
	}
}
