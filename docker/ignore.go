package docker

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

// An ignorelist is a .dockerignore file: the last pattern that matches decides.
type ignorelist struct {
	patterns []ignorePattern
	excepts  bool   // some pattern begins with !
	text     string // as it was read
}

type ignorePattern struct {
	match  *regexp.Regexp
	except bool
}

// readIgnore reads the ignore file of a build: the one beside the Dockerfile that bears
// its name, else the context's own. None at all is an empty list.
func readIgnore(context, dockerfile string) (*ignorelist, error) {
	for _, file := range []string{dockerfile + ".dockerignore", filepath.Join(context, ".dockerignore")} {
		text, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read what the build leaves out: %w", err)
		}
		list, err := parseIgnore(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		return list, nil
	}
	return &ignorelist{}, nil
}

func parseIgnore(text string) (*ignorelist, error) {
	list := &ignorelist{text: text}
	for lines := bufio.NewScanner(strings.NewReader(strings.TrimPrefix(text, "\uFEFF"))); lines.Scan(); {
		line := lines.Text()
		if strings.HasPrefix(line, "#") {
			continue
		}
		p := ignorePattern{}
		line, p.except = strings.CutPrefix(strings.TrimSpace(line), "!")
		line = strings.TrimPrefix(path.Clean("/"+filepath.ToSlash(strings.TrimSpace(line))), "/")
		if line == "" {
			continue
		}
		var err error
		if p.match, err = regexp.Compile(ignoreExpression(line)); err != nil {
			return nil, fmt.Errorf("pattern %s can't be read", line)
		}
		list.patterns = append(list.patterns, p)
		list.excepts = list.excepts || p.except
	}
	return list, nil
}

// ignoreExpression translates a pattern: ** is any number of folders, * and ? are
// anything within a name. A pattern that fits a folder fits all that lies in it.
func ignoreExpression(pattern string) string {
	var b strings.Builder
	b.WriteString("^")
	class := false
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case !class && strings.HasPrefix(pattern[i:], "**/"):
			b.WriteString("(.*/)?")
			i += 2
		case !class && strings.HasPrefix(pattern[i:], "**"):
			b.WriteString(".*")
			i++
		case class || c == '[':
			b.WriteByte(c)
			class = c != ']'
		case c == '*':
			b.WriteString("[^/]*")
		case c == '?':
			b.WriteString("[^/]")
		case c == '\\' && i+1 < len(pattern):
			i++
			b.WriteString(regexp.QuoteMeta(pattern[i : i+1]))
		default:
			b.WriteString(regexp.QuoteMeta(pattern[i : i+1]))
		}
	}
	b.WriteString("(/.*)?$")
	return b.String()
}

// ignores reports whether a path, relative to the context, is left out.
func (l *ignorelist) ignores(name string) bool {
	out := false
	for _, p := range l.patterns {
		if p.except == out && p.match.MatchString(name) {
			out = !p.except
		}
	}
	return out
}
