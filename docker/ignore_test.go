package docker

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestIgnores(t *testing.T) {
	list, err := parseIgnore("# no\n*.log\n/top\n**/deep\nsub/*/x?\nlib\n!lib/keep\n[a-c]1\nq\\*\na+b\n\n ./spaced \n!keep.log\n")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{
		"a.log": true, "sub/a.log": false, "keep.log": false, "top": true, "top/inner": true, "sub/top": false,
		"deep": true, "a/b/deep": true, "a/deep/c": true, "deeper": false, "sub/y/xz": true, "sub/y/z/xz": false,
		"lib/a": true, "lib/keep": false, "lib/keep/a": false, "b1": true, "d1": false, "q*": true, "qq": false,
		"a+b": true, "aab": false, "spaced": true, "# no": false,
	} {
		if got := list.ignores(name); got != want {
			t.Errorf("%s: left out is %v", name, got)
		}
	}
	if _, err := parseIgnore("[z-a]"); err == nil {
		t.Error("a pattern that can't be read is no error")
	}
}

func TestReadTrace(t *testing.T) {
	field := func(n byte, value string) string { return string([]byte{n<<3 | 2, byte(len(value))}) + value }
	began := field(1, "sha256:a") + field(3, "[1/2] COPY a /") + field(5, "t")
	report := field(1, began) + field(1, began+field(6, "t")) + field(3, "\x18\x01"+field(4, "hello\n")) + "\x0a\x7f"
	aux, err := json.Marshal([]byte(report))
	if err != nil {
		t.Fatal(err)
	}
	var heard []string
	hear := func(s string) { heard = append(heard, s) }
	readTrace(aux, hear, hear)
	if diff := cmp.Diff([]string{"[1/2] COPY a /", "hello\n"}, heard); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	never := func(s string) { t.Errorf("heard %q", s) }
	readTrace(json.RawMessage(`"////////"`), never, never)
}
