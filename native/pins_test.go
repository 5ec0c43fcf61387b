package native

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/healing-bot/healbot/service"
)

func TestPins(t *testing.T) {
	for line, want := range map[string]string{
		"Flask_Cors==1.0":                         "flask-cors 1 ",
		"uvicorn[standard] == 0.2.0 # why":        "uvicorn 0.2 ",
		"a>=1, ==1.5":                             "a 1.5 ",
		"a==1.5,<2":                               "a 1.5 ",
		"a==2 ; python_version < '3.8'":           `a 2 python_version<"3.8"`,
		"a==2 --hash=sha256:00  --hash=sha256:01": "a 2 ",
		"a==1.*":                       "",
		"a>=1":                         "",
		"a~=1.0":                       "",
		"a!=1.0":                       "",
		"# a==1":                       "",
		"-r other.txt":                 "",
		"git+https://example.com/a==1": "",
		"":                             "",
	} {
		got := ""
		if p, ok := pinOf(line); ok {
			got = p.name + " " + p.version + " " + p.marker
		}
		if got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

func TestConflicts(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a/requirements.txt":  "requests==2.0\n# one\nFlask == 2.0.0 \\\n  --hash=sha256:0\n",
		"b/requirements.txt":  "-r base.txt\nrequests==2.0.0\nx==1; sys_platform=='win32'\n",
		"b/base.txt":          "\nflask==3.0\nx==2; sys_platform=='linux'\n",
		"c/requirements.txt":  "flask==4\n",
		"ab/requirements.txt": "flask==2\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		file(t, filepath.Join(dir, name), text)
	}
	of := func(name, venv string) service.Service {
		svc := testService(dir, "true")
		svc.Name = name
		svc.Process.Python = &service.Python{Venv: filepath.Join(dir, venv), Requirements: []string{filepath.Join(dir, name, "requirements.txt")}}
		return svc
	}
	if err := Conflicts([]service.Service{of("a", ".venv"), of("ab", ".venv"), of("c", "other"), testService(dir, "true")}); err != nil {
		t.Error(err)
	}
	err := Conflicts([]service.Service{of("a", ".venv"), of("b", ".venv"), of("c", "other")})
	want := "a and b can't share .venv: a/requirements.txt:3 says Flask==2.0.0 and b/base.txt:2 says flask==3.0: agree on one version, or give each a venv of its own"
	if err == nil || err.Error() != want {
		t.Errorf("%v", err)
	}
}
