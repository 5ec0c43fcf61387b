package compose

import (
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/schema"
)

// suggestion gives " (did you mean X?)" for the nearest of the known words, or ""
// if none is near.
func suggestion(word string, known []string) string {
	if near := nearest(word, known); near != "" {
		return " (did you mean " + near + "?)"
	}
	return ""
}

// nearest gives the known word that differs from word by the fewest slips of the
// keyboard: one for short words, two for others.
func nearest(word string, known []string) string {
	best, limit := "", 2
	if len(word) <= 4 {
		limit = 1
	}
	for _, k := range known {
		if d := slips(strings.ToLower(word), k); d <= limit {
			best, limit = k, d-1
		}
	}
	return best
}

// slips counts letters added, lost, changed or swapped with their neighbour.
func slips(a, b string) int {
	const far = 100
	if len(a) > far || len(b) > far {
		return far
	}
	before, row := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next := make([]int, len(b)+1)
		next[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			next[j] = min(row[j]+1, next[j-1]+1, row[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}

// attributes gives the keys that the Compose Specification knows below path.
func attributes(path []string) []string {
	var keys []string
	for _, p := range schema.AttributePaths() {
		parts := p.Parts()
		if len(parts) != len(path)+1 {
			continue
		}
		key := parts[len(path)]
		if key != "*" && key != "[]" && covers(parts[:len(path)], path) && !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	return keys
}

// specified reports whether the last part of path is a word of the Compose
// Specification, and not a name that the file chose.
func specified(path []string) bool {
	return len(path) > 0 && slices.Contains(attributes(path[:len(path)-1]), last(path))
}

// covers reports whether a pattern with * and [] fits path.
func covers(pattern, path []string) bool {
	return slices.EqualFunc(pattern, path, func(p, s string) bool { return p == s || p == "*" || p == "[]" })
}
