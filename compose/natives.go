package compose

import (
	"slices"

	"github.com/compose-spec/compose-go/v2/schema"
)

// NativeAttributes gives the attributes that a native service may have, in the spelling
// of compose-go's schema.AttributePaths: "services.*.command". A path above a longer one
// is among them when anything below it is.
func NativeAttributes() []string {
	var paths []string
	for _, p := range schema.AttributePaths() {
		parts := slices.DeleteFunc(slices.Clone(p.Parts()), func(s string) bool { return s == "[]" })
		allowed := natives
		if parts[0] == "secrets" || parts[0] == "configs" {
			allowed = nativeFiles
		}
		if slices.Contains(resolvedWords, parts[0]) || (len(parts) > 2 && parts[2] == "extends") {
			allowed = nil
		}
		if parts[0] != "jobs" && allowed.allows(parts) && !slices.Contains(containerWords, last(parts[:min(len(parts), 3)])) {
			paths = append(paths, string(p))
		}
	}
	return paths
}

// resolvedWords belong to the file, and to both worlds alike.
var resolvedWords = []string{"name", "include", "version"}

// containerWords are refused for a native service in words of their own.
var containerWords = []string{"image", "build"}

// allows reports whether path is allowed, or leads to something that is; for a key that
// the file chooses, whether some key is.
func (a *allowlist) allows(path []string) bool {
	for _, part := range path {
		if a == nil || len(a.below) == 0 || (part == "*" && a.below[part] == nil) {
			return true
		}
		if a = a.step(part); a == nil {
			return false
		}
	}
	return true
}
