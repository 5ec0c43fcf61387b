package compose

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
)

// A field is one value of an extension such as x-healbot, with the path that leads
// to it. Reading it as something that it is not is a problem; reading a field that
// is not there gives nil.
type field struct {
	rep   *report
	path  []string
	value any
}

func (f field) get(key string) field {
	m, _ := f.value.(map[string]any)
	return field{f.rep, append(slices.Clone(f.path), key), m[key]}
}

func (f field) fail(hint, format string, args ...any) {
	f.rep.at(f.path, hint, "%s %s", last(f.path), fmt.Sprintf(format, args...))
}

// only reports every key that is not among the known ones. It is false if the
// field is not there, or no mapping at all.
func (f field) only(known ...string) bool {
	m, ok := f.value.(map[string]any)
	if !ok {
		if f.value != nil {
			f.fail("", "must be a mapping")
		}
		return false
	}
	for _, key := range sortedKeys(m) {
		if !slices.Contains(known, key) {
			at := f.get(key)
			f.rep.at(at.path, "", "%s is not an attribute of %s%s", key, last(f.path), suggestion(key, known))
		}
	}
	return true
}

func (f field) text() string {
	s, ok := f.value.(string)
	if !ok && f.value != nil {
		f.fail("", "must be a string")
	}
	return s
}

func (f field) number() *float64 {
	if f.value == nil {
		return nil
	}
	n, ok := number(f.value)
	if !ok || math.IsNaN(n) || math.IsInf(n, 0) {
		f.fail("", "must be a number")
		return nil
	}
	return &n
}

func (f field) count() *int {
	n := f.number()
	switch {
	case n == nil:
		return nil
	case *n != math.Trunc(*n) || *n < 0 || *n > math.MaxInt32:
		f.fail("", "must be a whole number, 0 or more")
		return nil
	}
	i := int(*n)
	return &i
}

func (f field) duration() *time.Duration {
	if f.value == nil {
		return nil
	}
	var d types.Duration
	text, isText := f.value.(string)
	n, isNumber := number(f.value)
	switch {
	case isNumber && n == 0:
	case isNumber:
		f.fail(fmt.Sprintf("write %s: %vs", last(f.path), n), "needs a unit")
		return nil
	case !isText || text == "" || d.DecodeMapstructure(text) != nil:
		f.fail("write a number with its unit, as 500ms, 90s or 1m30s", "is not a duration")
		return nil
	case d < 0:
		f.fail("", "must not be negative")
		return nil
	}
	return new(time.Duration(d))
}

// texts reads a string or a list of strings.
func (f field) texts() []string {
	switch v := f.value.(type) {
	case nil:
		return nil
	case string:
		return []string{v}
	case []any:
		list := make([]string, 0, len(v))
		for i, item := range v {
			s, ok := item.(string)
			if !ok {
				f.rep.at(append(slices.Clone(f.path), strconv.Itoa(i)), "", "%s must hold strings only", last(f.path))
				continue
			}
			list = append(list, s)
		}
		return list
	}
	f.fail("", "must be a string or a list of strings")
	return nil
}
