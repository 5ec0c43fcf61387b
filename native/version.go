package native

import (
	"fmt"
	"strconv"
	"strings"
)

// satisfies reports whether version, such as "3.11.7", meets each of the constraints,
// such as ">=3.8, <4". Like pip, it takes a missing part for 0; "~=3.8" means at least
// 3.8 and the same but for the last part; "==3.11.*" and "3.11" mean any 3.11.
func satisfies(version, constraints string) (bool, error) {
	have, err := parts(version)
	if err != nil {
		return false, err
	}
	for c := range strings.SplitSeq(constraints, ",") {
		c = strings.TrimSpace(c)
		if c == "" {
			continue
		}
		rest := strings.TrimLeft(c, "<>=!~")
		op := c[:len(c)-len(rest)]
		rest = strings.TrimSpace(rest)
		short, any := strings.CutSuffix(rest, ".*")
		want, err := parts(short)
		if err != nil {
			return false, fmt.Errorf("bad python version constraint %q: write one such as \">=3.8\"", c)
		}
		ok, err := meets(have, op, want, any)
		if err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}

func meets(have []int, op string, want []int, any bool) (bool, error) {
	cmp := compareParts(have, want)
	prefix := compareParts(have[:min(len(have), len(want))], want) == 0
	switch op {
	case "", "=":
		return prefix, nil
	case "==":
		return cmp == 0 || any && prefix, nil
	case "!=":
		return cmp != 0 && (!any || !prefix), nil
	case ">=":
		return cmp >= 0, nil
	case "<=":
		return cmp <= 0, nil
	case ">":
		return cmp > 0, nil
	case "<":
		return cmp < 0, nil
	case "~=":
		n := max(len(want)-1, 1)
		return cmp >= 0 && compareParts(have[:min(len(have), n)], want[:min(len(want), n)]) == 0, nil
	}
	return false, fmt.Errorf("bad python version constraint %q: it begins with none of < <= == != ~= >= >", op)
}

func parts(version string) ([]int, error) {
	var out []int
	for p := range strings.SplitSeq(version, ".") {
		n, err := strconv.Atoi(p)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("bad version %q", version)
		}
		out = append(out, n)
	}
	return out, nil
}

func compareParts(a, b []int) int {
	for i := range max(len(a), len(b)) {
		x, y := 0, 0
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if x != y {
			return x - y
		}
	}
	return 0
}
