package docker_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/schema"
	"github.com/google/go-cmp/cmp"

	"github.com/healing-bot/healbot/compose"
	"github.com/healing-bot/healbot/docker"
)

var update = flag.Bool("update", false, "renew docs/compose-support.md")

const supportDoc = "../docs/compose-support.md"

// TestSupport draws docs/compose-support.md from what both worlds say of each attribute
// of the Compose Specification, and fails when it is stale.
func TestSupport(t *testing.T) {
	doc := drawSupport()
	if *update {
		if err := os.WriteFile(supportDoc, []byte(doc), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(supportDoc)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(have), doc); diff != "" {
		t.Errorf("%s is stale, renew it with -update (-have +want):\n%s", supportDoc, diff)
	}
}

// An attribute is one path of the Compose Specification and who supports it.
type attribute struct {
	path              string
	container, native bool
	ineffective       bool // taken for a container, with a warning
}

func attributes() []attribute {
	containers, natives := docker.Supported(), compose.NativeAttributes()
	var all []attribute
	for _, p := range schema.AttributePaths() {
		path := string(p)
		all = append(all, attribute{path, reaches(containers, path), reaches(natives, path), idle(path)})
	}
	slices.SortFunc(all, func(a, b attribute) int { return strings.Compare(a.path, b.path) })
	return all
}

// idle reports whether path, or something above it, does nothing.
func idle(path string) bool {
	return slices.ContainsFunc(docker.Ineffective(), func(s string) bool { return s == path || strings.HasPrefix(path, s+".") })
}

// reaches reports whether path, or anything below it, is among those supported.
func reaches(supported []string, path string) bool {
	return slices.ContainsFunc(supported, func(s string) bool { return s == path || strings.HasPrefix(s, path+".") })
}

func drawSupport() string {
	all := attributes()
	var b strings.Builder
	b.WriteString("# What healbot takes from the Compose Specification\n\n" +
		"Drawn from the code; `go test ./docker -run TestSupport -update` renews it. An attribute that is\n" +
		"refused is an error with file, line and a hint: nothing is dropped in silence. Fields that begin\n" +
		"with `x-` are always allowed. `jobs` are refused as a whole. What is for Swarm alone does nothing on\n" +
		"one engine: like docker compose, healbot takes it, and it says so in a warning. `deploy.mode: global` is\n" +
		"one instance. Builds that need a session with the builder (secrets, ssh, additional_contexts, cache_to,\n" +
		"no_cache_filter, entitlements, attestations) are made with `docker buildx`, which must be installed then.\n\n")
	b.WriteString("| | container | native | of |\n|---|---|---|---|\n")
	total(&b, "supported for a service", all, func(a attribute) bool { return strings.HasPrefix(a.path, "services") })
	total(&b, "supported at the top level", all, func(a attribute) bool {
		return !strings.HasPrefix(a.path, "services") && !strings.HasPrefix(a.path, "jobs")
	})
	total(&b, "supported in all", all, func(attribute) bool { return true })
	b.WriteString("\nA row ends with the number of attributes below it that share its verdict.\n\n")
	b.WriteString("| attribute | container | native | below |\n|---|---|---|---|\n")
	for n := 0; n < len(all); {
		a := all[n]
		below := alike(all[n+1:], a)
		shown := ""
		if below > 0 {
			shown = fmt.Sprint(below)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", a.path, a.inContainer(), a.inNative(), shown)
		n += 1 + below
	}
	return b.String()
}

func total(b *strings.Builder, what string, all []attribute, meant func(attribute) bool) {
	var containers, natives, of int
	for _, a := range all {
		if !meant(a) {
			continue
		}
		of++
		if a.container {
			containers++
		}
		if a.native {
			natives++
		}
	}
	fmt.Fprintf(b, "| %s | %d | %d | %d |\n", what, containers, natives, of)
}

// alike counts the attributes below a, which come first in rest, if all of them share
// its verdict; else it is 0.
func alike(rest []attribute, a attribute) (n int) {
	for n < len(rest) && strings.HasPrefix(rest[n].path, a.path+".") {
		if rest[n].container != a.container || rest[n].native != a.native || rest[n].ineffective != a.ineffective {
			return 0
		}
		n++
	}
	return n
}

// inContainer is the verdict for a container; a secret or config is the same to both
// worlds.
func (a attribute) inContainer() string {
	if a.ineffective {
		return "does nothing, with a warning"
	}
	return verdict(a.container)
}

func (a attribute) inNative() string {
	if a.ineffective && a.native {
		return a.inContainer()
	}
	return verdict(a.native)
}

func verdict(supported bool) string {
	if supported {
		return "supported"
	}
	return "refused"
}
