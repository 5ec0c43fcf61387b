package native

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// alwaysIgnored is what no trigger means: what version control, Python and editors write
// beside the files that people change.
var alwaysIgnored = []string{
	"**/.git", "**/.hg", "**/.svn", "**/.idea", "**/.vscode", "**/.DS_Store", "**/node_modules",
	"**/__pycache__", "**/*.py[co]", "**/.pytest_cache", "**/.mypy_cache", "**/.ruff_cache", "**/*.egg-info",
	"**/*~", "**/.*.sw?", "**/.#*", "**/#*#", "**/4913", "**/*.tmp", "**/.*.kate-swp", "**/.~lock.*",
}

// patterns are those of a .dockerignore file: the last one that fits decides, and ! takes
// back what an earlier one said.
type patterns []ignorePattern

type ignorePattern struct {
	fits   *regexp.Regexp
	except bool
}

// parsePatterns reads patterns. One that can't be read fits nothing; package compose
// refuses it before.
func parsePatterns(lines []string) (all patterns) {
	for _, line := range lines {
		line, except := strings.CutPrefix(strings.TrimSpace(line), "!")
		line = strings.TrimPrefix(path.Clean("/"+line), "/")
		if line == "" {
			continue
		}
		if fits, err := regexp.Compile(patternExpression(line)); err == nil {
			all = append(all, ignorePattern{fits, except})
		}
	}
	return all
}

// dockerignore reads the .dockerignore of a project, which says what a build does not see
// and so no trigger means either; none is no pattern.
func dockerignore(dir string) patterns {
	text, err := os.ReadFile(filepath.Join(dir, ".dockerignore"))
	if err != nil {
		return nil
	}
	var lines []string
	for line := range strings.Lines(strings.TrimPrefix(string(text), "\uFEFF")) {
		if !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return parsePatterns(lines)
}

// excepts reports whether some of what they say yes to is taken back.
func (all patterns) excepts() bool {
	return slices.ContainsFunc(all, func(p ignorePattern) bool { return p.except })
}

// patternExpression translates a pattern: ** is any number of folders, * and ? are
// anything within a name. What fits a folder fits all that lies in it.
func patternExpression(pattern string) string {
	var b strings.Builder
	b.WriteString("^")
	for i := 0; i < len(pattern); i++ {
		rest := pattern[i:]
		switch {
		case strings.HasPrefix(rest, "**/"):
			b.WriteString("(.*/)?")
			i += 2
		case strings.HasPrefix(rest, "**"):
			b.WriteString(".*")
			i++
		case rest[0] == '*':
			b.WriteString("[^/]*")
		case rest[0] == '?':
			b.WriteString("[^/]")
		case rest[0] == '[' && strings.Contains(rest, "]"):
			end := strings.IndexByte(rest, ']')
			b.WriteString(rest[:end+1])
			i += end
		default:
			b.WriteString(regexp.QuoteMeta(rest[:1]))
		}
	}
	b.WriteString("(/.*)?$")
	return b.String()
}

// fit reports whether they say yes to a path that is relative and has slashes.
func (all patterns) fit(name string) bool {
	yes := false
	for _, p := range all {
		if p.except == yes && p.fits.MatchString(name) {
			yes = !p.except
		}
	}
	return yes
}
