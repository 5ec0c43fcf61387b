package compose

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/healing-bot/healbot/service"
)

// An extension is what x-healbot says, of a service or of the whole project.
type extension struct {
	title      string
	restart    restart
	health     health
	retryAfter *time.Duration // on_max.retry_after
	inherit    *inheritance
	notices    []service.Notice
	notifies   bool // notices are given, if only to say that there are none
	umask      *int
}

// An inheritance says which variables of the caller a native service gets.
type inheritance struct {
	all   bool
	names []string
}

// projectKeys and serviceKeys are the keys of x-healbot in the two places.
var (
	projectKeys = []string{"restart", "health", "on_max", "notify", "inherit_env"}
	serviceKeys = append([]string{"title", "umask"}, projectKeys...)
)

// extension reads x-healbot, of which known are the keys.
func (f field) extension(known []string) extension {
	if !f.only(known...) {
		return extension{}
	}
	e := extension{
		restart: f.get("restart").restart(), health: f.get("health").health(), inherit: f.get("inherit_env").inheritance(),
	}
	if slices.Contains(known, "title") {
		e.title = f.get("title").title()
		e.umask = f.get("umask").umask()
	}
	e.notices, e.notifies = f.get("notify").notices()
	if onMax := f.get("on_max"); onMax.only(sortedKeys(onMaxFields)...) {
		e.retryAfter = onMax.get("retry_after").duration()
		if e.retryAfter != nil && *e.retryAfter == 0 {
			onMax.get("retry_after").fail("leave on_max out to stay at max_restarts", "must be longer than 0")
		}
	}
	return e
}

// inheritance reads all, none, or a list of names.
func (f field) inheritance() *inheritance {
	switch v := f.value.(type) {
	case nil:
		return nil
	case string:
		if v == "all" || v == "none" {
			return &inheritance{all: v == "all"}
		}
		f.fail("", "must be all, none, or a list of variable names")
		return nil
	}
	names := f.texts()
	for i, name := range names {
		if !validName(name) {
			f.rep.at(append(slices.Clone(f.path), strconv.Itoa(i)), "", "%q can't be the name of a variable", name)
		}
	}
	return &inheritance{names: names}
}

func validName(name string) bool { return name != "" && !strings.ContainsAny(name, "=\x00") }

// umask reads an octal number. It must be a text, since YAML's versions differ in what
// a number with a leading zero is.
func (f field) umask() *int {
	if f.value == nil {
		return nil
	}
	text, ok := f.value.(string)
	n, err := strconv.ParseUint(text, 8, 32)
	if !ok || err != nil || n > 0o777 {
		f.fail(`write three octal digits in quotes: umask: "027"`, "must be an octal number in quotes")
		return nil
	}
	return new(int(n))
}

// title reads a title: it becomes the name of a log file, so it must be one.
func (f field) title() string {
	const longest = 200
	t := f.text()
	switch _, ok := f.value.(string); {
	case !ok:
	case t == "" || t == "." || t == "..":
		f.fail("", "can't be the name of a log file")
	case strings.ContainsRune(t, '/'), strings.IndexFunc(t, unicode.IsControl) >= 0:
		f.fail("a title names the file logs/TITLE.log", "must not hold a slash or control characters")
	case len(t) > longest:
		f.fail("", "is longer than %d bytes", longest)
	default:
		return t
	}
	return ""
}

// near reports extension keys that look like one of ours, misspelt. Other keys are
// other tools' business.
func (c *converter) near(path []string, ext map[string]any, ours ...string) {
	for _, key := range sortedKeys(ext) {
		if slices.Contains(ours, key) {
			continue
		}
		if n := nearest(key, ours); n != "" {
			c.at(append(slices.Clone(path), key), "", "%s has no effect (did you mean %s?)", key, n)
		}
	}
}
