package compose

import "testing"

func TestNearest(t *testing.T) {
	known := []string{"restart", "image", "ports", "build", "title"}
	for word, want := range map[string]string{
		"restrat": "restart", "Restart": "restart", "imgae": "image", "port": "ports", "biuld": "build",
		"tilt": "", "command": "", "": "", "restartpolicy": "",
	} {
		if got := nearest(word, known); got != want {
			t.Errorf("%s: got %q, want %q", word, got, want)
		}
	}
}

func TestShellSign(t *testing.T) {
	for line, want := range map[string]string{
		"a b": "", "a && b": "&&", "a || b": "||", "a; b": ";", "a | b": "|", "a >b": ">", "a <b": "<", "a &": "&",
		"a 'b && c'": "", `a "b | c"`: "", `a \; b`: "", `a "\"" ; b`: ";", "a `b`": "`", "a $(b)": "$(", "a $b": "",
	} {
		if got := shellSign(line, true); got != want {
			t.Errorf("%s: got %q, want %q", line, got, want)
		}
	}
	if got := shellSign("a $(b) `c` ; d", false); got != ";" {
		t.Errorf("a container's command: got %q", got)
	}
}

func TestAllowlist(t *testing.T) {
	a := newAllowlist([]string{"services.*.image", "services.*.ports.[].target", "services.*.labels"})
	var stray [][]string
	a.walk([]string{"services", "x"}, map[string]any{
		"image": "i", "x-any": 1, "labels": map[string]any{"deep": map[string]any{"er": 1}},
		"ports": []any{map[string]any{"target": 1}, map[string]any{"mode": "host"}},
	}, func(path []string) { stray = append(stray, path) })
	if len(stray) != 1 || len(stray[0]) != 5 || stray[0][3] != "1" || stray[0][4] != "mode" {
		t.Errorf("got %v", stray)
	}
}
