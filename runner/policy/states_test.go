package policy_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/healing-bot/healbot/runner/policy"
)

const statesDoc = "../../docs/states.md"

// TestStates draws docs/states.md from what Decide does, and fails when it is stale.
func TestStates(t *testing.T) {
	var steps []step
	shapes := 0
	for _, p := range somePolicies() {
		shapes += explore(p, func(s step) {
			if err := impossible(s.to); err != nil {
				t.Errorf("%#v: %v\n%+v\n%+v", s.e, err, s.from, s.to)
			}
			steps = append(steps, s)
		})
	}
	t.Logf("shapes=%d steps=%d", shapes, len(steps))
	doc := draw(t, steps)
	if *update {
		if err := os.WriteFile(statesDoc, []byte(doc), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(statesDoc)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(have), doc); diff != "" {
		t.Errorf("%s is stale, renew it with -update (-have +want):\n%s", statesDoc, diff)
	}
}

// TestOnlyRequestsLeaveRest: stopped, completed, failed and, without RetryAfter,
// max_restarts are left by a request alone.
func TestOnlyRequestsLeaveRest(t *testing.T) {
	for _, p := range somePolicies() {
		explore(p, func(s step) {
			if s.from.Phase != policy.Resting || request(s.e) || s.from == s.to {
				return
			}
			if _, held := s.e.(policy.NotReady); held || s.from.Held != "" {
				s.to.Held = s.from.Held
			}
			if s.from != s.to && (s.from.Status != policy.MaxRestarts || p.RetryAfter == 0) {
				t.Errorf("%#v turned\n%+v into\n%+v", s.e, s.from, s.to)
			}
		})
	}
}

func draw(t *testing.T, steps []step) string {
	byStatus := func(s policy.State) string { return string(s.Status) }
	byPhase := func(s policy.State) string { return s.Phase.String() }
	var b strings.Builder
	b.WriteString("# States\n\nDrawn from what the engine does; `go test ./runner/policy -update` renews it.\n\n" +
		"## Statuses\n\nThe one word that people are shown.\n\n")
	table(t, &b, steps)
	b.WriteString("\n\"By itself\" is: without anybody asking for it.\n\n")
	diagram(&b, steps, byStatus, "stopped")
	b.WriteString("\n## Phases\n\nWhat the engine is doing. Behind an event stands the action that it answers with.\n\n")
	diagram(&b, steps, byPhase, "Resting")
	return b.String()
}

func table(t *testing.T, b *strings.Builder, steps []step) {
	means := meanings(t)
	b.WriteString("| status | meaning | phases | leaves by itself |\n|---|---|---|---|\n")
	for _, status := range statuses {
		leaves := map[policy.Phase]string{}
		for _, s := range steps {
			if s.from.Status != status {
				continue
			}
			was := leaves[s.from.Phase]
			if now := leaving(s); was == "" || was == "no" || now == "yes" {
				leaves[s.from.Phase] = now
			}
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", status, means[status], list(leaves), verdict(leaves))
	}
}

// leaving says whether s goes on although nobody asked for it.
func leaving(s step) string {
	switch {
	case s.from.Status == s.to.Status && s.from.Phase == s.to.Phase || request(s.e):
		return "no"
	case s.from.Phase == policy.Resting:
		return "only with `retry_after`"
	}
	return "yes"
}

func list(leaves map[policy.Phase]string) string {
	var names []string
	for _, p := range slices.Sorted(maps.Keys(leaves)) {
		names = append(names, p.String())
	}
	return strings.Join(names, ", ")
}

// verdict is one word where all phases agree.
func verdict(leaves map[policy.Phase]string) string {
	var differ []string
	words := map[string]bool{}
	for _, p := range slices.Sorted(maps.Keys(leaves)) {
		words[leaves[p]] = true
		differ = append(differ, fmt.Sprintf("%s: %s", p, leaves[p]))
	}
	if len(words) == 1 {
		return leaves[slices.Sorted(maps.Keys(leaves))[0]]
	}
	return strings.Join(differ, ", ")
}

func diagram(b *strings.Builder, steps []step, by func(policy.State) string, first string) {
	type edge struct{ from, to string }
	edges := map[edge]map[string]bool{}
	for _, s := range steps {
		e := edge{by(s.from), by(s.to)}
		if e.from == e.to {
			continue
		}
		if edges[e] == nil {
			edges[e] = map[string]bool{}
		}
		label := name(s.e)
		if by(s.from) == s.from.Phase.String() && s.act.Verb != policy.Nothing {
			label += " → " + s.act.Verb.String()
		}
		edges[e][label] = true
	}
	fmt.Fprintf(b, "```mermaid\nstateDiagram-v2\n    [*] --> %s\n", first)
	keys := slices.SortedFunc(maps.Keys(edges), func(x, y edge) int {
		return strings.Compare(x.from+" "+x.to, y.from+" "+y.to)
	})
	for _, e := range keys {
		gather(edges[e], "")
		gather(edges[e], " → "+policy.Begin.String())
		fmt.Fprintf(b, "    %s --> %s: %s\n", e.from, e.to, strings.Join(slices.Sorted(maps.Keys(edges[e])), ", "))
	}
	b.WriteString("```\n")
}

// meanings reads what state.go says behind each status.
func meanings(t *testing.T) map[policy.Status]string {
	file, err := parser.ParseFile(token.NewFileSet(), "state.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	means := map[policy.Status]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if ok && len(v.Values) == 1 && v.Comment != nil {
			if lit, ok := v.Values[0].(*ast.BasicLit); ok {
				means[policy.Status(strings.Trim(lit.Value, `"`))] = strings.TrimSpace(v.Comment.Text())
			}
		}
		return true
	})
	if len(means) != len(statuses) {
		t.Fatalf("state.go says what %d of %d statuses mean", len(means), len(statuses))
	}
	return means
}
