package compose

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/healing-bot/healbot/service"
)

// edges are the words of notify.on.
var edges = []string{string(service.EdgeMaxRestarts), string(service.EdgeFailed), string(service.EdgeRecovered)}

// notices reads x-healbot.notify: a list of whom to tell. set says that there is one,
// even if it is empty.
func (f field) notices() (all []service.Notice, set bool) {
	list, ok := f.value.([]any)
	if !ok {
		if f.value != nil {
			f.fail("write - {on: [max_restarts], url: …}", "must be a list")
		}
		return nil, f.value != nil
	}
	for i, item := range list {
		at := field{f.rep, append(slices.Clone(f.path), strconv.Itoa(i)), item}
		if n := at.notice(); n != nil {
			all = append(all, *n)
		}
	}
	return all, true
}

// notice reads one item of notify; nil if it is not valid.
func (f field) notice() *service.Notice {
	m, ok := f.value.(map[string]any)
	if !ok {
		f.rep.at(f.path, "write {on: [max_restarts], url: …}", "an item of notify must be a mapping")
		return nil
	}
	known := sortedKeys(noticeFields)
	for _, key := range sortedKeys(m) {
		if !slices.Contains(known, key) {
			f.rep.at(f.get(key).path, "", "%s is not an attribute of notify%s", key, suggestion(key, known))
		}
	}
	n := &service.Notice{On: f.get("on").edges()}
	switch to, command := f.get("url"), f.get("command"); {
	case to.value != nil && command.value != nil:
		command.fail("remove one of them", "and url can't be used together")
	case to.value != nil:
		n.URL = to.webAddress()
	case command.value != nil:
		n.Command = command.argv()
	default:
		f.rep.at(f.path, "add url: or command:", "an item of notify says whom to tell")
	}
	return n
}

// edges reads notify.on; without it, every edge is meant.
func (f field) edges() (on []service.Edge) {
	words := f.texts()
	if f.value == nil {
		words = edges
	}
	for _, word := range words {
		if !slices.Contains(edges, word) {
			f.fail("", "must be of %s%s", strings.Join(edges, ", "), suggestion(word, edges))
			continue
		}
		on = append(on, service.Edge(word))
	}
	return on
}

// webAddress reads a URL that is never repeated: it may be a secret.
func (f field) webAddress() string {
	text := f.text()
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		f.fail("write it like https://hooks.example.com/services/…", "is not an http:// or https:// address")
		return ""
	}
	return text
}

// argv reads a command that no shell ever sees.
func (f field) argv() []string {
	argv := f.texts()
	text, isText := f.value.(string)
	switch {
	case len(argv) == 0 || argv[0] == "":
		f.fail("", "names no program")
	case isText && strings.ContainsAny(text, " \t"):
		f.fail(`write a list: ["program", "argument"]`, "is not cut into words, and no shell sees it")
	case slices.ContainsFunc(argv, func(a string) bool { return strings.ContainsRune(a, 0) }):
		f.fail("", "holds a NUL character")
	}
	return argv
}

// maskNotices hides the addresses of notify: one that takes messages without asking
// for a password is one.
func maskNotices(healbot any) any {
	m, ok := healbot.(map[string]any)
	list, isList := m["notify"].([]any)
	if !ok || !isList {
		return healbot
	}
	masked := make([]any, len(list))
	for i, item := range list {
		masked[i] = item
		one, ok := item.(map[string]any)
		text, isText := one["url"].(string)
		if !ok || !isText {
			continue
		}
		hidden := with(one, "url", mask)
		if u, err := url.Parse(text); err == nil {
			hidden["url"] = u.Scheme + "://" + u.Host + "/" + mask
		}
		masked[i] = hidden
	}
	return with(m, "notify", masked)
}
