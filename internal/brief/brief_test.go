package brief

import (
	"strings"
	"testing"
)

func TestLast(t *testing.T) {
	long := strings.Repeat("é", 3000)
	for said, want := range map[string]string{
		"":                               "",
		"one":                            "one",
		"one\ntwo\n":                     "two",
		"one\n two \r\n\n \t\n":          "two",
		"one\ntwo":                       "two",
		"a\tb\x1b[0m\xff\n":              "a b [0m?",
		long + "\n":                      strings.Repeat("é", 199) + "…",
		strings.Repeat("x\n", 9000) + "": "x",
	} {
		for _, step := range []int{1, 7, len(said) + 1} {
			var l Last
			for rest := said; rest != ""; {
				n := min(step, len(rest))
				if wrote, err := l.Write([]byte(rest[:n])); wrote != n || err != nil {
					t.Fatal(wrote, err)
				}
				rest = rest[n:]
			}
			if got := l.String(); got != want {
				t.Errorf("%.20q in steps of %d: got %q, want %q", said, step, got, want)
			}
		}
	}
}
